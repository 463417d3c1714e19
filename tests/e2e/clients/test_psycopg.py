"""psycopg 3: sync and async, text and binary, pipelines, COPY, server-side cursors, cancelling."""

import asyncio
import select
import time

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Jsonb
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range, RangeInfo, register_range

FIELDS = (
    "severity sqlstate message_primary message_detail message_hint statement_position internal_position internal_query context "
    "schema_name table_name column_name datatype_name constraint_name source_file source_line source_function"
).split()
STATUSES = (
    "server_version server_encoding client_encoding application_name default_transaction_read_only in_hot_standby is_superuser "
    "session_authorization DateStyle IntervalStyle TimeZone integer_datetimes standard_conforming_strings scram_iterations search_path"
).split()


def fields(error):
    """Everything the server says in an error or a notice."""
    diag = error if isinstance(error, psycopg.errors.Diagnostic) else error.diag
    return {name: value for name in FIELDS if (value := getattr(diag, name)) is not None and not value.startswith("pg_temp")}


def wire(cursor):
    """Each result of a cursor as it came: command tag, columns with origin, type and format, and the values' bytes."""
    found = []
    while True:
        result = cursor.pgresult
        columns = [
            (
                result.fname(i),
                result.ftable(i) > 0,
                result.ftablecol(i),
                result.ftype(i) < 16384 and result.ftype(i),
                result.fformat(i),
                result.fmod(i),
                result.fsize(i),
            )
            for i in range(result.nfields)
        ]
        rows = [[result.get_value(row, i) for i in range(result.nfields)] for row in range(result.ntuples)]
        found.append((result.command_status, columns, rows))
        if not cursor.nextset():
            return found


def ask(connection, query, parameters=None, **options):
    """The answer to one command, error or not."""
    try:
        with connection.cursor(binary=options.pop("binary", False)) as cursor:
            cursor.execute(query, parameters, **options)
            return wire(cursor)
    except psycopg.Error as error:
        return fields(error)


def other_connection(connection):
    """A second connection to the same place."""
    return psycopg.connect(connection.info.dsn, password=connection.info.password, autocommit=True)


@pytest.fixture
def talk(twins):
    """Hold a dialogue over a connection of its own, direct and through the gateway."""

    def hold(dialogue, *, opaque=False, **options):
        def with_connection(address):
            with psycopg.connect(address.uri, **({"autocommit": True} | options)) as connection:
                notices = []
                connection.add_notice_handler(lambda notice: notices.append(fields(notice)))
                return dialogue(connection), notices, connection.info.transaction_status if not connection.closed else None

        return twins.same(with_connection, opaque=opaque)[0]

    return hold


def test_the_start(talk):
    def dialogue(connection):
        info = connection.info
        status = {name: info.parameter_status(name) for name in STATUSES}
        connection.execute("SET application_name = 'new'; SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'")
        return (
            status,
            {name: info.parameter_status(name) for name in STATUSES},
            info.server_version,
            info.dbname,
            info.user,
            info.encoding,
        )

    before, after, *_ = talk(dialogue, application_name="a client", options="-c DateStyle=SQL,DMY -c TimeZone=UTC")
    assert before["DateStyle"] == "SQL, DMY"
    assert before["application_name"] == "a client"
    assert (after["application_name"], after["TimeZone"]) == ("new", "Asia/Tokyo")


@pytest.mark.parametrize("parameters", [None, (0,)], ids=["simple", "extended"])
@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_every_type(talk, binary, parameters):
    if binary and parameters is None:
        parameters = (-1,)
    condition = "" if parameters is None else "WHERE id > %s "
    found = talk(lambda connection: ask(connection, f"SELECT * FROM kinds {condition}ORDER BY id", parameters, binary=binary))
    assert len(found[0][2]) == 4
    assert len(found[0][1]) == 51


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_parameters_of_every_type_come_back(talk, binary):
    import datetime
    import decimal
    import ipaddress
    import uuid

    values = [
        True, 1, 2**40, -(2**63), 2**70, 1.5, float("inf"), decimal.Decimal("1.230"), decimal.Decimal("NaN"), "text", "Ωmega", "", b"\0\xff", None,
        datetime.date(2024, 2, 29), datetime.time(1, 2, 3, 4), datetime.datetime(2024, 2, 29, 1, 2, 3), datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC),
        datetime.timedelta(days=1, seconds=2, microseconds=3), uuid.UUID(int=5), Jsonb({"a": [1, None]}), [1, 2, None], [["a"], ["b"]], ["x", "y,z"],
        Range(1, 5), Range(empty=True), Multirange([Range(1, 2), Range(4, 5)]), ipaddress.ip_address("::1"), ipaddress.ip_network("10.0.0.0/8"),
    ]  # fmt: skip
    form = "%b" if binary else "%s"

    def dialogue(connection):
        return [repr(connection.execute(f"SELECT {form} AS value", (value,), binary=binary).fetchone()) for value in values]

    assert talk(dialogue)[4] == "(Decimal('1180591620717411303424'),)"


