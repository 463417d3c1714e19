"""asyncpg: everything prepared, binary and pipelined, with its own introspection of types."""

import asyncio
import contextlib
import io

import asyncpg
import pytest

FIELDS = (
    "severity_en sqlstate message detail hint position internal_position internal_query context schema_name table_name column_name "
    "data_type_name constraint_name server_source_filename server_source_line server_source_function"
).split()

STATUSES = (
    "server_version server_encoding client_encoding application_name default_transaction_read_only in_hot_standby is_superuser "
    "session_authorization DateStyle IntervalStyle TimeZone integer_datetimes standard_conforming_strings scram_iterations search_path"
).split()


def fields(error):
    """Everything the server says in an error or a notice."""
    found = {
        name: value for name in FIELDS if (value := getattr(error, name, None)) is not None and not str(value).startswith("pg_temp")
    }
    return {"class": type(error).__name__, "text": str(error)} | found


def shown(row):
    """A row with the values of those classes that have no representation of their own."""
    return {
        name: list(value.points) if isinstance(value, asyncpg.Path | asyncpg.Polygon) else repr(value)
        for name, value in row.items()
    }


async def ask(connection, query, *parameters, how="fetch"):
    """The answer to one command, error or not."""
    try:
        answer = await getattr(connection, how)(query, *parameters)
    except asyncpg.PostgresError as error:
        return fields(error)
    except AttributeError as error:  # asyncpg's own, for an empty script
        return str(error)
    return [repr(dict(row)) for row in answer] if how == "fetch" else answer


@pytest.fixture
def talk(twins):
    """Hold a dialogue over a connection of its own, direct and through the gateway."""

    def hold(dialogue, *, opaque=False, **options):
        async def with_connection(address):
            connection = await asyncpg.connect(address.uri, **options)
            notices = []
            connection.add_log_listener(lambda _, message: notices.append(fields(message)))
            try:
                found = await dialogue(connection)
                await asyncio.sleep(0)
                return found, notices
            finally:
                await connection.close()

        return twins.same(with_connection, opaque=opaque)[0]

    return hold


def test_the_start(talk):
    async def dialogue(connection):
        settings = connection.get_settings()
        before = {name: getattr(settings, name, None) for name in STATUSES}
        await connection.execute("SET application_name = 'other'; SET TimeZone = 'Asia/Tokyo'")
        return (
            before,
            settings.application_name,
            settings.TimeZone,
            connection.get_server_version(),
            repr(connection.get_reset_query()),
        )

    found = talk(dialogue, server_settings={"application_name": "asyncpg test", "datestyle": "German"})
    assert found[0]["application_name"] == "asyncpg test"
    assert found[2] == "Asia/Tokyo"


def test_every_type(talk):
    async def dialogue(connection):
        found = []
        for i in (1, 3, 4):
            found += [shown(row) for row in await connection.fetch("SELECT * FROM kinds WHERE id = $1", i)]
        infinite = "SELECT id, b, i2, i4, i8, f4, f8, n, t, by, u, j, jb, ia, ta, ir, mr, tr, ip, ci, ma, bi, vb, pt, bx, m::text, md, dm, pr, fr FROM kinds WHERE id = 2"
        return [*found, shown(await connection.fetchrow(infinite))]

    found = talk(dialogue)
    assert found[0]["md"] == "'happy'"
    assert found[0]["n"] == "Decimal('12345.678900')"


def test_what_a_statement_says_of_itself(talk):
    async def dialogue(connection):
        found = []
        for query in (
            "SELECT * FROM kinds WHERE id = $1",
            "SELECT $1::mood, $2::pair, $3::floatrange, $4::positive, $5::mood[]",
            "INSERT INTO labels VALUES ($1, $2)",
        ):
            statement = await connection.prepare(query)
            kinds = [(t.name, t.kind, t.schema) for t in statement.get_parameters()]
            columns = [(a.name, a.type.name, a.type.kind, a.type.schema) for a in statement.get_attributes()]
            found += [kinds, columns, statement.get_statusmsg()]
        return found

    assert ("mood", "scalar", "public") in talk(dialogue)[3]


