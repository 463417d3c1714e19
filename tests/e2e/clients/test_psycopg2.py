"""psycopg2, the driver that most Python programs still use: simple queries only, and its own asynchronous mode."""

import io
import select

import psycopg2
import psycopg2.extras
import psycopg2.sql
import pytest
from psycopg2 import extensions

FIELDS = (
    "severity sqlstate message_primary message_detail message_hint statement_position internal_query context schema_name table_name "
    "column_name datatype_name constraint_name source_file source_line source_function"
).split()


def fields(error):
    """Everything the server says in an error."""
    return {name: value for name in FIELDS if (value := getattr(error.diag, name)) is not None}


def ask(connection, query, parameters=None):
    """The answer to one command, error or not, with what is known of its columns."""
    with connection.cursor() as cursor:
        try:
            cursor.execute(query, parameters)
        except psycopg2.Error as error:
            return fields(error)
        columns = [
            (c.name, c.type_code < 16384 and c.type_code, c.internal_size, c.table_oid is None, c.table_column)
            for c in cursor.description or []
        ]
        return (
            cursor.statusmessage,
            cursor.rowcount,
            columns,
            [tuple(map(str, row)) for row in cursor.fetchall()] if columns else [],
        )


@pytest.fixture
def talk(twins):
    """Hold a dialogue over a connection of its own, direct and through the gateway."""

    def hold(dialogue, *, opaque=False, autocommit=True, **options):
        def with_connection(address):
            connection = psycopg2.connect(address.uri, **options)
            connection.autocommit = autocommit
            try:
                return dialogue(connection), list(connection.notices)
            finally:
                connection.close()

        return twins.same(with_connection, opaque=opaque)[0]

    return hold


def test_every_type(talk):
    def dialogue(connection):
        return [ask(connection, f"SELECT * FROM kinds WHERE id = {i}") for i in (1, 3, 4)] + [
            ask(connection, "SELECT id, f4, f8, n, iv::text, ir, tr FROM kinds WHERE id = 2")
        ]

    assert talk(dialogue)[0][0] == "SELECT 1"


def test_parameters(talk):
    import datetime
    import decimal

    values = (
        1,
        "it's \\ a",
        None,
        True,
        1.5,
        decimal.Decimal("1.20"),
        [1, 2],
        b"\0\xff",
        datetime.datetime(2024, 1, 1),
        (1, 2),
        "Ω",
    )

    def dialogue(connection):
        psycopg2.extras.register_uuid()
        with connection.cursor() as cursor:
            return [cursor.mogrify("%s", (value,)) for value in values], ask(
                connection, "SELECT %s AS a, %s AS b, %s, %s, %s, %s, %s, %s, %s, 1 IN %s, %s", values
            )

    assert talk(dialogue)[1][0] == "SELECT 1"


def test_errors_and_notices(talk):
    queries = [
        "SELECT nope FROM items", "SELECT 1/0", "INSERT INTO items (label) VALUES ('item 1')", "SELEC", "DROP TABLE IF EXISTS nowhere", "SELECT '漢', nope",
        "INSERT INTO items (label, size) VALUES ('z', 0)", "COMMIT", "SELECT 1; SELECT 2", "SELECT 1; SELECT 1/0", "",
    ]  # fmt: skip

    def dialogue(connection):
        found = []
        for query in queries:
            try:
                found.append(ask(connection, query))
            except psycopg2.ProgrammingError as error:
                found.append(str(error))
        return found

    assert talk(dialogue)[1]["sqlstate"] == "22012"


def test_the_words_of_functions(talk):
    queries = [
        "SELECT shout('x')",
        "DO $$ BEGIN RAISE EXCEPTION 'mine' USING DETAIL = 'd', ERRCODE = 'AB123'; END $$",
        "SELECT numbers(2)",
    ]
    assert talk(lambda connection: [ask(connection, query) for query in queries], opaque=True)[1]["sqlstate"] == "AB123"


def test_procedures_and_functions_by_callproc(talk):
    def dialogue(connection):
        with connection.cursor() as cursor:
            cursor.callproc("add_up", [1, 2])
            return cursor.fetchall()

    assert talk(dialogue, opaque=True) == [(3,)]