def test_types_of_ones_own(talk):
    def dialogue(connection):
        register_enum(EnumInfo.fetch(connection, "mood"), connection)
        register_composite(CompositeInfo.fetch(connection, "pair"), connection)
        register_range(RangeInfo.fetch(connection, "floatrange"), connection)
        rows = connection.execute("SELECT md, pr, fr, mda, pra, dm FROM kinds ORDER BY id").fetchall()
        rows += connection.execute("SELECT md, pr, fr, mda, pra, dm FROM kinds ORDER BY id", binary=True).fetchall()
        return [repr(row) for row in rows]

    assert "pair(a=1, b='one')" in talk(dialogue)[0]


ERRORS = [
    "SELECT nope FROM items", "SELEC", "SELECT 1/0", "SELECT * FROM nowhere", "INSERT INTO items (label) VALUES ('item 1')", "SELECT 'x'::int",
    "INSERT INTO items (label, size) VALUES ('z', 0)", "INSERT INTO items (label, parent) VALUES ('z', 9999)", "DROP TABLE nowhere", "",
    "INSERT INTO items (label) VALUES (NULL)", "CREATE TABLE items ()", "SELECT '漢字', nope", "ROLLBACK TO nowhere", "COMMIT", "SELECT pg_sleep('x')",
    "INSERT INTO items (label, size) SELECT label, size FROM items", "SET nope.nope TO DEFAULT", "SHOW nope", "EXECUTE nope", "CLOSE nope",
]  # fmt: skip


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_errors_in_every_field(talk, extended):
    def dialogue(connection):
        return [ask(connection, query, () if not extended else None, prepare=extended) for query in ERRORS]

    found = talk(dialogue)
    assert found[0]["sqlstate"] == "42703"
    assert found[0]["statement_position"] == "8"
    assert found[2]["message_primary"] == "division by zero"


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_the_words_of_functions_and_triggers(talk, extended):
    queries = [
        "SELECT shout('x')", "SELECT * FROM shout('y')", "UPDATE labels SET label = 'z'", "CALL add_item('from a procedure')", "SELECT add_up('x')",
        "DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'AB123', DETAIL = 'd', HINT = 'h', TABLE = 't', COLUMN = 'c'; END $$", "SELECT numbers(3)",
        "DO $$ BEGIN EXECUTE 'SELECT nope'; END $$", "DELETE FROM items WHERE label = 'from a procedure'",
    ]  # fmt: skip
    found = talk(lambda connection: [ask(connection, query, prepare=extended) for query in queries], opaque=True)
    assert found[5]["sqlstate"] == "AB123"
    assert found[3][0][0] == b"CALL"


def test_many_statements_in_one_message(talk):
    def dialogue(connection):
        return [
            ask(
                connection,
                "SELECT 1 AS a; SELECT 'x' AS b, 2; CREATE TEMP TABLE several (i int); INSERT INTO several VALUES (1), (2); SELECT count(*) FROM items",
            ),
            ask(connection, "INSERT INTO several VALUES (3); SELECT 1/0; INSERT INTO several VALUES (4)"),
            ask(connection, "SELECT count(*) FROM several"),
            ask(connection, "BEGIN; INSERT INTO several VALUES (5); COMMIT; SELECT nope"),
            ask(connection, "SELECT count(*) FROM several"),
        ]

    found = talk(dialogue)
    assert [tag for tag, _, _ in found[0]] == [b"SELECT 1", b"SELECT 1", b"CREATE TABLE", b"INSERT 0 2", b"SELECT 1"]
    assert found[2][0][2] == [[b"2"]]
    assert found[4][0][2] == [[b"3"]]


def test_transactions_and_savepoints(talk):
    def dialogue(connection):
        connection.execute("CREATE TABLE IF NOT EXISTS steps (i int)")
        seen = []
        with connection.transaction():
            connection.execute("INSERT INTO steps VALUES (1)")
            for inner in (2, 3):
                try:
                    with connection.transaction():
                        connection.execute("INSERT INTO steps VALUES (%s)", (inner,))
                        connection.execute("SELECT 1 / (%s - 2)", (inner,))
                except psycopg.Error as error:
                    seen.append(fields(error))
            seen.append(connection.info.transaction_status)
        try:
            with connection.transaction():
                connection.execute("INSERT INTO steps VALUES (4)")
                seen.append(ask(connection, "SELECT nope"))
                seen.append(connection.info.transaction_status)
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            seen.append(fields(error))
        with connection.transaction(force_rollback=True):
            connection.execute("INSERT INTO steps VALUES (5)")
        connection.autocommit = False
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        seen.append(ask(connection, "INSERT INTO steps VALUES (6)"))
        connection.rollback()
        connection.read_only = connection.isolation_level = None
        seen.append(connection.execute("SELECT i FROM steps ORDER BY i").fetchall())
        connection.execute("DROP TABLE steps")
        connection.commit()
        return seen

    assert talk(dialogue)[-1] == [(1,), (3,)]