def test_values_of_ones_own_types_both_ways(talk):
    async def dialogue(connection):
        row = await connection.fetchrow(
            "SELECT $1::mood AS a, $2::pair AS b, $3::floatrange AS c, $4::positive AS d, $5::mood[] AS e, $6::pair[] AS f, $7::int4range AS g, $8::jsonb AS h",
            "ok", (1, "x"), asyncpg.Range(1.5, 2.5), 3, ["sad", None], [(1, "a"), (2, None)], asyncpg.Range(1, 5), '{"a": 1}',
        )  # fmt: skip
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=lambda text: ("decoded", text))
        decoded = await connection.fetchval("SELECT jb FROM kinds WHERE id = 1")
        wrong = [await ask(connection, "SELECT $1::positive", 0), await ask(connection, "SELECT $1::mood", "unheard of")]
        return repr(row), decoded, wrong

    row, decoded, _ = talk(dialogue)
    assert "Range" in row
    assert decoded[0] == "decoded"


QUERIES = [
    "SELECT nope FROM items", "SELEC", "SELECT 1/0", "SELECT * FROM nowhere", "INSERT INTO items (label) VALUES ('item 1')", "SELECT 'x'::int",
    "INSERT INTO items (label, size) VALUES ('z', 0)", "INSERT INTO items (label, parent) VALUES ('z', 9999)", "", "DROP TABLE IF EXISTS nowhere",
    "INSERT INTO items (label) VALUES (NULL)", "SELECT '漢字', nope", "COMMIT", "SELECT 1 WHERE false", "UPDATE items SET size = size WHERE false",
]  # fmt: skip


@pytest.mark.parametrize("how", ["fetch", "execute", "fetchval"])
def test_errors_and_status(talk, how):
    async def dialogue(connection):
        return [await ask(connection, query, how=how) for query in QUERIES]

    assert talk(dialogue)[0]["sqlstate"] == "42703"


def test_the_words_of_functions(talk):
    async def dialogue(connection):
        queries = [
            "SELECT shout('x')",
            "CALL add_item('from asyncpg')",
            "DO $$ BEGIN RAISE EXCEPTION 'mine' USING DETAIL = 'd', HINT = 'h'; END $$",
            "SELECT numbers(3)",
        ]
        return [await ask(connection, query) for query in queries] + [
            await ask(connection, "SELECT add_up($1, $2)", 1, 2, how="fetchval")
        ]

    assert talk(dialogue, opaque=True)[-1] == 3


def test_scripts_of_several_statements(talk):
    async def dialogue(connection):
        return [
            await connection.execute(
                "CREATE TEMP TABLE script (i int); INSERT INTO script VALUES (1), (2); UPDATE script SET i = i + 1"
            ),
            await ask(connection, "INSERT INTO script VALUES (9); SELECT 1/0", how="execute"),
            await ask(connection, "SELECT 1; SELECT 2"),
            await connection.fetchval("SELECT sum(i) FROM script"),
        ]

    found = talk(dialogue)
    assert (found[0], found[3]) == ("UPDATE 2", 5)


def test_prepared_statements_and_the_cache(talk):
    async def dialogue(connection):
        statement = await connection.prepare("SELECT label FROM items WHERE id = $1", name="by_id")
        found = [await statement.fetchval(i) for i in (1, 2, 999)]
        found += [[tuple(row) for row in await statement.fetchmany([(1,), (3,)])]]
        for i in range(250):  # more than the cache of 100 holds
            found.append(await connection.fetchval(f"SELECT $1::int + {i}", 1))
        return found, await statement.explain(2, analyze=False) is not None

    found, _ = talk(dialogue)
    assert found[:3] == ["item 1", "item 2", None]
    assert found[-1] == 250


def test_without_a_statement_cache(talk):
    async def dialogue(connection):
        return [await connection.fetchval("SELECT $1::text || 'x'", str(i)) for i in range(20)]

    assert talk(dialogue, statement_cache_size=0)[19] == "19x"


def test_a_table_that_changes_under_a_statement(talk):
    async def dialogue(connection):
        await connection.execute("CREATE TABLE altered (a int); INSERT INTO altered VALUES (1)")
        found = [await ask(connection, "SELECT * FROM altered")]
        await connection.execute("ALTER TABLE altered ADD COLUMN b text DEFAULT 'b'")
        found.append(await ask(connection, "SELECT * FROM altered"))
        statement = await connection.prepare("SELECT * FROM altered")
        await connection.execute("ALTER TABLE altered ALTER COLUMN a TYPE text")
        try:
            found.append([repr(row) for row in await statement.fetch()])
        except asyncpg.PostgresError as error:
            found.append(fields(error))
        await connection.execute("DROP TABLE altered")
        return found

    assert talk(dialogue)[2][
        "message"
    ] == "cached statement plan is invalid due to a database schema or configuration change" or talk(dialogue)


