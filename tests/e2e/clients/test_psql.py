"""psql, as a user types it."""

import re
import signal
import subprocess

import psycopg
import pytest

pytestmark = pytest.mark.parametrize("major", [15, 16, 18], indirect=True, scope="module")

PID = re.compile(r"server process with PID \d+")
WATCHED_AT = re.compile(r"^(?:.*\t)?\w{3} \w{3} [ \d]\d .*\(every [\d.]+s\)", re.MULTILINE)
LISTINGS = "dt di ds dv dm dT dD df da do dO dn du dp db dy dx dC dL dc dE drds dRp dRs dF dFd dP dA dAc dAo l dt* dfn dfp".split()
RELATIONS = "items big_items item_totals tickets measures measures_2024 items_size pair labels kinds".split()


@pytest.fixture
def psql(twins):
    """What psql prints for a script, direct and through the gateway, which must be the same."""

    def run(script, *words, status=0, opaque=False):
        said = twins.same(lambda address: twins.run(address, "psql", "-X", *words, given=script), opaque=opaque)
        assert said.status == status, said.text
        return said.text

    return run


def test_listings(psql):
    text = psql("".join(f"\\echo {what}\n\\{what}\n" for what in LISTINGS))
    assert "item_totals" in text
    assert "ERROR" not in text


@pytest.mark.parametrize("verbose", ["", "+"])
def test_describe(psql, verbose):
    text = psql(f"\\d\n\\dS\n\\d{verbose} *\n" + "".join(f"\\d{verbose} {name}\n" for name in RELATIONS))
    assert all(name in text for name in RELATIONS)


def test_describe_with_patterns_and_functions(psql):
    text = psql(
        "\\dt public.*\n\\df add*\n\\df+ shout\n\\sf shout\n\\sv big_items\n\\dT+ mood\n\\do+ ||\n\\dd\n\\dti items*\n\\dfS pg_sleep\n"
    )
    assert "cover your ears" in text


def test_an_unknown_relation_and_command(psql):
    assert "Did not find any relation" in psql("\\d nowhere\n\\nonsense\nSELECT 1;\n")


@pytest.mark.parametrize("form", ["aligned", "unaligned", "csv", "html", "asciidoc", "latex", "troff-ms", "wrapped", "expanded"])
def test_output_formats(psql, form):
    chosen = "\\x on" if form == "expanded" else f"\\pset format {form}"
    text = psql(f"{chosen}\n\\pset null (null)\n\\pset linestyle unicode\nTABLE kinds ORDER BY id;\nSELECT 1 AS a, 2 AS b \\gx\n")
    assert "漢字" in text


def test_gdesc_gset_gexec_and_if(psql):
    text = psql(
        "SELECT *, 1::numeric(5,2) AS five, now() AS at FROM kinds \\gdesc\n"
        "SELECT count(*) AS n, 'x' AS word FROM items \\gset found_\n"
        "\\echo :found_n :'found_word'\n"
        "SELECT :found_n > 10 AS many \\gset\n\\if :many\n\\echo many\n\\else\n\\echo few\n\\endif\n"
        "SELECT format('SELECT %s AS generated', i) FROM generate_series(1, 3) i \\gexec\n"
        "SELECT 1 WHERE false \\gset\n\\echo :ERROR :SQLSTATE :ROW_COUNT :LAST_ERROR_MESSAGE\n"
        "SELECT i % 3 AS a, i % 2 AS b, count(*) FROM generate_series(1, 30) i GROUP BY 1, 2 ORDER BY 1, 2 \\crosstabview\n"
        "SELECT FROM nowhere \\gdesc\n\\echo :ERROR :SQLSTATE :LAST_ERROR_MESSAGE\n"
        "INSERT INTO nowhere VALUES (1) \\gset\n"
    )
    assert "generated" in text
    assert "numeric(5,2)" in text