def test_a_transaction_sees_what_it_made_itself(talk):
    def dialogue(connection):
        connection.execute("CREATE TABLE fresh (i int, name text)")
        connection.execute("INSERT INTO fresh VALUES (1, 'one'), (2, 'two')")
        connection.execute("CREATE TEMP TABLE fleeting AS SELECT i * 2 AS twice, name FROM fresh")
        connection.execute("CREATE VIEW fresh_view AS SELECT upper(name) AS name FROM fresh")
        found = [ask(connection, f"SELECT *, 1 AS one FROM {name}") for name in ("fresh", "fleeting", "fresh_view")]
        found.append(ask(connection, "INSERT INTO fresh VALUES (3, 'three') RETURNING i, name, i + 1"))
        connection.rollback()
        return found, ask(connection, "SELECT * FROM fresh")

    found, after = talk(dialogue, autocommit=False)
    assert found[0][0][2] == [[b"1", b"one", b"1"], [b"2", b"two", b"1"]]
    assert after["sqlstate"] == "42P01"


def test_statements_prepared_after_some_uses(talk):
    def dialogue(connection):
        connection.prepare_threshold = 2
        connection.prepared_max = 3
        found = []
        for i in range(8):
            found.append(ask(connection, "SELECT label FROM items WHERE id = %s", (i,)))
            found.append(ask(connection, "SELECT %s::text AS echoed", (f"e{i}",)))
            for other in range(4):
                found.append(ask(connection, f"SELECT {other} + %s", (i,), prepare=True))
            found.append(ask(connection, "SELECT 10 / %s", (i % 3,), prepare=True))
        names = connection.execute("SELECT count(*), bool_and(from_sql) FROM pg_prepared_statements").fetchone()
        connection.execute("DEALLOCATE ALL")
        return found, names

    found, _ = talk(dialogue)
    assert len(found) == 56


def test_a_statement_prepared_before_its_table_changes(talk):
    def dialogue(connection):
        connection.execute("CREATE TABLE changing (a int)")
        connection.execute("INSERT INTO changing VALUES (1)")
        found = [ask(connection, "SELECT * FROM changing", prepare=True)]
        with other_connection(connection) as other:
            other.execute("ALTER TABLE changing ADD COLUMN b text DEFAULT 'new'")
        found += [ask(connection, "SELECT * FROM changing", prepare=True) for _ in range(2)]
        connection.execute("DROP TABLE changing")
        return [*found, ask(connection, "SELECT * FROM changing", prepare=True)]

    assert talk(dialogue)[1]["message_primary"] == "cached plan must not change result type"


def test_pipelines(talk):
    def dialogue(connection):
        found = []
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("SELECT %s::int + 1 AS next", (i,)) for i in range(300)]
            found.append([cursor.fetchone() for cursor in cursors])
            connection.execute("CREATE TEMP TABLE piped (i int PRIMARY KEY)")
            cursor = connection.cursor()
            cursor.executemany("INSERT INTO piped VALUES (%s) RETURNING i * 2", [(i,) for i in range(20)], returning=True)
            while True:
                found.append(cursor.fetchall())
                if not cursor.nextset():
                    break
            pipeline.sync()
        return found

    found = talk(dialogue)
    assert found[0][299] == (300,)
    assert found[20] == [(38,)]


def in_a_pipeline(connection, *segments):
    """Every result of these segments, each sent whole and closed by a Sync, as libpq hands them out."""
    server = connection.pgconn
    server.nonblocking = 0
    server.enter_pipeline_mode()
    for segment in segments:
        for query, *parameters in segment:
            server.send_query_params(query.encode(), [str(value).encode() for value in parameters])
        server.pipeline_sync()
    found, open_segments = [], len(segments)
    while open_segments:
        result = server.get_result()
        if result is None:
            found.append("end")
            continue
        open_segments -= result.status == psycopg.pq.ExecStatus.PIPELINE_SYNC
        rows = [[result.get_value(row, i) for i in range(result.nfields)] for row in range(result.ntuples)]
        error = fields(psycopg.errors.Diagnostic(result)) if result.status == psycopg.pq.ExecStatus.FATAL_ERROR else None
        found.append((psycopg.pq.ExecStatus(result.status).name, result.command_status, rows, error, server.transaction_status))
    server.exit_pipeline_mode()
    return found


