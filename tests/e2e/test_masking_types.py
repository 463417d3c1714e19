"""Every operator on every type: what comes out is a value of the type, or NULL, and never the original (I5), whichever way it is asked
for: as text, in binary format, by COPY, through a cursor.
"""

import csv
import io

import asyncpg
import psycopg
import pytest
from psycopg import sql

from countersign.demo.database import DemoDatabase

OPERATORS = {
    "redact": "{redact: {}}",
    "partial": "{partial: {keep_first: 1, keep_last: 2}}",
    "hash": "{hash: {}}",
    "tokenize": "{tokenize: {}}",
    "nothing": '{"null": {}}',
    "range": "{range: {width: 10, to: month}}",
}
RULES = "".join(
    f"  - {{name: {name}, columns: ['public.typed_{name}.*'], operator: {operator}}}\n" for name, operator in OPERATORS.items()
)
POLICY = f"""
rules:
  - {{name: everything, effects: [read, write, ddl, admin, exec, session, unknown], action: allow}}
masking:
{RULES}  - {{name: swapped, columns: [public.typed_swapped.b]}}
"""

TEXTS = "redact partial hash tokenize range"
DRAWN = "hash tokenize"
NUMBERS = "hash tokenize range"
COLUMNS = {
    # type: two values, and the operators under which it has a masked form that is not NULL
    "text": ("123-45-6789", "Ana Bo", TEXTS),
    "varchar(8)": ("Äsop 12", "2024", TEXTS),
    "char(12)": ("abc-1", "x", TEXTS),
    "name": ("postgres", "b1", TEXTS),
    '"char"': ("x", "y", ""),
    "json": ('{"a": 1}', '"ana"', "redact partial hash tokenize range"),
    "jsonb": ('{"a": 1}', "[1, 2]", "redact partial hash tokenize range"),
    "int2": ("-1234", "7", NUMBERS),
    "int4": ("2147483647", "-12", NUMBERS),
    "int8": ("4242424242424242", "1", NUMBERS),
    "oid": ("4294967295", "16384", NUMBERS),
    "numeric(12,2)": ("-1234.50", "0.07", NUMBERS),
    "numeric": ("123456789012345678901234567890.5", "12", NUMBERS),
    "float4": ("1.5", "-1234567", "hash range"),
    "float8": ("0.1", "1234.5", "hash range"),
    "money": ("12.34", "1", ""),
    "bool": ("t", "f", ""),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000001", DRAWN),
    "date": ("1984-02-29", "2024-12-31", NUMBERS),
    "time": ("13:05:59.25", "23:59:59", DRAWN),
    "timetz": ("13:05:59+02", "00:00:00+00", ""),
    "timestamp": ("2024-05-17 10:11:12", "1999-12-31 23:59:59.999999", NUMBERS),
    "timestamptz": ("2024-05-17 10:11:12+02", "1999-12-31 23:59:59.999999+00", NUMBERS),
    "interval": ("1 day 02:00", "1 year", ""),
    "inet": ("192.168.1.7", "2001:db8::1/64", DRAWN),
    "cidr": ("10.1.0.0/16", "2001:db8::/32", DRAWN),
    "macaddr": ("08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff", DRAWN),
    "macaddr8": ("08:00:2b:01:02:03:04:05", "00:00:00:00:00:00:00:01", DRAWN),
    "bytea": ("\\xdeadbeef", "\\x00", DRAWN),
    "bit(12)": ("101100111000", "000000000001", DRAWN),
    "varbit": ("10110", "1111", DRAWN),
    "text[]": ("{ana,bo}", "{NULL}", ""),
    "int8[]": ("{4242424242424242}", "{{1,2},{3,4}}", ""),
    "typed_mood": ("sad", "happy", ""),
    "typed_number": ("12", "345", NUMBERS),
    "typed_pair": ('(1,"ana bo")', "(,)", ""),
    "int4range": ("[1,5)", "empty", ""),
    "point": ("(1,2)", "(0,0)", ""),
    "tsvector": ("'ana':1", "'bo':2", ""),
}
FORMS = list(COLUMNS.values())
SCHEMA = """
CREATE TYPE typed_mood AS ENUM ('sad', 'happy');
CREATE DOMAIN typed_number AS int;
CREATE TYPE typed_pair AS (a int, b text);
"""