def test_transactions(talk):
    def dialogue(connection):
        found = []
        with connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS steps2 (i int)")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("INSERT INTO steps2 VALUES (1)")
                cursor.execute("SELECT 1/0")
        except psycopg2.Error as error:
            found.append(fields(error))
        ask(connection, "SAVEPOINT a")
        found += [
            connection.info.transaction_status,
            ask(connection, "SELECT nope"),
            connection.info.transaction_status,
            ask(connection, "SELECT 1"),
        ]
        ask(connection, "ROLLBACK TO a")
        found.append(ask(connection, "INSERT INTO steps2 VALUES (2)"))
        connection.commit()
        connection.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True)
        found += [ask(connection, "SHOW transaction_isolation"), ask(connection, "DELETE FROM steps2")]
        connection.rollback()
        connection.set_session(isolation_level="DEFAULT", readonly=False, deferrable=False)
        found.append(ask(connection, "SELECT * FROM steps2"))
        ask(connection, "DROP TABLE steps2")
        connection.commit()
        return found

    assert talk(dialogue, autocommit=False)[-1][3] == [("2",)]


def test_named_cursors(talk):
    def dialogue(connection):
        found = []
        with connection.cursor("walker", scrollable=True) as cursor:
            cursor.itersize = 6
            cursor.execute("SELECT id, label, size + 1 FROM items ORDER BY id")
            found += [cursor.fetchone(), cursor.fetchmany(3)]
            cursor.scroll(5)
            found.append(cursor.fetchone())
            cursor.scroll(-2)
            found.append(cursor.fetchone())
            found.append(len(list(cursor)))
        held = connection.cursor("held", withhold=True)
        held.execute("SELECT label || '?' FROM items ORDER BY id")
        connection.commit()
        found.append(held.fetchmany(2))
        held.close()
        return found

    found = talk(dialogue, autocommit=False)
    assert found[0] == (1, "item 1", 2)
    assert found[-1] == [("item 1?",), ("item 2?",)]


def test_copy(talk):
    def dialogue(connection):
        found = []
        with connection.cursor() as cursor:
            for statement in (
                "COPY kinds TO STDOUT",
                "COPY items TO STDOUT CSV HEADER",
                "COPY (SELECT id, label FROM items ORDER BY id) TO STDOUT (FORMAT binary)",
            ):
                out = io.BytesIO()
                cursor.copy_expert(statement, out)
                found += [out.getvalue(), cursor.statusmessage, cursor.rowcount]
            cursor.execute("CREATE TEMP TABLE arrived2 (i int, t text)")
            cursor.copy_from(io.StringIO("".join(f"{i}\tline {i}\n" for i in range(3000))), "arrived2")
            found += [cursor.statusmessage]
            cursor.copy_expert("COPY arrived2 FROM STDIN CSV", io.StringIO('5000,"quoted, text"\n'))
            for broken in (io.StringIO("x\ty\n"), _Breaks("1\tone\n")):
                try:
                    cursor.copy_from(broken, "arrived2")
                except psycopg2.Error as error:
                    found.append(fields(error))
                except ValueError as error:
                    found.append(str(error))
            out = io.StringIO()
            cursor.copy_to(out, "arrived2")
            found.append(out.getvalue())
        return [*found, ask(connection, "SELECT count(*), sum(i) FROM arrived2")]

    found = talk(dialogue)
    assert found[3].startswith(b"id,label")
    assert found[-1][3] == [("3001", "4503500")]


class _Breaks(io.StringIO):
    def read(self, size=-1):
        text = super().read(size)
        if not text:
            raise ValueError("the file broke")
        return text


def test_batches(talk):
    def dialogue(connection):
        with connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE batched (i int, t text)")
            cursor.executemany("INSERT INTO batched VALUES (%s, %s)", [(i, "many") for i in range(20)])
            psycopg2.extras.execute_batch(cursor, "INSERT INTO batched VALUES (%s, %s)", [(i, "batch") for i in range(250)])
            back = psycopg2.extras.execute_values(
                cursor, "INSERT INTO batched VALUES %s RETURNING i", [(i, "values") for i in range(250)], fetch=True
            )
        return back[-1], ask(connection, "SELECT t, count(*), sum(i) FROM batched GROUP BY t ORDER BY t")

    assert talk(dialogue)[0] == (249,)