@pytest.mark.parametrize("broken", ["SELECT 1/0", "SELECT nope", "SELEC", "INSERT INTO half VALUES ('x')", "SELECT $1::int"])
def test_errors_inside_pipelines(talk, broken):
    def dialogue(connection):
        connection.execute("CREATE TABLE half (i int)")
        insert = ("INSERT INTO half VALUES ($1)", 1)
        found = [
            in_a_pipeline(
                connection,
                [("SELECT 'before'",), insert, (broken, "x")[: 1 + ("$1" in broken)], insert, ("SELECT 'skipped'",)],
                [("SELECT 'next'",), insert],
            ),
            in_a_pipeline(
                connection, [("BEGIN",), insert, (broken,)], [("SELECT 'failed'",)], [("ROLLBACK",), ("SELECT count(*) FROM half",)]
            ),
            in_a_pipeline(connection, [("BEGIN",), insert], [(broken,)], [("COMMIT",)], [], [("SELECT count(*) FROM half",)]),
        ]
        connection.execute("DROP TABLE half")
        return found

    found = talk(dialogue)
    kinds = [part[0] for part in found[0] if part != "end"]
    assert kinds == [
        "TUPLES_OK",
        "COMMAND_OK",
        "FATAL_ERROR",
        "PIPELINE_ABORTED",
        "PIPELINE_ABORTED",
        "PIPELINE_SYNC",
        "TUPLES_OK",
        "COMMAND_OK",
        "PIPELINE_SYNC",
    ]
    assert found[1][-3][2] == found[2][-3][2] == [[b"1"]]


@pytest.mark.parametrize("broken", ["SELECT 1/0", "SELECT nope", "SELEC"])
def test_errors_that_psycopg_hears_of_inside_its_pipelines(talk, broken):
    def dialogue(connection):
        # Whether psycopg reads the error while it still sends or when it waits for the Sync is chance; which error it raises is not.
        heard = []
        try:
            with connection.pipeline() as pipeline:
                for query in ("SELECT 'before'", broken, "SELECT 'after'"):
                    connection.execute(query)
                pipeline.sync()
        except psycopg.Error as error:
            heard.append((type(error).__name__, fields(error)))
        return heard, ask(connection, "SELECT 'still here'")

    heard, after = talk(dialogue)
    assert heard[0][1]["severity"] == "ERROR"
    assert after[0][2] == [[b"still here"]]


def test_a_pipeline_with_transactions_and_several_syncs(talk):
    def dialogue(connection):
        found = []
        connection.execute("CREATE TABLE ledger (i int PRIMARY KEY)")
        with connection.pipeline() as pipeline:
            for i in (1, 2, 2, 3):
                try:
                    with connection.transaction():
                        connection.execute("INSERT INTO ledger VALUES (%s)", (i,))
                        pipeline.sync()
                except psycopg.Error as error:
                    found.append(fields(error))
            found.append(connection.execute("SELECT array_agg(i ORDER BY i) FROM ledger").fetchone())
        connection.execute("DROP TABLE ledger")
        return found

    assert talk(dialogue)[-1] == ([1, 2, 3],)


def test_executemany(talk):
    def dialogue(connection):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE lots (i int PRIMARY KEY, t text)")
            cursor.executemany("INSERT INTO lots VALUES (%s, %s)", [(i, f"row {i}") for i in range(200)])
            count = cursor.rowcount
            cursor.executemany(
                "UPDATE lots SET t = %s WHERE i = %s RETURNING i, t", [(f"new {i}", i) for i in range(3)], returning=True
            )
            rows = [cursor.fetchall()]
            while cursor.nextset():
                rows.append(cursor.fetchall())
            try:
                cursor.executemany("INSERT INTO lots VALUES (%s, 'x')", [(1000,), (5,), (1001,)])
            except psycopg.Error as error:
                rows.append(fields(error))
            return count, rows, connection.execute("SELECT count(*) FROM lots").fetchone()

    count, rows, _ = talk(dialogue)
    assert (count, rows[1]) == (200, [(1, "new 1")])


COPIES = ["", "(FORMAT csv, HEADER)", "(FORMAT binary)", "(DELIMITER '|', NULL 'none')"]


@pytest.mark.parametrize("options", COPIES)
def test_copy_out(talk, options):
    def dialogue(connection):
        found = []
        for source in (
            "kinds",
            "(SELECT id, label, size * 2 FROM items ORDER BY id)",
            "items (label, id)",
            "(SELECT 1 WHERE false)",
            "(SELECT '')",
        ):
            with connection.cursor() as cursor:
                with cursor.copy(f"COPY {source} TO STDOUT {options}") as copy:
                    found.append(b"".join(map(bytes, copy)))
                found.append(cursor.rowcount)
        return found

    found = talk(dialogue)
    assert len(found[0]) > 1000
    assert found[3] == 50