@pytest.fixture(scope="module")
def tables(database):
    names = ", ".join(f"c{index} {type_}" for index, type_ in enumerate(COLUMNS))
    with psycopg.connect(database.uri, autocommit=True) as connection:
        connection.execute(SCHEMA)
        for operator in (*OPERATORS, "plain"):
            connection.execute(sql.SQL(f"CREATE TABLE typed_{operator} (row int, {names})"))
            for number in (0, 1):
                values = [sql.Literal(str(form[number])) for form in FORMS]
                connection.execute(
                    sql.SQL("INSERT INTO {} VALUES ({}, {})").format(
                        sql.Identifier(f"typed_{operator}"), sql.Literal(number), sql.SQL(", ").join(values)
                    )
                )
            connection.execute(sql.SQL(f"INSERT INTO typed_{operator} (row) VALUES (2)"))
        yield connection
        for operator in (*OPERATORS, "plain"):
            connection.execute(sql.SQL(f"DROP TABLE typed_{operator}"))
        connection.execute("DROP TYPE typed_mood, typed_pair; DROP DOMAIN typed_number")


@pytest.fixture(scope="module")
def masked(tables, database, tmp_path_factory, gateway_class):
    running = gateway_class(tmp_path_factory.mktemp("types"), database.port, database.password, policy=POLICY)
    with psycopg.connect(running.uri(), autocommit=True) as connection:
        yield running, connection
    running.stop()


def selected(operator):
    return f"SELECT {', '.join(f'c{index}' for index in range(len(COLUMNS)))} FROM typed_{operator} ORDER BY ctid"


def rows_of(connection, operator, *, binary):
    with connection.cursor(binary=binary) as cursor:
        return cursor.execute(selected(operator)).fetchall()


def raw_rows(connection, statement):
    """Values as the server writes them."""
    result = connection.pgconn.exec_(statement.encode())
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    return [[result.get_value(row, column) for column in range(result.nfields)] for row in range(result.ntuples)]


def check(rows, originals, operator):
    """NULL where the reference says so, else another value of the same type; within a bucket of a range by chance the same one."""
    assert len(rows) == 3
    assert rows[2] == originals[2]  # NULL stays NULL
    for row, original in zip(rows[:2], originals[:2], strict=True):
        for (type_, form), value, was in zip(COLUMNS.items(), row, original, strict=True):
            if operator not in form[2].split():
                assert value is None, type_
            else:
                assert type(value) is type(was) or "json" in type_, type_
                assert value != was, type_


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("operator", OPERATORS)
def test_i5_a_masked_value_is_another_one_of_its_type_or_null(masked, tables, operator, binary):
    _, connection = masked
    check(rows_of(connection, operator, binary=binary), rows_of(tables, "plain", binary=binary), operator)


@pytest.mark.parametrize("operator", OPERATORS)
def test_both_formats_say_the_same(masked, operator):
    _, connection = masked
    for binary, text in zip(rows_of(connection, operator, binary=True), rows_of(connection, operator, binary=False), strict=True):
        # Of bits and hardware addresses psycopg gives the bytes as they are.
        comparable = [pair for pair in zip(binary, text, strict=True) if type(pair[0]) is type(pair[1])]
        assert len(comparable) >= len(COLUMNS) - 4
        assert [value for value, _ in comparable] == [value for _, value in comparable]


async def test_asyncpg_reads_what_is_masked(masked, database):
    gateway, connection = masked
    direct = await asyncpg.connect(database.uri)
    through = await asyncpg.connect(gateway.uri())
    originals = [tuple(row.values()) for row in await direct.fetch(selected("plain"))]
    for operator in OPERATORS:
        check([tuple(row.values()) for row in await through.fetch(selected(operator))], originals, operator)
    await direct.close()
    await through.close()


@pytest.mark.parametrize("operator", OPERATORS)
def test_copy_in_every_format_and_a_cursor_give_the_same_values(masked, operator):
    _, connection = masked
    expected = raw_rows(connection, selected(operator))
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY ({selected(operator)}) TO STDOUT") as copy:
            assert [
                [value and value.encode() if isinstance(value, str) else value for value in row] for row in copy.rows()
            ] == expected
        with cursor.copy(f"COPY ({selected(operator)}) TO STDOUT (FORMAT csv, NULL '<null>')") as copy:
            text = b"".join(bytes(chunk) for chunk in copy).decode()
        found = list(csv.reader(io.StringIO(text)))
        assert [[None if value == "<null>" else value.encode() for value in row] for row in found] == expected
        oids = [column.type_code for column in cursor.execute(selected(operator)).description]
        in_binary = rows_of(connection, operator, binary=True)
        with cursor.copy(f"COPY ({selected(operator)}) TO STDOUT (FORMAT binary)") as copy:
            copy.set_types(oids)
            assert list(copy.rows()) == in_binary
    with connection.transaction():
        connection.execute(f"DECLARE typed NO SCROLL CURSOR FOR {selected(operator)}")
        assert raw_rows(connection, "FETCH ALL FROM typed") == expected
        connection.execute("CLOSE typed")