def test_bind(psql, twins):
    if twins.major < 16:
        pytest.skip("psql 16 brought \\bind")
    text = psql(
        "SELECT $1::int + $2::int AS sum \\bind 3 4 \\g\n"
        "SELECT * FROM items WHERE label = $1 \\bind 'item 7' \\gx\n"
        "SELECT $1::int \\bind seven \\g\n"
        "SELECT $1 \\bind \\g\n"
        "INSERT INTO labels VALUES ($1, $2) RETURNING * \\bind 100 hundred \\g\n"
        "SELECT $1::text AS kept \\bind kept \\gset\n\\echo :kept\n"
        "SELECT 1; SELECT 2 \\bind \\g\n"
    )
    assert " 7\n" in text
    assert "hundred" in text


def test_named_statements_and_pipelines(psql, twins):
    if twins.major < 18:
        pytest.skip("psql 18 brought pipelines")
    text = psql(
        "SELECT $1::int + 1 AS next \\parse plus\n\\bind_named plus 4 \\g\n\\bind_named plus 5 \\g\n\\close_prepared plus\n"
        "\\bind_named plus 6 \\g\n"
        "\\startpipeline\nSELECT 1 AS one \\bind \\sendpipeline\nSELECT $1 AS two \\bind zwei \\sendpipeline\nSELECT 3 AS three;\n"
        "\\flushrequest\n\\getresults 2\n\\syncpipeline\nSELECT 1 / 0 \\bind \\sendpipeline\nSELECT 'skipped' \\bind \\sendpipeline\n"
        "\\syncpipeline\nSELECT 'after' AS after \\bind \\sendpipeline\n\\getresults\n\\endpipeline\n"
        "\\startpipeline\nBEGIN \\bind \\sendpipeline\nINSERT INTO labels VALUES (200, 'piped') \\bind \\sendpipeline\n"
        "ROLLBACK \\bind \\sendpipeline\nSELECT count(*) FROM labels WHERE id = 200 \\bind \\sendpipeline\n\\endpipeline\n"
    )
    assert "zwei" in text
    assert "division by zero" in text
    assert "after" in text


@pytest.mark.parametrize("verbosity", ["default", "verbose", "sqlstate"])
def test_errors_and_where_they_are(psql, verbosity):
    text = psql(
        f"\\set VERBOSITY {verbosity}\n\\set SHOW_CONTEXT always\n"
        "SELECT nope FROM items;\nSELECT\n  id,\n  lable\nFROM items;\nSELEC 1;\nSELECT 'é', nope;\nSELECT 1/0;\n\\errverbose\n"
        "INSERT INTO items (label) VALUES ('item 1');\nINSERT INTO items (label, size) VALUES ('zero', 0);\n"
        "INSERT INTO items (label) VALUES (repeat('long', 20));\nINSERT INTO items (label, parent) VALUES ('lost', 9999);\n"
        "INSERT INTO items (label) VALUES (NULL);\nSELECT * FROM nowhere;\nSELECT nofunc(1);\nSELECT 'x'::int;\n"
        "DROP TABLE IF EXISTS nowhere;\nDROP TYPE mood;\n"
        "CREATE FUNCTION broken() RETURNS int LANGUAGE sql AS 'SELECT nope';\nSELECT 1;\n"
    )
    assert "42703" in text or verbosity == "default"


@pytest.mark.parametrize("verbosity", ["default", "verbose"])
def test_the_words_of_functions_and_triggers(psql, verbosity):
    text = psql(
        f"\\set VERBOSITY {verbosity}\n\\set SHOW_CONTEXT always\nSELECT add_up('a');\nSELECT add_up(1);\nSELECT shout('x');\nSELECT (shout('y')).*;\n"
        "DO $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'AB123', DETAIL = 'd', HINT = 'h', TABLE = 't', COLUMN = 'c'; END $$;\n"
        "DO $$ BEGIN RAISE INFO 'did'; PERFORM 1/0; END $$;\nUPDATE labels SET label = 'new';\nTABLE labels;\n"
        "CALL add_item('called');\nDELETE FROM items WHERE label = 'called';\n"
        "SET client_min_messages = error;\nSELECT shout('a');\nSET client_min_messages = debug1;\nSELECT shout('a');\n",
        opaque=True,
    )
    assert "mine" in text
    assert "WARNING:" in text


