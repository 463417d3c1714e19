"""pg8000: a driver in pure Python, whose every command is a prepared one."""

import io

import pg8000.dbapi
import pg8000.native
import pytest


@pytest.fixture
def talk(twins):
    """Hold a dialogue over a connection of its own, direct and through the gateway."""

    def hold(dialogue, *, opaque=False, **options):
        def with_connection(address):
            with pg8000.native.Connection(
                address.user,
                host=address.host,
                port=address.port,
                password=address.password,
                database=address.database,
                ssl_context=False,
                **options,
            ) as connection:
                return dialogue(connection), [{k: v for k, v in notice.items() if k not in b"FLR"} for notice in connection.notices]

        return twins.same(with_connection, opaque=opaque)[0]

    return hold


def ask(connection, query, **parameters):
    try:
        rows = connection.run(query, **parameters)
    except pg8000.native.DatabaseError as error:
        return error.args[0]
    columns = [
        (
            c["name"],
            c["table_oid"] > 0,
            c["column_attrnum"],
            c["type_oid"] < 16384 and c["type_oid"],
            c["type_size"],
            c["type_modifier"],
            c["format"],
        )
        for c in connection.columns or []
    ]
    return columns, [[str(value) for value in row] for row in rows or []], connection.row_count


def test_the_start(talk):
    def dialogue(connection):
        return (
            {k: v for k, v in connection.parameter_statuses.items() if k != b""}
            if isinstance(connection.parameter_statuses, dict)
            else list(connection.parameter_statuses)
        )

    assert "UTF8" in str(talk(dialogue, application_name="pg8000 test"))


def test_every_type(talk):
    def dialogue(connection):
        found = [ask(connection, "SELECT * FROM kinds WHERE id = :i", i=i) for i in (1, 3, 4)]
        return [*found, ask(connection, "SELECT id, f4, f8, n, b, md, ir, jb, ia FROM kinds WHERE id = 2")]

    assert len(talk(dialogue)[0][0]) == 51


def test_parameters_and_prepared_statements(talk):
    def dialogue(connection):
        statement = connection.prepare("SELECT label, size + :n FROM items WHERE id = :i")
        found = [statement.run(i=i, n=10) for i in (1, 2, 3)]
        statement.close()
        found.append(ask(connection, "SELECT :a, :b, :c, :d, :e", a=1, b="x", c=None, d=[1, 2], e=True))
        return [*found, ask(connection, "SELECT CAST(:x AS int) + 1", x="3"), ask(connection, "SELECT CAST(:x AS int)", x="three")]

    assert talk(dialogue)[0] == [["item 1", 11]]


def test_errors_and_transactions(talk):
    queries = [
        "SELECT nope FROM items", "SELECT 1/0", "SELEC", "INSERT INTO items (label) VALUES ('item 1')", "BEGIN", "CREATE TABLE eight (i int)", "SAVEPOINT a",
        "SELECT * FROM nowhere", "SELECT 1", "ROLLBACK TO a", "INSERT INTO eight VALUES (1) RETURNING i", "COMMIT", "DROP TABLE eight", "DROP TABLE IF EXISTS eight",
        "SELECT 1; SELECT 2", "", "COMMIT",
    ]  # fmt: skip

    assert talk(lambda connection: [ask(connection, query) for query in queries])[1]["C"] == "22012"


def test_the_words_of_functions(talk):
    queries = [
        "SELECT * FROM shout('x')",
        "CALL add_item('from pg8000')",
        "SELECT add_up(1, 2)",
        "DO $$ BEGIN RAISE EXCEPTION 'mine'; END $$",
    ]
    assert talk(lambda connection: [ask(connection, query) for query in queries], opaque=True)[2][1] == [["3"]]


def test_copy(talk):
    def dialogue(connection):
        found = []
        for options in ("", "CSV HEADER", "(FORMAT binary)"):
            out = io.BytesIO()
            connection.run(f"COPY kinds TO STDOUT {options}", stream=out)
            found += [out.getvalue(), connection.row_count]
        connection.run("CREATE TEMP TABLE arrived (i int, t text)")
        connection.run("COPY arrived FROM STDIN", stream=io.BytesIO(b"1\tone\n2\ttwo\n" * 1000))
        connection.run("COPY arrived FROM STDIN CSV", stream=["3,three\n", "4,four\n"])
        try:
            connection.run("COPY arrived FROM STDIN", stream=io.BytesIO(b"x\tbad\n"))
        except pg8000.native.DatabaseError as error:
            found.append(error.args[0])
        return [*found, ask(connection, "SELECT count(*), sum(i) FROM arrived")]

    assert talk(dialogue)[-1][1] == [["2002", "3007"]]


def test_notifications(talk):
    def dialogue(connection):
        connection.run("LISTEN news")
        connection.run("NOTIFY news, 'hello'")
        connection.run("SELECT 1")
        return [(channel, payload) for _, channel, payload in connection.notifications]

    assert talk(dialogue) == [("news", "hello")]


def test_the_standard_interface(twins):
    def dialogue(address):
        connection = pg8000.dbapi.connect(
            user=address.user,
            host=address.host,
            port=address.port,
            password=address.password,
            database=address.database,
            ssl_context=False,
        )
        try:
            cursor = connection.cursor()
            cursor.execute("CREATE TABLE nine (i int, t text)")
            cursor.executemany("INSERT INTO nine VALUES (%s, %s)", [(i, f"row {i}") for i in range(30)])
            connection.commit()
            cursor.execute("SELECT * FROM nine WHERE i < %s ORDER BY i", (5,))
            found = [
                [c[:2] for c in cursor.description],
                cursor.fetchone(),
                cursor.fetchmany(2),
                cursor.fetchall(),
                cursor.rowcount,
            ]
            cursor.execute("DELETE FROM nine")
            connection.rollback()
            cursor.execute("SELECT count(*) FROM nine")
            found.append(cursor.fetchone())
            cursor.execute("DROP TABLE nine")
            connection.commit()
            return found
        finally:
            connection.close()

    assert twins.same(dialogue)[-1] == [30]


def test_big_results(talk):
    def dialogue(connection):
        return (
            len(connection.run("SELECT * FROM many")),
            len(connection.run("SELECT repeat('x', 2000000)")[0][0]),
            len(connection.run("SELECT CAST(:b AS bytea)", b=b"\0" * 1000000)[0][0]),
        )

    assert talk(dialogue) == (3000, 2000000, 1000000)


def test_a_masked_table_is_masked(twins):
    def dialogue(address):
        with pg8000.native.Connection(
            address.user,
            host=address.host,
            port=address.port,
            password=address.password,
            database=address.database,
            ssl_context=False,
        ) as connection:
            out = io.BytesIO()
            connection.run("COPY (SELECT ssn, note FROM secrets ORDER BY id) TO STDOUT CSV", stream=out)
            return connection.run("SELECT * FROM secrets WHERE id > :i ORDER BY id", i=0), out.getvalue()

    direct, through = twins.both(dialogue)
    assert direct[0][0] == [1, "123-45-6781", 1001, "write to ann@example.com"]
    assert through[0] == [[1, "***-**-6781", None, "write to [redacted]"], [2, "***-**-6782", None, "nothing here"]]
    assert b"123-45" not in through[1]
    assert through[1].count(b"\n") == 2