def test_equal_values_are_equal_behind_hash_and_tokenize(masked, tables):
    _, connection = masked
    tables.execute("INSERT INTO typed_hash SELECT * FROM typed_hash WHERE row = 0")
    tables.execute("INSERT INTO typed_tokenize SELECT * FROM typed_tokenize WHERE row = 0")
    for operator in ("hash", "tokenize"):
        rows = rows_of(connection, operator, binary=True)
        assert rows[0] == rows[3]
        assert rows[0] != rows[1]
        tables.execute(sql.SQL(f"DELETE FROM typed_{operator} WHERE ctid = (SELECT max(ctid) FROM typed_{operator})"))


def test_dates_in_another_style_and_bytea_in_the_other_form_are_read_for_what_they_are_or_not_at_all(masked):
    _, connection = masked
    names = list(COLUMNS)
    date, stamp, bytes_ = (f"c{names.index(name)}" for name in ("date", "timestamptz", "bytea"))
    try:
        connection.execute("SET datestyle = 'German'")
        assert raw_rows(connection, f"SELECT {date}, {stamp} FROM typed_hash ORDER BY ctid LIMIT 2") == [[None, None]] * 2
    finally:
        connection.execute("RESET datestyle")
    before = rows_of(connection, "hash", binary=False)
    try:
        connection.execute("SET bytea_output = 'escape'")
        assert [row[0] for row in connection.execute(f"SELECT {bytes_} FROM typed_hash ORDER BY ctid")] == [
            row[names.index("bytea")] for row in before
        ]
    finally:
        connection.execute("RESET bytea_output")


@pytest.mark.parametrize("parameter", ["", " WHERE %s = 1"])
def test_i5_one_statement_in_alternating_formats_is_masked_by_each(masked, tables, parameter):
    _, connection = masked
    given = [1] if parameter else None
    statement = f"SELECT c{list(COLUMNS).index('jsonb')}, c{list(COLUMNS).index('int8')} FROM typed_hash{parameter}"
    seen = set()
    for binary in [*[True] * 8, *[False] * 8, *[True, False] * 4]:
        with connection.cursor(binary=binary) as cursor:
            seen.add(str(cursor.execute(statement, given).fetchall()))
    assert len(seen) == 1


def test_i5_a_statement_whose_columns_have_changed_places_is_masked_by_the_new_places(masked, direct):
    gateway, _ = masked
    columns = ["a text", "b text"]
    with gateway.connect() as connection:
        for order in (columns, columns[::-1]):
            direct.execute("DROP TABLE IF EXISTS typed_swapped")
            direct.execute(f"CREATE TABLE typed_swapped ({', '.join(order)})")
            direct.execute("INSERT INTO typed_swapped (a, b) VALUES ('shown', 'hidden')")
            for turn in range(4):
                row = connection.execute("SELECT * FROM typed_swapped WHERE %s < 9", [turn], prepare=False).fetchone()
                assert "hidden" not in row
    direct.execute("DROP TABLE typed_swapped")


@pytest.mark.parametrize("operator", OPERATORS.values())
def test_xml_stays_well_formed(xml_server, make_gateway, operator):
    policy = f"masking:\n  - {{name: x, columns: [public.letters.x], operator: {operator}}}\n"
    gateway = make_gateway(upstream_port=xml_server.port, password=xml_server.password, policy=policy)
    with gateway.connect() as connection:
        for binary in (False, True):
            (shown,) = connection.execute("SELECT x FROM letters", binary=binary).fetchone()
            assert shown is None or ("ana" not in str(shown) and "<" not in str(shown))


@pytest.fixture(scope="module")
def xml_server(localhost):
    """A server that is built with XML, which the one of the demo is not; the system's, which one with TLS is."""
    with DemoDatabase(tls=localhost) as server, psycopg.connect(server.uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE letters AS SELECT xml '<a>ana bo</a>' AS x")
        yield server
