"""PostgreSQL as the judge (I3), on two major versions, as a superuser: what is classed as a read, by the catalog as the gateway loads it,
is nothing that the server refuses inside a READ ONLY transaction, and leaves no transaction id, no lock, no moved sequence, no file and
no changed setting behind where it may write."""

import asyncio
import itertools
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import ExecStatus

from countersign.config import Upstream
from countersign.demo.database import DemoDatabase
from countersign.model import Effect
from countersign.protocols.postgres.functions import HARMLESS, REVIEWED, VOLATILE_AND_HARMLESS
from countersign.protocols.postgres.inspector import inspect_sql
from countersign.protocols.postgres.session.catalog import read_catalog
from countersign.protocols.postgres.session.target import Dialer

CORPUS = Path(__file__).parents[1] / "corpus" / "postgres"
HARMLESS_EFFECTS = {Effect.READ, Effect.SESSION}
READ_ONLY = b"25006"
TRACES = """
SELECT pg_current_xact_id_if_assigned() IS NOT NULL,
  EXISTS (SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND granted AND mode <> 'AccessShareLock' AND locktype <> 'virtualxid'),
  (SELECT md5(string_agg(name || setting, ',')) FROM pg_settings),
  (SELECT concat(last_value, is_called) FROM s),
  (SELECT md5(string_agg(name, ',' ORDER BY name)) FROM pg_ls_dir('.') name)
"""


class Judge:
    """A real server, asked as its superuser."""

    def __init__(self, major: int) -> None:
        self.server = DemoDatabase(major=major)
        where = {"host": str(self.server.folder), "port": self.server.port, "user": "postgres", "autocommit": True}
        with psycopg.connect(dbname="postgres", **where) as connection:
            connection.execute("CREATE DATABASE judge")
        self.connection = psycopg.connect(dbname="judge", **where)
        self.connection.execute((CORPUS / "schema.sql").read_text())
        upstream = Upstream(str(self.server.folder), self.server.port, "postgres", None, "disable", None)
        self.schema = asyncio.run(read_catalog(Dialer(upstream), "judge")).schema
        self.before = self._within("BEGIN READ WRITE", "SELECT 1", TRACES)[1][2:]

    def close(self) -> None:
        self.connection.close()
        self.server.close()

    def refuses(self, sql: str) -> bool:
        """Whether a READ ONLY transaction is no place for it."""
        state = self._within("BEGIN READ ONLY", sql)[0]
        return state == READ_ONLY

    def deeds(self, sql: str) -> tuple[bool, set[str]]:
        """Whether it ran, and what it left behind in a transaction that may write."""
        state, traces = self._within("BEGIN READ WRITE", sql, TRACES)
        if state or traces is None:
            return False, set()
        wrote, locked, *others = traces
        left = {"wrote"} if wrote == b"t" else set()
        left |= {"locked"} if locked == b"t" else set()
        changed = zip(("set", "moved a sequence", "made a file"), self.before, others, strict=True)
        return True, left | {name for name, before, after in changed if before != after}

    def reading(self, sql: str):
        """How the gateway reads it: what it does not understand it reads once more by the catalog of that moment."""
        reading = inspect_sql(sql, self.schema)
        return inspect_sql(sql, self.schema.of_now()) if Effect.UNKNOWN in reading.effects else reading

    def is_read(self, sql: str) -> bool:
        """Whether it would run by default."""
        return self.reading(sql).effects <= HARMLESS_EFFECTS

    def _within(self, begin, sql, after=""):
        server = self.connection.pgconn
        self._run(begin)
        self._run("SET LOCAL statement_timeout = '5s'")
        try:
            state, _ = self._run(sql)
            row = self._run(after)[1] if after and not state else None
        finally:
            self._run("ROLLBACK")
            self._run("DISCARD ALL")
        assert server.transaction_status == 0
        return state, row

    def _run(self, sql):
        """The SQLSTATE of the first error, or nothing, and the last result's first row. COPY of either direction is let run out."""
        server = self.connection.pgconn
        server.send_query(sql.encode())
        state, row = b"", None
        while (result := server.get_result()) is not None:
            match result.status:
                case ExecStatus.COPY_IN:
                    server.put_copy_end()
                case ExecStatus.COPY_OUT:
                    while server.get_copy_data(0)[0] > 0:
                        pass
                case ExecStatus.FATAL_ERROR:
                    state = state or result.error_field(67) or b"?"
                case ExecStatus.TUPLES_OK if result.ntuples:
                    row = [result.get_value(0, column) for column in range(result.nfields)]
        return state, row


@pytest.fixture(scope="module", params=[16, 18])
def judge(request):
    made = Judge(request.param)
    yield made
    made.close()


