"""Code of users' own that a query runs without naming it (I3), and what the server's analysis alone may run."""

import pytest

from countersign.model import Effect
from countersign.protocols.postgres.inspector import analysis_problem, has_checked_types, inspect_sql
from countersign.protocols.postgres.schema import Cast, Column, Comparison, Function, Part, Relation, Schema, Type

JSON, INT, TEXT, POINT = 114, 23, 25, 600
MOOD, MOODS, HARMFUL, HARMFULS, PAIR, FAIR, FAIRS, ROW, LOWER, OVER_ARRAY = range(20000, 20010)
CHECK = Part("check", "c", "(public.writer(VALUE))", ("public.writer",))


def schema(casts=(), comparisons=(), functions=()):
    return Schema.of(
        repr((casts, comparisons, functions)),  # two of one version are the same to whoever has asked before
        ("public",),
        relations=[
            Relation(30000, "public", "moods", "table", (Column("m", MOOD), Column("n", INT))),
            Relation(30001, "public", "holds", "table", (Column("arr", HARMFULS), Column("n", INT))),
            Relation(30002, "public", "domains", "table", (Column("d", HARMFUL), Column("n", INT))),
            Relation(30003, "public", "fairs", "table", (Column("f", FAIR), Column("fs", FAIRS))),
            Relation(30004, "public", "over", "table", (Column("o", OVER_ARRAY),)),
        ],
        types=[
            Type(MOOD, "public", "mood", "enum"),
            Type(MOODS, "public", "_mood", "array", (MOOD,)),
            Type(HARMFUL, "public", "harmful", "domain", (INT,), (CHECK,)),
            Type(HARMFULS, "public", "_harmful", "array", (HARMFUL,)),
            Type(PAIR, "public", "pair", "composite", (HARMFUL, TEXT)),
            Type(FAIR, "public", "fair", "domain", (INT,), (Part("check", "c", "(VALUE > 0)"),)),
            Type(FAIRS, "public", "_fair", "array", (FAIR,)),
            Type(ROW, "public", "domains", "composite", (HARMFUL, INT)),
            Type(LOWER, "public", "lower", "domain", (TEXT,), (CHECK,)),
            Type(OVER_ARRAY, "public", "over_array", "domain", (HARMFULS,)),
        ],
        casts=casts,
        comparisons=comparisons,
        functions=functions,
    )


def effects(sql, **made):
    return inspect_sql(sql, schema(**made)).effects


def own(name):
    return Function("public", name, "plpgsql", "immutable", "", is_harmless=False, takes_one=True)


def test_i3_a_call_with_a_literal_is_a_cast_where_a_type_is_called_like_a_function():
    assert Effect.UNKNOWN in effects("SELECT lower('x')")
    assert Effect.UNKNOWN in effects("COPY (SELECT lower('x')) TO STDOUT")
    assert effects("SELECT upper('x'), pg_catalog.lower('x')") == {Effect.READ}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM holds WHERE arr = '{5}'",
        "SELECT * FROM holds WHERE arr = $1",
        "SELECT coalesce(arr, '{5}') FROM holds",
        "SELECT CASE WHEN true THEN '{5}' ELSE arr END FROM holds",
        "SELECT arr FROM holds UNION SELECT '{5}'",
        "COPY (SELECT * FROM holds WHERE arr = '{5}') TO STDOUT",
        "PREPARE p AS SELECT * FROM holds WHERE arr = $1",
        "EXPLAIN SELECT * FROM holds WHERE arr = '{5}'",
        "SELECT * FROM over WHERE o = '{5}'",
        "SELECT coalesce(d, '(5,1)') FROM domains d",
        "SELECT coalesce(d.*, '(5,1)') FROM domains d",
        "SELECT * FROM domains WHERE domains = '(5,1)'",
    ],
)
def test_i3_a_literal_beside_an_array_or_a_row_of_domains_is_checked(sql):
    assert Effect.UNKNOWN in effects(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM holds",
        "SELECT arr FROM holds",
        "SELECT * FROM fairs WHERE f = 5 AND fs = '{5}'",
        "SELECT x.* FROM domains x WHERE d = '5'",
        "SELECT d FROM domains WHERE n = 5",
    ],
)
def test_what_runs_no_check_stays_a_read(sql):
    assert effects(sql) == {Effect.READ}


def cast(source, target, names, *, implicit):
    return Cast(source, target, *names, "public.convert", implicit)


TO_JSON = cast(MOOD, JSON, ("mood", "json"), implicit=False)
OF_ARRAYS = cast(MOODS, TEXT, ("_mood", "text"), implicit=True)
OF_ROWS = cast(ROW, TEXT, ("domains", "text"), implicit=True)
OF_BUILT_IN = cast(1700, 16, ("numeric", "bool"), implicit=True)


@pytest.mark.parametrize(
    ("sql", "made"),
    [
        ("SELECT to_json(m) FROM moods", TO_JSON),
        ("SELECT row_to_json(x) FROM moods x", TO_JSON),
        ("SELECT JSON_ARRAY('ok'::mood)", TO_JSON),
        ("SELECT length(array_agg(m)) FROM moods", OF_ARRAYS),
        ("SELECT length('{ok}'::mood[])", OF_ARRAYS),
        ("SELECT length(array_agg(x)) FROM (SELECT 'ok'::mood AS x) s", OF_ARRAYS),
        ("SELECT length(d) FROM domains d", OF_ROWS),
        ("SELECT CASE WHEN 1.5 THEN 1 END", OF_BUILT_IN),
    ],
)
def test_i3_a_cast_that_nothing_names_is_seen(sql, made):
    assert Effect.UNKNOWN in effects(sql, casts=[made])