def test_copy_out_as_rows(talk):
    def dialogue(connection):
        found = []
        for form in ("", "(FORMAT binary)"):
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY (SELECT id, label, size, NULL FROM items ORDER BY id) TO STDOUT {form}") as copy,
            ):
                copy.set_types(["int4", "text", "int4", "text"])
                found.append(list(copy.rows()))
        return found

    assert talk(dialogue)[1][6] == (7, "item 7", 7, None)


@pytest.mark.parametrize("options", COPIES)
def test_copy_in(talk, options):
    def dialogue(connection):
        connection.execute("CREATE TEMP TABLE arrived (id int, label text, at timestamptz)")
        with connection.cursor() as cursor:
            if "csv" in options or "|" in options:
                separator, null = (",", "") if "csv" in options else ("|", "none")
                lines = [f"{i}{separator}label {i}{separator}{null}\n" for i in range(5000)]
                with cursor.copy(f"COPY arrived FROM STDIN {options}") as copy:
                    for line in ["id,label,at\n"] * ("csv" in options) + lines:
                        copy.write(line)
            else:
                with cursor.copy(f"COPY arrived FROM STDIN {options}") as copy:
                    copy.set_types(["int4", "text", "timestamptz"])
                    for i in range(5000):
                        copy.write_row((i, f"label {i}", None))
            return cursor.statusmessage, connection.execute(
                "SELECT count(*), sum(id), min(label), count(at) FROM arrived"
            ).fetchone()

    assert talk(dialogue) == ("COPY 5000", (5000, 12497500, "label 0", 0))


def test_copy_that_goes_wrong(talk):
    def copy(connection, statement, chunks, fail=None):
        try:
            with connection.cursor() as cursor:
                with cursor.copy(statement) as writer:
                    for chunk in chunks:
                        writer.write(chunk)
                    if fail:
                        raise fail
                return cursor.statusmessage
        except psycopg.Error as error:
            return fields(error)
        except ValueError as error:
            return str(error)

    def dialogue(connection):
        connection.execute("CREATE TEMP TABLE target (i int PRIMARY KEY, t text)")
        found = [
            copy(connection, "COPY target FROM STDIN", ["1\tone\n", "x\tbad\n", "3\tthree\n"]),
            copy(connection, "COPY target FROM STDIN", ["1\tone\n"], ValueError("changed my mind")),
            copy(connection, "COPY target FROM STDIN", ["1\tone\n", "1\ttwice\n"]),
            copy(connection, "COPY nowhere FROM STDIN", ["1\n"]),
            copy(connection, "COPY target FROM STDIN (FORMAT binary)", [b"not binary at all, surely"]),
            copy(connection, "COPY target FROM STDIN", ["1\tone\n" + "2\t" + "long " * 200000 + "\n"]),
            ask(connection, "SELECT i, length(t) FROM target ORDER BY i"),
        ]
        try:
            with (
                connection.cursor() as cursor,
                cursor.copy("COPY (SELECT 100 / (50 - i) FROM generate_series(1, 60) i) TO STDOUT") as reader,
            ):
                found.append([bytes(chunk) for chunk in reader])
        except psycopg.Error as error:
            found.append(fields(error))
        try:
            with connection.cursor() as cursor, cursor.copy("COPY many TO STDOUT") as reader:
                found.append(len(bytes(reader.read())) > 0)
                raise ValueError("enough")
        except ValueError as error:
            found.append(str(error))
        return [*found, ask(connection, "SELECT 1")]

    found = talk(dialogue)
    assert found[0]["context"] == 'COPY target, line 2, column i: "x"'
    assert found[-1][0][0] == b"SELECT 1"


def test_copy_through_a_pipe_into_another_table(talk):
    def dialogue(connection):
        connection.execute("CREATE TEMP TABLE copied (LIKE many)")
        reading, writing = "COPY many TO STDOUT (FORMAT binary)", "COPY copied FROM STDIN (FORMAT binary)"
        with (
            other_connection(connection) as other,
            other.cursor() as source,
            connection.cursor() as sink,
            source.copy(reading) as reader,
            sink.copy(writing) as writer,
        ):
            for data in reader:
                writer.write(data)
        return connection.execute("SELECT count(*), md5(string_agg(digest, '' ORDER BY id)) FROM copied").fetchone()

    assert talk(dialogue)[0] == 3000


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_server_side_cursors(talk, binary):
    def dialogue(connection):
        found = []
        with connection.cursor("walker", scrollable=True, binary=binary) as cursor:
            cursor.execute("SELECT id, label, size * 2 AS twice FROM items WHERE id > %s ORDER BY id", (3,))
            found += [cursor.fetchone(), cursor.fetchmany(5)]
            cursor.scroll(10)
            found.append(cursor.fetchone())
            cursor.scroll(0, mode="absolute")
            found.append(cursor.fetchone())
            found.append(len(cursor.fetchall()))
            found.append([column.name for column in cursor.description])
        with connection.cursor("straight", scrollable=False) as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT id FROM items ORDER BY id")
            found.append(sum(row[0] for row in cursor))
            try:
                cursor.scroll(-5)
            except psycopg.Error as error:
                found.append(fields(error))
        connection.rollback()
        with connection.cursor("held", withhold=True) as cursor:
            cursor.execute("SELECT label || '!' AS loud, count(*) OVER () FROM items ORDER BY id")
            connection.commit()
            found.append(cursor.fetchmany(3))
            found.append(cursor.fetchall()[-1])
        return found

    found = talk(dialogue, autocommit=False)
    assert found[0] == (4, "item 4", 8)
    assert found[-2][0] == ("item 1!", 50)