def lines(name):
    found = (line.strip() for line in (CORPUS / name).read_text().splitlines())
    return [line for line in found if line and not line.startswith("--")]


def wrapped():
    """Each query of the corpus in every place where a query may stand."""
    places = ("EXPLAIN ANALYZE {}", "EXPLAIN {}", "COPY ({}) TO STDOUT", "PREPARE wrapped AS {}", "CREATE TABLE wrapped AS {}",
              "DECLARE wrapped CURSOR FOR {}", "WITH wrapped AS ({}) SELECT 1", "SELECT EXISTS ({})", "SELECT * FROM ({}) wrapped",
              "INSERT INTO other.w (a) {}", "SELECT 1; {}", "{} ; SELECT 1", "BEGIN; {}", "DO $do$BEGIN PERFORM 1; {}; END$do$",
              "CREATE VIEW wrapped AS {}", "SELECT 1 UNION ALL {}")  # fmt: skip
    queries = [line for line in (*lines("queries.sql"), *lines("unseen.sql")) if not line.startswith("EXPLAIN") and ";" not in line]
    return [place.format(query) for place in places for query in queries]


def condemned(judge, statements):
    """Statements that are classed as harmless and are not, and how many of the classed ones ran at all."""
    wrong, ran = [], 0
    for sql in filter(judge.is_read, statements):
        if judge.refuses(sql):
            wrong.append((sql, {"refused"}))
            continue
        done, left = judge.deeds(sql)
        ran += done
        reading = judge.reading(sql)
        allowed = {"set"} if Effect.SESSION in reading.effects else set()
        # Planning a write takes the write's lock on the table, ROW EXCLUSIVE, which keeps no reader and no writer waiting.
        allowed |= {"locked"} if any(statement.kind == "EXPLAIN" for statement in reading.statements) else set()
        allowed |= {"locked"} if "pg_sequence_last_value" in sql else set()  # the same lock, on a sequence
        if left - allowed:
            wrong.append((sql, left))
    return wrong, ran


@pytest.mark.parametrize("name", ["queries.sql", "commands.sql", "unseen.sql"])
@pytest.mark.timeout(300)
def test_i3_what_the_server_refuses_as_a_write_is_no_read(judge, name):
    statements = lines(name)
    refused = [sql for sql in statements if judge.refuses(sql)]
    assert not [sql for sql in refused if judge.is_read(sql)]
    assert len(refused) >= 20, "a judge that refuses nothing proves nothing"


@pytest.mark.parametrize("name", ["queries.sql", "commands.sql", "unseen.sql"])
@pytest.mark.timeout(300)
def test_i3_what_is_classed_as_a_read_leaves_nothing_behind(judge, name):
    wrong, ran = condemned(judge, lines(name))
    assert wrong == []
    assert ran >= {"queries.sql": 80, "commands.sql": 25, "unseen.sql": 5}[name]


@pytest.mark.timeout(600)
def test_i3_a_query_is_seen_for_what_it_is_wherever_it_stands(judge):
    wrong, ran = condemned(judge, wrapped())
    assert wrong == []
    assert ran >= 400


# -- PostgreSQL's own functions