def test_large_objects(talk):
    def dialogue(connection):
        found = []
        large = connection.lobject(0, "wb")
        oid = large.oid
        found.append(large.write(bytes(range(256)) * 1000))
        large.close()
        large = connection.lobject(oid, "rwb")
        found += [large.seek(100), large.read(10), large.tell(), large.seek(0, 2)]
        large.truncate(1000)
        found.append(large.seek(0, 2))
        large.close()
        connection.commit()
        found.append(len(connection.lobject(oid, "rb").read()))
        connection.lobject(oid).unlink()
        connection.commit()
        try:
            connection.lobject(oid, "rb")
        except psycopg2.Error as error:
            found.append(str(error).replace(str(oid), "OID"))
        connection.rollback()
        return found

    assert talk(dialogue, autocommit=False)[:3] == [256000, 100, bytes(range(100, 110))]


def test_notifications(talk):
    def dialogue(connection):
        ask(connection, "LISTEN news")
        ask(connection, "NOTIFY news, 'hello'")
        ask(connection, "SELECT pg_notify('news', 'again')")
        while len(connection.notifies) < 2:
            assert select.select([connection], [], [], 10)[0]
            connection.poll()
        return [(n.channel, n.payload, n.pid == connection.info.backend_pid) for n in connection.notifies]

    assert talk(dialogue) == [("news", "hello", True), ("news", "again", True)]


def test_cancelling(talk, once_asleep):
    def dialogue(connection):
        cancelling = once_asleep(connection.cancel)
        found = ask(connection, "SELECT pg_sleep(30)")
        cancelling.join()
        return found, ask(connection, "SELECT 1")

    assert talk(dialogue)[0]["sqlstate"] == "57014"


def test_the_asynchronous_mode(twins):
    def wait(connection):
        while (state := connection.poll()) != extensions.POLL_OK:
            read, write = ([connection], []) if state == extensions.POLL_READ else ([], [connection])
            assert any(select.select(read, write, [], 20))

    def dialogue(address):
        connection = psycopg2.connect(address.uri, async_=True)
        try:
            wait(connection)
            cursor = connection.cursor()
            found = []
            for query in ("SELECT id, label FROM items ORDER BY id", "SELECT nope", "SELECT repeat('x', 1000000)"):
                try:
                    cursor.execute(query)
                    wait(connection)
                    found.append(cursor.fetchall())
                except psycopg2.Error as error:
                    found.append(fields(error))
            return found
        finally:
            connection.close()

    assert len(twins.same(dialogue)[0]) == 50


def test_registered_types(talk):
    def dialogue(connection):
        psycopg2.extras.register_composite("pair", connection)
        psycopg2.extras.register_range("floatrange", "FloatRange", connection)
        with connection.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as cursor:
            cursor.execute("SELECT pr, pra, fr FROM kinds ORDER BY id")
            found = [repr(row) for row in cursor.fetchall()]
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(psycopg2.sql.SQL("SELECT * FROM {} LIMIT 1").format(psycopg2.sql.Identifier("big_items")))
            return found, [dict(row) for row in cursor.fetchall()]

    assert "pair(a=1, b='one')" in talk(dialogue)[0][0]


def test_a_masked_table_is_masked(twins):
    def dialogue(address):
        connection = psycopg2.connect(address.uri)
        try:
            out = io.StringIO()
            with connection.cursor() as cursor:
                cursor.copy_expert("COPY (SELECT ssn, note FROM secrets ORDER BY id) TO STDOUT", out)
            with connection.cursor("named") as cursor:
                cursor.execute("SELECT * FROM secrets ORDER BY id")
                return cursor.fetchall(), out.getvalue()
        finally:
            connection.close()

    direct, through = twins.both(dialogue)
    assert direct[0][0] == (1, "123-45-6781", 1001, "write to ann@example.com")
    assert through[0] == [(1, "***-**-6781", None, "write to [redacted]"), (2, "***-**-6782", None, "nothing here")]
    assert "123-45" not in through[1]
    assert through[1].count("\n") == 2