def test_rows_one_by_one_and_in_chunks(talk):
    def dialogue(connection):
        with connection.cursor() as cursor:
            one = sum(row[0] for row in cursor.stream("SELECT id, digest FROM many WHERE id > %s", (0,)))
            chunk = (
                sum(row[0] for row in cursor.stream("SELECT id, digest FROM many", size=100))
                if psycopg.pq.version() >= 170000
                else 0
            )
            try:
                broken = [row for row in cursor.stream("SELECT 10 / (5 - i) FROM generate_series(1, 9) i")]
            except psycopg.Error as error:
                broken = fields(error)
            return one, chunk, broken

    assert talk(dialogue)[0] == 3000 * 3001 // 2


def test_big_values_both_ways(talk):
    def dialogue(connection):
        data = bytes(range(256)) * 20000
        back = connection.execute(
            "SELECT %b::bytea AS raw, %s::text AS words, length(%s::text)", (data, "ж" * 500000, "x" * 3000000), binary=True
        ).fetchone()
        return (
            back[0] == data,
            back[1] == "ж" * 500000,
            back[2],
            len(connection.execute("SELECT repeat('y', 5000000)").fetchone()[0]),
        )

    assert talk(dialogue) == (True, True, 3000000, 5000000)


def test_notifications(twins):
    def dialogue(address):
        with psycopg.connect(address.uri, autocommit=True) as listening, psycopg.connect(address.uri, autocommit=True) as sending:
            listening.execute('LISTEN news; LISTEN "Other"')
            sending.execute("NOTIFY news, 'while idle'")
            sending.execute('NOTIFY "Other"')
            heard = [(n.channel, n.payload, n.pid > 0) for n in listening.notifies(timeout=10, stop_after=2)]
            with sending.transaction():
                sending.execute("SELECT pg_notify('news', %s)", ("in a transaction",))
            heard += [(n.channel, n.payload, n.pid > 0) for n in listening.notifies(timeout=10, stop_after=1)]
            listening.execute("UNLISTEN *")
            sending.execute("NOTIFY news, 'unheard'")
            listening.execute("SELECT 1")
            return heard + [(n.channel, n.payload) for n in listening.notifies(timeout=0.1)]

    assert twins.same(dialogue) == [("news", "while idle", True), ("Other", "", True), ("news", "in a transaction", True)]


def test_the_backend_named_in_a_notification_is_the_client_s_own(twins):
    def dialogue(address):
        with psycopg.connect(address.uri, autocommit=True) as connection:
            connection.execute("LISTEN own")
            connection.execute("NOTIFY own")
            (heard,) = connection.notifies(timeout=10, stop_after=1)
            return heard.pid == connection.info.backend_pid, connection.execute("SELECT pg_backend_pid()").fetchone()[
                0
            ] == heard.pid

    assert twins.same(dialogue) == (True, True)


@pytest.mark.parametrize("how", ["cancel", "cancel_safe"])
def test_cancelling(talk, once_asleep, how):
    def dialogue(connection):
        started = time.monotonic()
        cancelling = once_asleep(getattr(connection, how))
        found = [ask(connection, "SELECT pg_sleep(30)")]
        cancelling.join()
        found.append(time.monotonic() - started < 29)
        getattr(connection, how)()
        return [*found, ask(connection, "SELECT 'still here'")]

    found = talk(dialogue)
    assert found[0]["sqlstate"] == "57014"
    assert found[1]