CALLABLE = """
SELECT p.proname, p.prokind::text, p.provolatile::text, p.proretset,
  array(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t), p.provariadic <> 0, p.prorettype::regtype::text, p.proargmodes IS NOT NULL
FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < 16384
  AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) t WHERE t = 'internal'::regtype)
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'language_handler'::regtype, 'fdw_handler'::regtype)
"""
VALUES = {
    "text": ["'a'", "'t'", "'{}'", "'1'"],
    "integer": ["1", "0"],
    "bigint": ["1::bigint"],
    "smallint": ["1::smallint"],
    "boolean": ["true"],
    "regclass": ["'s'::regclass", "'t'::regclass"],
    "oid": ["'t'::regclass::oid", "'f(int)'::regprocedure::oid", "'s'::regclass::oid"],
    "json": ["'{\"a\": [1]}'::json", "'[{\"a\": 1}]'::json"],
    "jsonb": ["'{\"a\": [1]}'::jsonb", "'[{\"a\": 1}]'::jsonb"],
    "jsonpath": ["'$.a'"],
    "double precision": ["0.5::float8"],
    "real": ["0.5::real"],
    "numeric": ["1.5"],
    "name": ["'t'::name"],
    '"char"': ["'r'::\"char\""],
    "bytea": ["'\\x61'::bytea"],
    "anyelement": ["1"],
    "anynonarray": ["1"],
    "anycompatible": ["1"],
    "anycompatiblenonarray": ["1"],
    "anyarray": ["ARRAY[1, 2]"],
    "anycompatiblearray": ["ARRAY[1, 2]"],
    "anyenum": ["'ok'::mood"],
    "anyrange": ["'[1,3)'::int4range"],
    "anycompatiblerange": ["'[1,3)'::int4range"],
    "anymultirange": ["'{[1,3)}'::int4multirange"],
    "anycompatiblemultirange": ["'{[1,3)}'::int4multirange"],
    '"any"': ["1"],
    "record": ["ROW(1, 'x')"],
    "integer[]": ["ARRAY[1, 2]"],
    "bigint[]": ["ARRAY[1, 2]::bigint[]"],
    "text[]": ["ARRAY['a', 'b']"],
    "oid[]": ["ARRAY[1, 2]::oid[]"],
    "double precision[]": ["ARRAY[0.5]::float8[]"],
    '"char"[]': ["ARRAY['a']::\"char\"[]"],
    "timestamp without time zone": ["'2020-01-01'::timestamp"],
    "timestamp with time zone": ["'2020-01-01'::timestamptz"],
    "time without time zone": ["'10:00'::time"],
    "time with time zone": ["'10:00+00'::timetz"],
    "date": ["'2020-01-01'::date"],
    "interval": ["'1 day'::interval"],
    "inet": ["'127.0.0.1'::inet"],
    "cidr": ["'127.0.0.0/8'::cidr"],
    "bit": ["B'1'"],
    "bit varying": ["B'1'::varbit"],
    "uuid": ["'00000000-0000-7000-8000-000000000000'::uuid"],
    "xml": ["'<a/>'::xml"],
    "point": ["'(1,1)'::point"],
    "lseg": ["'((0,0),(1,1))'::lseg"],
    "line": ["'{1,1,1}'::line"],
    "box": ["'((0,0),(1,1))'::box"],
    "path": ["'((0,0),(1,1))'::path"],
    "polygon": ["'((0,0),(1,1),(1,0))'::polygon"],
    "circle": ["'<(0,0),1>'::circle"],
    "tsvector": ["'a:1 b:2'::tsvector"],
    "tsquery": ["'a'::tsquery"],
    "regconfig": ["'simple'::regconfig"],
    "regdictionary": ["'simple'::regdictionary"],
    "regtype": ["'int4'::regtype"],
    "pg_node_tree": ["(SELECT adbin FROM pg_attrdef LIMIT 1)"],
    "xid": ["'3'::xid"],
    "xid8": ["'3'::xid8"],
    "pg_lsn": ["'0/1'::pg_lsn"],
    "pg_snapshot": ["pg_current_snapshot()"],
    "txid_snapshot": ["txid_current_snapshot()"],
    "money": ["'1'::money"],
    "macaddr": ["'08:00:2b:01:02:03'::macaddr"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'::macaddr8"],
    "character": ["'a'::bpchar"],
    "character varying": ["'a'::varchar"],
    "aclitem": ["'=r/postgres'::aclitem"],
    "aclitem[]": ["ARRAY['=r/postgres'::aclitem]"],
    "oidvector": ["'1 2'::oidvector"],
    "tid": ["'(0,1)'::tid"],
    "int4range": ["'[1,3)'::int4range"],
    "int8range": ["'[1,3)'::int8range"],
    "numrange": ["'[1,3)'::numrange"],
    "daterange": ["'[2020-01-01,2020-01-03)'::daterange"],
    "tsrange": ["'[2020-01-01,2020-01-03)'::tsrange"],
    "tstzrange": ["'[2020-01-01,2020-01-03)'::tstzrange"],
}


def calls(functions):
    """Calls of each function, with arguments of the types that it takes."""
    for name, kind, _, _, types, _, returns, has_modes in functions:
        chosen = [VALUES.get(type_, [f"NULL::{type_}"]) for type_ in types]
        for values in itertools.islice(itertools.product(*chosen), 6):
            call = f'pg_catalog."{name}"({", ".join(values)})'
            if kind == "w":
                yield f"SELECT {call} OVER (ORDER BY a) FROM t"
            elif kind == "a":
                yield f"SELECT {call} FROM t"
                yield f'SELECT pg_catalog."{name}"({", ".join(values[:-1])}) WITHIN GROUP (ORDER BY {values[-1] if values else 1}) FROM t'
            elif returns == "record" and not has_modes:
                yield f"SELECT * FROM {call} AS x (a int)"
            else:
                yield f"SELECT {call}"


@pytest.mark.timeout(600)
def test_i3_no_function_on_the_list_does_more_than_read(judge):
    functions = [row for row in judge.connection.execute(CALLABLE) if row[0] in HARMLESS]
    wrong, ran = condemned(judge, calls(functions))
    assert wrong == []
    assert ran >= 800


@pytest.mark.timeout(600)
def test_i3_no_function_that_is_called_like_a_column_does_more_than_read(judge):
    """``(value).name`` is a call where the value has no such column."""
    functions = [row for row in judge.connection.execute(CALLABLE) if len(row[4]) == 1 and row[1] == "f"]
    fields = [
        f'SELECT ({value})."{name}"'
        for name, _, _, _, types, _, _, _ in functions
        if name not in DISRUPTIVE
        for value in VALUES.get(types[0], [f"NULL::{types[0]}"])[:1]
    ]
    wrong, ran = condemned(judge, fields)
    assert wrong == []
    assert ran >= 300


@pytest.mark.timeout(600)
def test_i3_what_the_server_will_not_call_in_a_read_only_transaction_is_reviewed_as_no_read(judge):
    suspects = [row for row in judge.connection.execute(CALLABLE) if row[2] == "v" and row[0] not in DISRUPTIVE]
    refused = {sql for sql in calls(suspects) if judge.refuses(sql)}
    assert len(refused) >= 20
    assert not [sql for sql in refused if judge.is_read(sql)]


DISRUPTIVE = frozenset({"pg_terminate_backend", "pg_sleep", "pg_sleep_for", "pg_sleep_until", "pg_promote", "pg_backup_start",
    "pg_backup_stop", "pg_read_file", "pg_logical_slot_get_changes", "pg_export_snapshot", "pg_switch_wal"})  # fmt: skip
"""Not to be called here: they end the judge, wait, or write on its disk."""

NEVER_CALLED = ("binary_upgrade_", "RI_FKey_", "plpgsql_", "tsvector_update_", "suppress_redundant_", "unique_key_recheck")


def test_i3_every_volatile_function_is_reviewed(judge):
    """Volatile is PostgreSQL's own word for: it may do more than compute. It is read here or told why it is no read."""
    volatile = {row[0] for row in judge.connection.execute(CALLABLE) if row[2] == "v"}
    on_the_list = {name for name in volatile if name in HARMLESS}
    assert on_the_list <= set(VOLATILE_AND_HARMLESS)
    assert not [name for name in volatile - on_the_list if name not in REVIEWED and not name.startswith(NEVER_CALLED)]


def test_the_exceptions_are_exceptions():
    assert set(VOLATILE_AND_HARMLESS) <= HARMLESS
    assert HARMLESS.isdisjoint(REVIEWED)
    assert all(why for why in VOLATILE_AND_HARMLESS.values()) and all(why for _, why in REVIEWED.values())


def test_i3_no_name_on_the_list_is_a_function_of_nobody(judge):
    """A name that is no function of PostgreSQL's would be somebody else's."""
    known = {row[0] for row in judge.connection.execute("SELECT proname FROM pg_proc WHERE oid < 16384")}
    assert HARMLESS - known == set(OTHER_VERSIONS[judge.connection.info.server_version // 10000].split())


OTHER_VERSIONS = {
    16: """
        array_reverse array_sort casefold crc32 crc32c gamma lgamma pg_basetype pg_column_toast_chunk_id pg_get_acl
        pg_get_sequence_data pg_numa_available pg_timezone_abbrevs_abbrevs pg_timezone_abbrevs_zone to_bin to_oct to_regtypemod
        unicode_assigned unicode_version uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 xmltext
    """,
    18: "pg_timezone_abbrevs",
}
"""Those on the list that this version does not have. There a function of that name is somebody's, which only the catalog can tell."""


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
        "SELECT pg_notify('a', 'b')",
        "NOTIFY a",
        "SELECT set_config('work_mem', '1MB', false)",
        "SELECT pg_catalog.set_config('search_path', '', false)",
        "SELECT pg_terminate_backend(0)",
        "SELECT pg_cancel_backend(0)",
        "SELECT pg_reload_conf()",
        "SELECT pg_sleep(0)",
        "SELECT query_to_xml('select 1', true, true, '')",
        "SELECT database_to_xml(true, true, '')",
        "SELECT table_to_xml('t', true, true, '')",
        "SELECT * FROM ts_stat('select 1')",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT * FROM pg_ls_dir('.')",
        "SELECT lo_get(1)",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT dblink('', 'select 1')",
        "SELECT pg_input_is_valid('x', 'domain')",
        "SELECT pg_export_snapshot()",
        "SELECT pg_stat_reset()",
        "SELECT pg_switch_wal()",
        "SELECT pg_create_restore_point('x')",
        "SELECT pg_promote()",
        "SELECT * FROM pg_logical_slot_get_changes('x', NULL, NULL)",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM pg_stats",
        "SELECT * FROM pg_toast.pg_toast_1",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "LOCK TABLE t IN ACCESS SHARE MODE",
        "LOAD 'plpgsql'",
        "SET ROLE x",
        "SET search_path = x",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DELETE FROM orders",
    ],
)
def test_i3_what_read_only_lets_through_and_is_no_read_all_the_same(judge, sql):
    assert not judge.is_read(sql)