def test_stopping_at_the_first_error(psql):
    text = psql("SELECT 1 AS first;\nSELECT 1/0;\nSELECT 2 AS second;\n", "-v", "ON_ERROR_STOP=1", status=3)
    assert "first" in text
    assert "second" not in text


def test_statements_in_one_message(psql, twins):
    def dialogue(address):
        return [
            twins.run(address, "psql", "-X", "-c", sql)
            for sql in (
                "SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c",
                "CREATE TABLE one_message (i int); INSERT INTO one_message VALUES (1), (2); TABLE one_message; SELECT 1/0; TABLE one_message",
                "TABLE one_message",
                "BEGIN; CREATE TABLE one_message (i int); COMMIT; INSERT INTO one_message VALUES (3); SELECT 1/0",
                "TABLE one_message",
                "INSERT INTO one_message VALUES (4); COMMIT; INSERT INTO one_message VALUES (5); ROLLBACK",
                "TABLE one_message; DROP TABLE one_message",
                "SELECT 1;;; SELECT 2;",
                ";",
                "",
                "SELECT 1 AS a; SELEC 2",
                "COPY labels TO STDOUT; SELECT 'after'; COPY labels TO STDOUT (FORMAT csv, HEADER)",
            )
        ]

    said = twins.same(dialogue)
    assert "(2 rows)" in said[1].text
    assert "does not exist" in said[2].text
    assert "one,two" not in said[-1].text and "2,two" in said[-1].text
    assert psql(
        "SELECT 1 \\; SELECT 2 \\; SELECT 3;\nSELECT 1 \\; SELECT 1/0 \\; SELECT 3;\n\\set SHOW_ALL_RESULTS off\nSELECT 1 \\; SELECT 2;\n"
    )


def test_transactions_and_savepoints(psql):
    text = psql(
        "CREATE TABLE ledger (i int);\n\\set AUTOCOMMIT off\nINSERT INTO ledger VALUES (1);\nCOMMIT;\nINSERT INTO ledger VALUES (2);\nROLLBACK;\n"
        "\\set AUTOCOMMIT on\nTABLE ledger;\nBEGIN;\nSAVEPOINT a;\nINSERT INTO ledger VALUES (3);\nSELECT 1/0;\nSELECT 1;\nROLLBACK TO a;\n"
        "INSERT INTO ledger VALUES (4);\nRELEASE a;\nCOMMIT AND CHAIN;\nINSERT INTO ledger VALUES (5);\nROLLBACK;\nCOMMIT;\n"
        "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nINSERT INTO ledger VALUES (6);\nSELECT 1/0;\nINSERT INTO ledger VALUES (7);\nCOMMIT;\n"
        "TABLE ledger;\nBEGIN READ ONLY;\nINSERT INTO ledger VALUES (8);\nROLLBACK;\nBEGIN ISOLATION LEVEL SERIALIZABLE;\nSHOW transaction_isolation;\nEND;\n"
        "PREPARE TRANSACTION 'none';\nDROP TABLE ledger;\n"
    )
    assert " 7\n" in text
    assert "read-only transaction" in text


def test_prepare_execute_and_cursors(psql):
    text = psql(
        "PREPARE p (int) AS SELECT label FROM items WHERE id = $1;\nEXECUTE p (3);\nEXECUTE p ('x');\nEXECUTE q;\nDEALLOCATE p;\nEXECUTE p (3);\n"
        "PREPARE w AS INSERT INTO labels VALUES ($1, $2) RETURNING id;\nEXECUTE w (300, 'three hundred');\nDEALLOCATE ALL;\n"
        "FETCH 1 FROM c;\nBEGIN;\nDECLARE c SCROLL CURSOR FOR SELECT id, label FROM items ORDER BY id;\nFETCH 2 FROM c;\nMOVE 5 IN c;\n"
        "FETCH BACKWARD 2 FROM c;\nFETCH LAST FROM c;\nFETCH ALL FROM c;\nFETCH ABSOLUTE 3 FROM c;\nCLOSE c;\nCOMMIT;\n"
        "BEGIN;\nDECLARE h CURSOR WITH HOLD FOR SELECT label || '!' AS loud, count(*) OVER () FROM items ORDER BY id;\nCOMMIT;\nFETCH 3 FROM h;\nSELECT name, is_holdable FROM pg_cursors;\nCLOSE h;\n"
        "BEGIN;\nDECLARE b BINARY CURSOR FOR SELECT 1;\nCLOSE b;\nDECLARE u CURSOR FOR SELECT * FROM items FOR UPDATE;\nFETCH 1 FROM u;\n"
        "UPDATE items SET size = 99 WHERE CURRENT OF u;\nROLLBACK;\nDISCARD ALL;\n"
    )
    assert "item 6" in text
    assert "item 1!" in text