def test_a_statement_timeout_and_a_lock_timeout(twins):
    def dialogue(address):
        with psycopg.connect(address.uri, options="-c statement_timeout=200", autocommit=True) as connection:
            found = [ask(connection, "SELECT pg_sleep(30)")]
            connection.execute("SET statement_timeout = 0; SET lock_timeout = '100ms'")
            with psycopg.connect(address.uri) as other:
                other.execute("LOCK TABLE items")
                found.append(ask(connection, "SELECT count(*) FROM items"))
            found.append(ask(connection, "SELECT count(*) FROM items"))
            connection.execute("SET idle_in_transaction_session_timeout = '100ms'")
            connection.execute("BEGIN")
            select.select([connection], [], [], 20)  # the server says that it ends the session
            found.append(ask(connection, "SELECT 1"))
            return found, connection.closed

    found, closed = twins.same(dialogue)
    assert [part["sqlstate"] for part in (found[0], found[1], found[3])] == ["57014", "55P03", "25P03"]
    assert closed


def test_a_backend_that_is_terminated(twins):
    def dialogue(address):
        with psycopg.connect(address.uri, autocommit=True) as connection:
            return ask(connection, "SELECT pg_terminate_backend(pg_backend_pid())"), connection.closed

    assert twins.same(dialogue)[0]["sqlstate"] == "57P01"


def test_large_objects_by_function_call(talk):
    from psycopg import pq

    def dialogue(connection):
        found = []
        with connection.transaction():
            oid = connection.execute("SELECT lo_create(0)").fetchone()[0]
            descriptor = connection.execute("SELECT lo_open(%s, 393216)", (oid,)).fetchone()[0]
            found.append(connection.execute("SELECT lowrite(%s, %s)", (descriptor, b"\0\1\2" * 1000)).fetchone())
            found.append(connection.execute("SELECT lo_lseek64(%s, 10, 0), loread(%s, 5)", (descriptor, descriptor)).fetchone())
        found.append(connection.execute("SELECT length(lo_get(%s)), lo_unlink(%s)", (oid, oid)).fetchone())
        return found, pq.version() > 0

    assert talk(dialogue)[0] == [(3000,), (10, b"\1\2\0\1\2"), (3000, 1)]


def test_rows_as_dicts_and_composed_queries(talk):
    def dialogue(connection):
        with connection.cursor(row_factory=dict_row) as cursor:
            query = sql.SQL("SELECT {}, label AS {} FROM {} WHERE id = ANY(%(ids)s) ORDER BY id").format(
                sql.Identifier("id"), sql.Identifier('odd "name"'), sql.Identifier("public", "items")
            )
            return cursor.execute(query, {"ids": [1, 2, 3]}).fetchall()

    assert talk(dialogue)[2] == {"id": 3, 'odd "name"': "item 3"}


def test_async(twins, until_asleep):
    async def dialogue(address):
        found = []
        async with await psycopg.AsyncConnection.connect(address.uri, autocommit=True) as connection:
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT * FROM kinds ORDER BY id", binary=True)
                found.append(wire(cursor))
                await cursor.execute("SELECT 1; SELECT 2")
                found.append(wire(cursor))
                try:
                    await cursor.execute("SELECT nope")
                except psycopg.Error as error:
                    found.append(fields(error))
                async with cursor.copy("COPY items TO STDOUT") as copy:
                    found.append(b"".join([bytes(data) async for data in copy]))
                async with connection.pipeline():
                    answers = [await connection.execute("SELECT %s::int", (i,)) for i in range(50)]
                    found.append([await answer.fetchone() for answer in answers])
            async with connection.transaction(), connection.cursor("named") as cursor:
                await cursor.execute("SELECT id FROM items ORDER BY id")
                found.append([row async for row in cursor])
            sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(30)"))
            await asyncio.to_thread(until_asleep)
            await connection.cancel_safe()
            try:
                await sleeping
            except psycopg.Error as error:
                found.append(fields(error))
            found.append(await (await connection.execute("SELECT 'after'")).fetchone())
        return found

    found = twins.same(dialogue)
    assert found[-2]["sqlstate"] == "57014"
    assert found[-1] == ("after",)


def test_many_connections_at_once(twins):
    async def dialogue(address):
        async def one(i):
            async with await psycopg.AsyncConnection.connect(address.uri) as connection:
                answer = await connection.execute("SELECT %s::int, count(*) FROM items", (i,))
                return await answer.fetchone()

        return await asyncio.gather(*(one(i) for i in range(20)))

    assert twins.same(dialogue)[19] == (19, 50)