def test_transactions(talk):
    async def dialogue(connection):
        await connection.execute("CREATE TABLE deeds (i int)")
        found = []
        async with connection.transaction(isolation="serializable"):
            await connection.execute("INSERT INTO deeds VALUES (1)")
            try:
                async with connection.transaction():
                    await connection.execute("INSERT INTO deeds VALUES ($1)", 2)
                    await connection.execute("SELECT 1/0")
            except asyncpg.PostgresError as error:
                found.append(fields(error))
            found.append(connection.is_in_transaction())
        try:
            async with connection.transaction(readonly=True):
                await connection.execute("DELETE FROM deeds")
        except asyncpg.PostgresError as error:
            found.append(fields(error))
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO deeds VALUES (3)")
        await transaction.rollback()
        found.append(await connection.fetchval("SELECT array_agg(i) FROM deeds"))
        await connection.execute("DROP TABLE deeds")
        await connection.reset()
        return found

    assert talk(dialogue)[-1] == [1]


def test_cursors(talk):
    async def dialogue(connection):
        async with connection.transaction():
            rows = [
                tuple(row)
                async for row in connection.cursor("SELECT id, label || '!' FROM items WHERE id > $1 ORDER BY id", 10, prefetch=7)
            ]
            cursor = await connection.cursor("SELECT id, digest FROM many ORDER BY id")
            found = [
                repr(await cursor.fetchrow()),
                await cursor.forward(10),
                repr(await cursor.fetch(3)),
                await cursor.forward(5000),
                await cursor.fetch(5),
            ]
            try:
                [row async for row in connection.cursor("SELECT 10 / (5 - i) FROM generate_series(1, 9) i", prefetch=2)]
            except asyncpg.PostgresError as error:
                found.append(fields(error))
        return rows, found

    rows, found = talk(dialogue)
    assert rows[0] == (11, "item 11!")
    assert "id=12" in found[2]


def test_many_rows_and_limits(talk):
    async def dialogue(connection):
        return (
            len(await connection.fetch("SELECT * FROM many")),
            await connection.fetchrow("SELECT id FROM many ORDER BY id") == (1,),
            await connection.fetchval("SELECT id FROM many ORDER BY id DESC"),
            len(await connection.fetchval("SELECT repeat('z', 3000000)")),
            len(await connection.fetchval("SELECT $1::bytea", b"\0\1" * 1000000)),
        )

    assert talk(dialogue) == (3000, True, 3000, 3000000, 2000000)


def test_executemany(talk):
    async def dialogue(connection):
        await connection.execute("CREATE TEMP TABLE lots (i int PRIMARY KEY, t text)")
        await connection.executemany("INSERT INTO lots VALUES ($1, $2)", [(i, "x" * 200) for i in range(2000)])
        found = []
        try:
            await connection.executemany("INSERT INTO lots VALUES ($1, 'y')", [(5000,), (7,), (5001,)])
        except asyncpg.PostgresError as error:
            found.append(fields(error))
        with contextlib.suppress(AttributeError):
            found.append(
                [
                    tuple(row)
                    for row in await connection.fetchmany(
                        "UPDATE lots SET t = $2 WHERE i = $1 RETURNING i, t", [(1, "a"), (2, "b")]
                    )
                ]
            )
        return [*found, await ask(connection, "SELECT count(*), sum(i) FROM lots")]

    found = talk(dialogue)
    assert found[-1] == ["{'count': 2000, 'sum': 1999000}"]