def test_a_cast_that_must_be_named_is_none_of_a_queries_that_does_not():
    explicit = cast(MOOD, INT, ("mood", "int4"), implicit=False)
    assert effects("SELECT to_json(m) FROM moods", casts=[explicit]) == {Effect.READ}


def test_i3_a_comparison_of_users_own_is_seen_where_its_type_is():
    compared = [Comparison(MOOD, "public.compare")]
    assert Effect.UNKNOWN in effects("SELECT DISTINCT m FROM moods", comparisons=compared)
    assert Effect.UNKNOWN in effects("SELECT DISTINCT 'ok'::mood", comparisons=compared)
    assert Effect.UNKNOWN not in effects("SELECT DISTINCT f FROM fairs", comparisons=compared)


def test_i3_a_default_comparison_of_a_built_in_type_may_be_called_by_any_query():
    sql = "SELECT DISTINCT '(1,1)'::point"
    assert Effect.UNKNOWN in effects(sql, comparisons=[Comparison(POINT, "public.compare", is_default=True)])
    assert Effect.UNKNOWN not in effects(sql, comparisons=[Comparison(POINT, "public.compare")])


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("json_value", "SELECT JSON_VALUE('1', '$')"),
        ("json_query", "SELECT JSON_QUERY('1', '$')"),
        ("json_exists", "SELECT JSON_EXISTS('1', '$')"),
        ("json_scalar", "SELECT JSON_SCALAR('1')"),
        ("json_serialize", "SELECT JSON_SERIALIZE('1')"),
        ("json", "SELECT JSON('1')"),
        ("json_array", "SELECT JSON_ARRAY(1)"),
        ("json_arrayagg", "SELECT JSON_ARRAYAGG(1)"),
        ("json_object", "SELECT JSON_OBJECT(1, 2)"),
        ("json_object", "SELECT JSON_OBJECT('a': 1)"),
        ("merge_action", "SELECT merge_action()"),
    ],
)
def test_i3_syntax_that_an_older_server_takes_for_a_call_is_judged_as_one(name, sql):
    assert effects(sql) == {Effect.READ}
    assert Effect.UNKNOWN in effects(sql, functions=[own(name)])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '{5}'::harmful[]",
        "SELECT '{5}'::_harmful",
        "SELECT _harmful('{5}')",
        "SELECT '(5,x)'::pair",
        "SELECT CAST('{5}' AS over_array)",
        "INSERT INTO holds (arr) VALUES ('{5}')",
        "UPDATE holds SET arr = '{5}'",
        "EXPLAIN SELECT * FROM holds WHERE arr = '{5}'",
        "DECLARE c CURSOR FOR SELECT * FROM holds WHERE arr = '{5}'",
        "CREATE TABLE x AS SELECT * FROM holds WHERE arr = '{5}'",
        "SELECT coalesce(d, '(5,1)') FROM domains d",
        "CALL writer('{5}')",
        "SELECT writer('{5}')",
        "this is not SQL",
    ],
)
def test_i3_analysis_alone_may_run_a_check(sql):
    assert analysis_problem(sql, schema(functions=[own("writer")]), is_certain=True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM domains WHERE d = '5'",
        "INSERT INTO domains VALUES ('5', 1)",
        "SELECT '5'::harmful",  # checked when it runs
        "SELECT * FROM fairs WHERE fs = '{5}'",
        "COMMIT",
        "CREATE TABLE x (a pair)",
    ],
)
def test_analysis_runs_nothing_where_no_literal_is_checked(sql):
    problem = analysis_problem(sql, schema(), is_certain=True)
    assert bool(problem) == ("harmful" in sql)  # which names the type whose array would be checked


def test_where_no_type_is_checked_analysis_is_free():
    empty = Schema.of("w", ())
    assert not has_checked_types(empty)
    assert analysis_problem("this is not SQL", empty, is_certain=False) == ""
    assert analysis_problem("SELECT 1", Schema.unread("it went away"), is_certain=True) == "it went away"
    assert analysis_problem("COMMIT", Schema.unread("it went away"), is_certain=True) == ""
    assert analysis_problem("SELECT 1", schema().unsettled("a change"), is_certain=True) == "a change"
    assert analysis_problem("SELECT 1", schema(), is_certain=False)


def test_i3_a_relation_that_another_session_has_locked_is_not_read_for_what_it_still_is():
    relation = Relation(30000, "public", "t", "table", (Column("a", INT),))
    locked = Schema.of("locked", ("public",), relations=[relation], locked=[(30000, 7)])
    assert Effect.UNKNOWN in inspect_sql("SELECT * FROM t", locked).effects
    assert Effect.UNKNOWN in inspect_sql("INSERT INTO t VALUES (1)", locked).effects
    assert inspect_sql("SELECT * FROM t", locked.seen_by(7)).effects == {Effect.READ}
    assert Effect.UNKNOWN in inspect_sql("SELECT * FROM t", locked.seen_by(8)).effects


def test_i3_a_name_that_does_not_exist_is_left_to_the_server_only_where_nothing_comes_first():
    now = Schema.of("now", ("public",)).of_now()
    assert inspect_sql("SELECT * FROM nowhere", now).effects == {Effect.READ}
    assert Effect.UNKNOWN in inspect_sql("SELECT 1; SELECT * FROM nowhere", now).effects