def test_refused_connections(twins):
    def dialogue(address):
        found = []
        for uri in (address.of("nowhere").uri,):
            try:
                psycopg.connect(uri).close()
            except psycopg.OperationalError as error:
                found.append(str(error).replace(str(address.port), "PORT"))
        return found

    direct, through = twins.both(dialogue)
    assert 'database "nowhere" does not exist' in direct[0]
    assert "FATAL:  target shop: there is no such database" in through[0]


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_a_masked_table_is_masked(twins, binary):
    def dialogue(address):
        with psycopg.connect(address.uri, autocommit=True) as connection:
            rows = connection.execute("SELECT * FROM secrets WHERE id > %s ORDER BY id", (0,), binary=binary).fetchall()
            with connection.cursor("named", binary=binary) as cursor, connection.transaction():
                cursor.execute("SELECT ssn AS other FROM secrets ORDER BY id")
                rows += cursor.fetchall()
            with connection.pipeline():
                rows += connection.execute("SELECT max(ssn) FROM secrets", binary=binary).fetchall()
            with connection.cursor().copy(f"COPY secrets TO STDOUT {'(FORMAT binary)' if binary else ''}") as copy:
                copy.set_types(["int4", "text", "int4", "text"])
                rows += list(copy.rows())
            return rows

    direct, through = twins.both(dialogue)
    assert direct[:5] == [
        (1, "123-45-6781", 1001, "write to ann@example.com"), (2, "123-45-6782", 1002, "nothing here"), ("123-45-6781",), ("123-45-6782",), ("123-45-6782",),
    ]  # fmt: skip
    masked = [(1, "***-**-6781", None, "write to [redacted]"), (2, "***-**-6782", None, "nothing here")]
    assert through[:4] == [*masked, ("***-**-6781",), ("***-**-6782",)]
    assert "123-45" not in str(through)
    assert len(through) == len(direct)


CHANGES = [
    ("CREATE VIEW peek AS SELECT id, ssn FROM secrets", "SELECT ssn FROM peek"),
    ("CREATE TEMP VIEW peek AS SELECT id, ssn AS plain FROM secrets", "SELECT plain FROM peek"),
    ("ALTER TABLE secrets RENAME COLUMN ssn TO plain", "SELECT plain FROM secrets"),
    ("ALTER TABLE secrets RENAME TO others", "SELECT ssn FROM others"),
    ("ALTER TABLE secrets SET SCHEMA elsewhere", "SELECT ssn FROM elsewhere.secrets"),
    ("CREATE TABLE heir () INHERITS (secrets); INSERT INTO heir VALUES (9, '123-45-6789')", "SELECT ssn FROM heir"),
    ("CREATE VIEW peek AS SELECT upper(ssn) AS loud FROM secrets", "SELECT max(loud) FROM peek"),
    ("CREATE VIEW peek AS SELECT most_common_vals::text AS loud FROM pg_stats", "SELECT loud FROM peek LIMIT 3"),
]


@pytest.mark.parametrize(("change", "query"), CHANGES)
def test_i5_what_is_masked_stays_masked_whatever_its_transaction_does(twins, change, query):
    with psycopg.connect(twins.behind.uri, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS elsewhere; ANALYZE secrets")
    with psycopg.connect(twins.through.uri) as connection:
        connection.execute("CREATE TEMP TABLE own AS SELECT 1 AS one")
        connection.execute(change)
        assert connection.execute("SELECT one FROM own").fetchall() == [(1,)]
        for binary in (False, True):
            rows = connection.execute(query, binary=binary).fetchall()
            assert rows
            assert "123-45" not in str(rows)
        connection.rollback()


def test_names_that_nobody_holds(talk):
    def dialogue(connection):
        server = connection.pgconn
        found = []

        def note(result):
            error = fields(psycopg.errors.Diagnostic(result)) if result.status == psycopg.pq.ExecStatus.FATAL_ERROR else None
            rows = [[result.get_value(row, i) for i in range(result.nfields)] for row in range(result.ntuples)]
            found.append((psycopg.pq.ExecStatus(result.status).name, rows, error, server.transaction_status))

        note(server.exec_prepared(b"nobody", []))
        note(server.prepare(b"known", b"SELECT 'known'"))
        note(server.exec_prepared(b"known", []))
        for query in (b"BEGIN", b"SELECT 1/0", b"DEALLOCATE known"):
            note(server.exec_(query))
        note(server.exec_prepared(b"nobody", []))
        note(server.exec_(b"ROLLBACK"))
        note(server.exec_prepared(b"known", []))
        note(server.exec_(b"DEALLOCATE known"))
        note(server.exec_prepared(b"known", []))
        note(server.exec_(b"PREPARE known AS SELECT 'by SQL'"))
        note(server.exec_prepared(b"known", []))
        note(server.exec_(b"DISCARD ALL"))
        note(server.exec_prepared(b"known", []))
        note(server.describe_prepared(b"known"))
        note(server.describe_portal(b"nobody"))
        return found

    codes = [error and error["sqlstate"] for _, _, error, _ in talk(dialogue)]
    assert codes == [
        "26000",
        None,
        None,
        None,
        "22012",
        "25P02",
        "26000",
        None,
        None,
        None,
        "26000",
        None,
        None,
        None,
        "26000",
        "26000",
        "34000",
    ]