def test_copy(talk):
    async def dialogue(connection):
        found = []
        for form in ("text", "csv", "binary"):
            for source in ("table", "query"):
                out = io.BytesIO()
                if source == "table":
                    tag = await connection.copy_from_table("items", columns=["id", "label", "size"], output=out, format=form)
                else:
                    tag = await connection.copy_from_query(
                        "SELECT id, label FROM items WHERE id > $1 ORDER BY id", 40, output=out, format=form
                    )
                found += [tag, out.getvalue()]
        await connection.execute("CREATE TABLE taken (i int, t text, n numeric, w mood)")
        found.append(await connection.copy_records_to_table("taken", records=[(i, f"r{i}", None, "ok") for i in range(4000)]))
        found.append(await connection.copy_to_table("taken", source=io.BytesIO(b"1,one,1.5,sad\n2,two,2.5,happy\n"), format="csv"))
        for source, form in ((b"x,bad\n", "csv"), (b"PGCOPY", "binary")):
            try:
                await connection.copy_to_table("taken", source=io.BytesIO(source), format=form)
            except asyncpg.PostgresError as error:
                found.append(fields(error))

        async def broken():
            yield b"1\tone\t\\N\tok\n"
            raise ValueError("the source broke")

        try:
            await connection.copy_to_table("taken", source=broken())
        except ValueError as error:
            found.append(str(error))
        found.append(await ask(connection, "SELECT count(*), sum(i), sum(n), max(w) FROM taken"))
        await connection.execute("DROP TABLE taken")
        return found

    found = talk(dialogue)
    assert found[2] == "COPY 10"
    assert found[12:14] == ["COPY 4000", "COPY 2"]


def test_listeners(twins):
    async def dialogue(address):
        listening, sending = await asyncpg.connect(address.uri), await asyncpg.connect(address.uri)
        try:
            heard = asyncio.Queue()
            await listening.add_listener(
                "news", lambda c, pid, channel, payload: heard.put_nowait((pid == sending.get_server_pid(), channel, payload))
            )
            await sending.execute("NOTIFY news, 'one'")
            found = [await asyncio.wait_for(heard.get(), 10)]
            async with sending.transaction():
                await sending.execute("SELECT pg_notify('news', $1)", "two")
            found.append(await asyncio.wait_for(heard.get(), 10))
            return found
        finally:
            await listening.close()
            await sending.close()

    assert twins.same(dialogue) == [(True, "news", "one"), (True, "news", "two")]


def test_timeouts_cancel(talk, until_asleep):
    async def dialogue(connection):
        found = []
        for how in ("execute", "fetch"):
            try:
                await getattr(connection, how)("SELECT pg_sleep(30)", timeout=0.3)
            except TimeoutError:
                found.append("timed out")
            found.append(await connection.fetchval("SELECT 'still here'"))
        task = asyncio.create_task(connection.fetch("SELECT pg_sleep(30)"))
        await asyncio.to_thread(until_asleep)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        found.append(await connection.fetchval("SELECT 'here too'"))
        await connection.execute("SET statement_timeout = '100ms'")
        return [*found, await ask(connection, "SELECT pg_sleep(30)")]

    found = talk(dialogue)
    assert found[:5] == ["timed out", "still here"] * 2 + ["here too"]


def test_a_pool(twins):
    async def dialogue(address):
        async with asyncpg.create_pool(address.uri, min_size=2, max_size=5) as pool:

            async def one(i):
                async with pool.acquire() as connection, connection.transaction():
                    return await connection.fetchval("SELECT $1::int * count(*) FROM items", i)

            return await asyncio.gather(*(one(i) for i in range(40)))

    assert twins.same(dialogue)[39] == 39 * 50


def test_introspection_off_and_custom_result_classes(talk):
    async def dialogue(connection):
        class Row(asyncpg.Record):
            def __getattr__(self, name):
                return self[name]

        rows = await connection.fetch("SELECT id, label FROM items ORDER BY id LIMIT 3", record_class=Row)
        return [row.label for row in rows], await connection.fetchval("SELECT current_setting('jit')")

    assert talk(dialogue)[0] == ["item 1", "item 2", "item 3"]


def test_a_masked_table_is_masked(twins):
    async def dialogue(address):
        connection = await asyncpg.connect(address.uri)
        try:
            out = io.BytesIO()
            await connection.copy_from_table("secrets", output=out, format="binary")
            rows = [tuple(row) for row in await connection.fetch("SELECT * FROM secrets ORDER BY id")]
            async with connection.transaction():
                rows += [tuple(row) async for row in connection.cursor("SELECT ssn FROM secrets WHERE id > $1 ORDER BY id", 0)]
            return rows, out.getvalue()
        finally:
            await connection.close()

    direct, through = twins.both(dialogue)
    assert direct[0][2] == ("123-45-6781",)
    assert through[0] == [
        (1, "***-**-6781", None, "write to [redacted]"), (2, "***-**-6782", None, "nothing here"), ("***-**-6781",), ("***-**-6782",),
    ]  # fmt: skip
    assert b"123-45" not in through[1]
    assert b"nothing here" in through[1]