def test_fetch_count_reads_through_a_cursor(psql):
    text = psql(
        "\\set FETCH_COUNT 700\n\\t on\n\\pset format unaligned\nSELECT * FROM many ORDER BY id;\nSELECT count(*), max(digest) FROM many;\n"
        "SELECT 1000 / (1500 - i) FROM generate_series(1, 3000) i;\nBEGIN;\nTABLE labels;\nCOMMIT;\nINSERT INTO labels VALUES (400, 'x') RETURNING *;\n"
    )
    assert text.count("\n") > 3000 + 1400  # two batches of 700 come ahead of the one that fails at its 100th row
    assert "division by zero" in text


def test_watch(twins):
    limits = "c=3 i=0.05" if twins.major >= 16 else ""

    def dialogue(address):
        if limits:
            said = twins.run(address, "psql", "-X", given=f"SELECT 'seen' AS word, count(*) FROM items \\watch {limits}\n").text
        else:
            said = _watch_until_interrupted(twins, address)
        return WATCHED_AT.sub("AT", said)

    assert twins.same(dialogue).count("seen") == 3


def _watch_until_interrupted(twins, address):
    lines = []
    with subprocess.Popen(
        [twins.program("psql"), "-X"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=address.environment, text=True,
    ) as process:  # fmt: skip
        process.stdin.write("SELECT 'seen' AS word, count(*) FROM items \\watch 0.1\n")  # -c takes no command behind its SQL
        process.stdin.close()
        for line in process.stdout:
            lines.append(line)
            if "".join(lines).count("seen") == 3 and line.startswith("(1 row)"):
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        process.wait(20)
    return "".join(lines)


def test_ctrl_c_stops_the_command(twins, eventually):
    def dialogue(address):
        behind = twins.behind if address == twins.through else address
        words = ["-X", "-c", "SELECT 'before'", "-c", "SELECT pg_sleep(60)", "-c", "SELECT 'not reached'"]
        running = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"
        process = subprocess.Popen(
            [twins.program("psql"), "-v", "ON_ERROR_STOP=1", *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=address.environment, text=True,
        )  # fmt: skip
        with process, psycopg.connect(behind.uri, autocommit=True) as looking:
            eventually(lambda: looking.execute(running).fetchone()[0], "psql sleeps")
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=20)[0]
            eventually(lambda: not looking.execute(running).fetchone()[0], "the server stops")
        return process.returncode, said

    status, said = twins.same(dialogue)
    assert "canceling statement due to user request" in said
    assert status != 0


COPIES = {
    "text": "",
    "csv": "(FORMAT csv, HEADER, NULL 'none', QUOTE '''', FORCE_QUOTE *)",
    "csv-plain": "CSV",
    "binary": "(FORMAT binary)",
    "delimited": "(DELIMITER '|', NULL '<null>')",
}


@pytest.mark.parametrize("how", COPIES)
def test_copy_out_and_in_through_files(twins, tmp_path, how):
    name, options = how.replace("-", "_"), COPIES[how]
    back = options.replace(", FORCE_QUOTE *", "")

    def dialogue(address):
        file, query = tmp_path / f"{address.port}-table", tmp_path / f"{address.port}-query"
        said = twins.run(
            address, "psql", "-X",
            given=f"\\copy kinds to '{file}' {options}\n\\copy (SELECT id, label, size FROM items ORDER BY id) to '{query}' {options}\n"
            f"CREATE TABLE back_{name} (LIKE kinds);\n\\copy back_{name} from '{file}' {back}\n"
            f"SELECT count(*) FROM (SELECT k::text FROM kinds k EXCEPT ALL SELECT b::text FROM back_{name} b) s;\n"
            f"CREATE TABLE items_{name} (id int, label text, size int);\n\\copy items_{name} from '{query}' {back}\n"
            f"SELECT count(*), sum(size) FROM items_{name};\nDROP TABLE back_{name}, items_{name};\n",
        )  # fmt: skip
        return said.status, said.text.replace(str(address.port), "PORT"), file.read_bytes(), query.read_bytes()

    _, text, table, _ = twins.same(dialogue)
    assert "COPY 4\n" in text
    assert "ERROR" not in text
    assert len(table) > 500


def test_copy_in_line_and_what_goes_wrong_in_it(psql, twins, tmp_path):
    rows = "".join(f"{i}\tline {i}\n" for i in range(2000))
    text = psql(
        "CREATE TABLE loaded (i int PRIMARY KEY, line text);\n"
        f"COPY loaded FROM STDIN;\n{rows}\\.\nSELECT count(*), sum(i) FROM loaded;\n"
        "COPY loaded FROM STDIN;\n5000\tfine\nx\tbad\n5001\tlater\n\\.\nSELECT count(*) FROM loaded;\n"
        "COPY loaded FROM STDIN;\n1\ttwice\n\\.\n"
        "COPY loaded FROM STDIN;\n1\ttoo\tmany\n\\.\n"
        "COPY loaded FROM STDIN;\n\\.\n"
        "COPY nowhere FROM STDIN;\n"
        "COPY loaded (nope) FROM STDIN;\n"
        "BEGIN;\nCOPY loaded FROM STDIN;\n6000\tin\n\\.\nCOPY loaded FROM STDIN;\nbad\tbad\n\\.\nSELECT 1;\nROLLBACK;\n"
        "COPY (SELECT i, line FROM loaded ORDER BY i LIMIT 3) TO STDOUT;\n"
        "COPY loaded TO STDOUT (FORMAT csv, HEADER);\n"
        "COPY (SELECT 1/0) TO STDOUT;\nCOPY (SELECT 10 / (3 - i) FROM generate_series(1, 5) i) TO STDOUT;\nCOPY (INSERT INTO loaded VALUES (7000, 'r') RETURNING *) TO STDOUT;\n"
        "\\copy loaded from '/nonexistent/file'\n\\copy nowhere from stdin\n\\copy (SELECT 1 AS a) to stdout csv header\n\\copy loaded from program 'echo \"8000,x\"' csv\n"
        "SELECT count(*) FROM loaded;\nDROP TABLE loaded;\n"
    )
    assert "COPY 2000" in text
    assert 'CONTEXT:  COPY loaded, line 2, column i: "x"' in text


def test_large_objects(twins, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 500)

    def dialogue(address):
        out = tmp_path / str(address.port)
        said = twins.run(
            address, "psql", "-X",
            given=f"\\lo_import '{source}' 'a comment'\n\\lo_list\n\\lo_export :LASTOID '{out}'\nSELECT length(lo_get(:LASTOID));\n"
            "\\lo_unlink :LASTOID\n\\lo_unlink 1\n\\lo_export 1 '/tmp/none'\n\\lo_list\n",
        )  # fmt: skip
        return re.sub(r"\b\d{5}\b", "OID", said.text), out.read_bytes()

    _, data = twins.same(dialogue)
    assert data == source.read_bytes()


def test_notifications(psql, twins):
    def dialogue(address):
        said = twins.run(address, "psql", "-X", given=(
            "LISTEN news;\nNOTIFY news, 'hello';\nSELECT pg_notify('news', 'second');\nBEGIN;\nNOTIFY news;\nNOTIFY news, 'x';\nCOMMIT;\n"
            "UNLISTEN news;\nNOTIFY news, 'unheard';\nLISTEN \"Mixed Case\";\nNOTIFY \"Mixed Case\";\n"
        ))  # fmt: skip
        return PID.sub("server process with PID N", said.text)

    text = twins.same(dialogue)
    assert text.count("Asynchronous notification") == 5


def test_settings_and_connection(psql):
    text = psql(
        "SHOW server_version;\nSET datestyle = 'German';\nSELECT date '2024-02-29';\nSET TIME ZONE 'Asia/Tokyo';\nSELECT timestamptz '2024-01-01 00:00+00';\n"
        "SET intervalstyle = 'iso_8601';\nSELECT interval '1 day 2:03';\nSET bytea_output = 'escape';\nSELECT '\\x0001ff'::bytea;\nSET extra_float_digits = 0;\n"
        "SELECT 0.1::float8 * 3;\nSET nope = 1;\nRESET ALL;\nSELECT date '2024-02-29';\n\\encoding\nSET client_min_messages = debug1;\nSELECT 1;\n"
        "SET client_min_messages = error;\nDROP TABLE IF EXISTS nowhere;\nSET search_path = pg_catalog;\nSELECT count(*) > 0 FROM items;\nSET search_path = DEFAULT;\n"
        "SELECT current_user, session_user, current_database(), current_schemas(true);\n\\c\nSELECT current_setting('application_name');\nSET ROLE app;\nSHOW role;\nRESET ROLE;\n"
        "\\echo :DBNAME :USER :SERVER_VERSION_NUM :ENCODING :VERSION_NAME\nSET statement_timeout = '50ms';\nSELECT pg_sleep(5);\nRESET statement_timeout;\nSELECT 1;\n"
    )
    assert "29.02.2024" in text
    assert "statement timeout" in text


def test_other_statements(psql):
    text = psql(
        "EXPLAIN (COSTS off) SELECT * FROM items WHERE id = 1;\nEXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT * FROM items WHERE id < 3;\n"
        "EXPLAIN (FORMAT json, COSTS off) SELECT 1;\n"
        "MERGE INTO labels l USING (VALUES (1, 'm'), (900, 'n')) s (id, label) ON l.id = s.id WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.label);\n"
        "WITH gone AS (DELETE FROM labels WHERE id = 900 RETURNING *) SELECT * FROM gone;\nVALUES (1, 'a'), (2, NULL);\nTABLE labels;\n"
        "CREATE TEMP TABLE temporary AS SELECT * FROM generate_series(1, 3) g;\nTABLE temporary;\nSELECT * INTO TEMP other FROM temporary;\n"
        "REFRESH MATERIALIZED VIEW item_totals;\nSELECT * FROM item_totals ORDER BY parent NULLS LAST LIMIT 3;\nSELECT nextval('tickets'), currval('tickets'), lastval();\nTRUNCATE temporary;\nVACUUM labels;\nANALYZE labels;\nLOCK TABLE labels;\n"
        "SELECT i, repeat('x', i) FROM generate_series(1, 3) i;\nSELECT;\nSELECT FROM items LIMIT 2;\nSELECT NULL, '' AS \"\", 1 AS \"a b\";\nSELECT row_to_json(k) FROM labels k ORDER BY id LIMIT 1;\nSELECT labels FROM labels ORDER BY id LIMIT 1;\n"
    )
    assert "QUERY PLAN" in text


def test_a_masked_table_is_masked(twins):
    words = "SELECT * FROM secrets ORDER BY id;\nCOPY secrets TO STDOUT;\n\\copy secrets to stdout csv\n\\d secrets\nSELECT id, lower(note) FROM secrets ORDER BY id;\n"
    direct, through = twins.both(lambda address: twins.run(address, "psql", "-X", "-A", given=words))
    assert direct.text.count("123-45-6781") == 3
    assert "123-45" not in through.text
    assert "ann@example.com" not in through.text
    assert "***-**-6781" in through.text
    assert through.text.count("nothing here") == direct.text.count("nothing here")
    assert len(through.text.splitlines()) == len(direct.text.splitlines())
