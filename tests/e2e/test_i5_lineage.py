"""The server is the judge of the lineage: the same queries run over two schemas that differ in the masked columns only. Every output that
differs must be one that is called masked, unless the query is one that probes: then it is reported (I5).

The queries are made up, from a fixed seed each, and a few were thought of.
"""

import asyncio
import os
import random

import psycopg
import pytest

from countersign.config import Upstream
from countersign.demo.database import DemoDatabase
from countersign.masking import MaskRule
from countersign.protocols.postgres.lineage import lineages
from countersign.protocols.postgres.masking import OutputColumn, plan_rows, prepare
from countersign.protocols.postgres.session.catalog import read_catalog
from countersign.protocols.postgres.session.target import Dialer
from countersign.settings import Secret

RULES = (MaskRule("secret", (), ("*.people.ssn", "*.people.pay", "*.visits.remark"), (), '{"redact":{}}'),)
QUERIES = int(os.environ.get("LINEAGE_QUERIES", "400"))
TABLES = """
CREATE SCHEMA {0};
SET search_path = {0};
CREATE TABLE people (id int PRIMARY KEY, name text, ssn text, pay int, born int,
  short text GENERATED ALWAYS AS (left(ssn, 2)) STORED, label text GENERATED ALWAYS AS (lower(name)) STORED);
CREATE TABLE visits (id int, person int, place text, remark text, fee int) PARTITION BY RANGE (id);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (10);
CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (10) TO (100);
CREATE TABLE staff (boss int) INHERITS (people);
INSERT INTO people SELECT i, 'n' || i, md5({1} || i), ({1}::int * 7 + i * i) % 97, 1950 + i FROM generate_series(1, 6) i;
INSERT INTO staff SELECT i, 'n' || i, md5({1} || i), ({1}::int * 11 + i) % 89, 1950 + i FROM generate_series(7, 9) i;
INSERT INTO visits SELECT i, 1 + i % 9, 'p' || i % 3, md5(i || {1}), i % 5 FROM generate_series(1, 20) i;
CREATE VIEW cards AS SELECT id, ssn AS number, upper(ssn) AS shouted, name, pay > 40 AS is_rich FROM people;
CREATE VIEW deep AS SELECT number, c.name || '!' AS loud, v.place, count(v.remark) AS remarks, is_rich
  FROM cards c LEFT JOIN visits v ON v.person = c.id GROUP BY 1, 2, 3, 5;
CREATE MATERIALIZED VIEW totals AS SELECT born, sum(pay) AS paid, count(*) AS heads, max(name) AS last FROM people GROUP BY born;
"""
COLUMNS = {
    "people": {"id": "int", "name": "text", "ssn": "text", "pay": "int", "born": "int", "short": "text", "label": "text"},
    "visits": {"id": "int", "person": "int", "place": "text", "remark": "text", "fee": "int"},
    "visits_1": {"id": "int", "place": "text", "remark": "text"},
    "staff": {"id": "int", "ssn": "text", "boss": "int", "pay": "int", "name": "text"},
    "cards": {"id": "int", "number": "text", "shouted": "text", "name": "text", "is_rich": "bool"},
    "deep": {"number": "text", "loud": "text", "place": "text", "remarks": "int", "is_rich": "bool"},
    "totals": {"born": "int", "paid": "int", "heads": "int", "last": "text"},
}
THOUGHT_OF = """
SELECT p, (p).id, (p).ssn, p.name FROM people p
SELECT (p).* FROM people p
SELECT row_to_json(p) ->> 'ssn', row_to_json(p) ->> 'id' FROM people p
SELECT j.name, j.ssn || '' FROM (people a JOIN visits b USING (id)) AS j
SELECT a, c FROM people AS p(b, x, a, c)
SELECT x.* FROM people p, LATERAL (SELECT p.ssn || '' AS y, p.id + 1 AS z) x
SELECT u FROM people p, LATERAL unnest(string_to_array(p.name, NULL)) u
WITH RECURSIVE r(a, b) AS (SELECT 1, '' UNION ALL SELECT a + 1, (SELECT min(ssn) FROM people) FROM r WHERE a < 3) SELECT * FROM r
WITH RECURSIVE r AS (SELECT id, name, ssn AS s FROM people UNION SELECT id, s, name FROM r) SELECT id, name, s FROM r
WITH RECURSIVE t AS (SELECT id FROM people UNION ALL SELECT id + 10 FROM t WHERE id < 10) SEARCH BREADTH FIRST BY id SET o SELECT id, o FROM t
SELECT id, ssn FROM people UNION ALL SELECT fee, place FROM visits
SELECT name FROM people INTERSECT SELECT ssn FROM people
VALUES (1, (SELECT max(ssn) FROM people)), (2, 'x')
SELECT DISTINCT ON (born) born, ssn FROM people ORDER BY born, id
SELECT count(pay), pay IS NULL, count(*) FROM people GROUP BY 2
SELECT born, grouping(born), count(*), max(ssn) FROM people GROUP BY ROLLUP (born)
SELECT first_value(name) OVER (ORDER BY id), first_value(ssn) OVER (ORDER BY id), sum(pay) OVER () FROM people
SELECT * FROM people NATURAL JOIN staff
SELECT * FROM people LEFT JOIN visits USING (id)
SELECT * FROM cards CROSS JOIN totals
SELECT e.key FROM people p, json_each_text(row_to_json(p)) e
SELECT * FROM json_to_record((SELECT row_to_json(p) FROM people p WHERE id = 1)) AS x(name text, ssn text)
SELECT pg_typeof(ssn), pg_column_size(name), ctid, tableoid FROM people
SELECT p.row_to_json, (p).row_to_json FROM people p
SELECT array_agg(id ORDER BY ssn), array_agg(name ORDER BY id) FROM people
SELECT string_agg(x.a, '') FROM (SELECT chr(ascii(ssn)) AS a FROM people ORDER BY id) x
SELECT (ARRAY[name, ssn])[1], (ARRAY[name, place])[1] FROM people JOIN visits ON person = people.id
SELECT COALESCE(NULLIF(ssn, 'x'), name), GREATEST(pay, 0), NULLIF(name, ssn) FROM people
SELECT CASE WHEN pay > 40 THEN 'a' ELSE 'b' END, CASE WHEN born > 1953 THEN 'a' ELSE ssn END FROM people
SELECT (SELECT name FROM people q WHERE q.ssn > p.ssn ORDER BY ssn LIMIT 1), EXISTS (SELECT FROM people q WHERE q.pay > p.pay) FROM people p
SELECT id, pay = ANY (SELECT pay FROM staff), ARRAY(SELECT remark FROM visits ORDER BY id LIMIT 2) FROM people
SELECT x.is_rich, x.name FROM cards x
SELECT number, shouted, loud FROM deep JOIN cards USING (number)
TABLE totals
"""


class Maker:
    """Makes up one query."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names = 0

    def name(self) -> str:
        self.names += 1
        return f"c{self.names}"

    def query(self, depth: int) -> tuple[str, list[tuple[str, str]]]:
        """A query, and its columns with their types."""
        dice = self.random
        if depth and dice.random() < 0.15:
            return self.set_operation(depth - 1)
        if depth and dice.random() < 0.2:
            inner, columns = self.query(depth - 1)
            cte = self.name()
            body, outer = self.select(depth - 1, [(cte, cte, columns)])
            return f"WITH {cte} AS ({inner}) {body}", outer
        return self.select(depth, [])

    def set_operation(self, depth: int) -> tuple[str, list[tuple[str, str]]]:
        left, columns = self.select(depth, [])
        right, others = self.select(depth, [], [kind for _, kind in columns])
        assert len(others) == len(columns)
        return f"({left}) {self.random.choice(['UNION ALL', 'UNION ALL', 'UNION', 'EXCEPT'])} ({right})", columns

    def select(self, depth, sources, kinds=None):
        dice = self.random
        scope: list[tuple[str, str]] = []
        shown = []
        for alias, text, columns in sources or []:
            shown.append(text)
            scope += [(f"{alias}.{name}", kind) for name, kind in columns]
        for _ in range(dice.choice([1, 1, 2]) - (1 if sources else 0)):
            text, columns = self.source(depth, scope)
            shown.append(text)
            scope += columns
        wanted = kinds or [dice.choice(["text", "text", "int", "bool"]) for _ in range(dice.randint(1, 3))]
        grouped = dice.random() < 0.2
        columns, outputs = [], []
        for kind in wanted:
            value = self.aggregate(kind, scope) if grouped else self.value(kind, scope, depth, 2)
            columns.append((self.name(), kind))
            outputs.append(f"{value} AS {columns[-1][0]}")
        tail = ""
        if dice.random() < 0.3:
            tail += f" WHERE {self.value('bool', scope, 0, 1)}"
        if not grouped and dice.random() < 0.15:
            tail += f" ORDER BY {self.value('text', scope, 0, 1)}"
        keyword = "SELECT DISTINCT" if dice.random() < 0.05 and "ORDER" not in tail else "SELECT"
        return f"{keyword} {', '.join(outputs)} FROM {', '.join(shown)}{tail}", columns

    def source(self, depth, scope):
        dice, alias = self.random, self.name()
        choice = dice.random()
        if depth and choice < 0.25:
            inner, columns = self.query(depth - 1)
            names = [self.name() for _ in columns]
            renamed = f"({', '.join(names)})" if dice.random() < 0.5 else ""
            used = names if renamed else [name for name, _ in columns]
            kinds = [kind for _, kind in columns]
            return f"({inner}) AS {alias}{renamed}", [(f"{alias}.{n}", k) for n, k in zip(used, kinds, strict=True)]
        if choice < 0.35 and scope:
            text = self.value("text", scope, 0, 1)
            return f"LATERAL (SELECT {text} AS v) AS {alias}", [(f"{alias}.v", "text")]
        if choice < 0.42 and scope:
            return f"LATERAL unnest(ARRAY[{self.value('text', scope, 0, 1)}]) AS {alias}(v)", [(f"{alias}.v", "text")]
        if choice < 0.55:
            left, right = self.name(), self.name()
            one, other = dice.choice(["people", "cards"]), dice.choice(["visits", "staff", "people"])
            joined = [(f"{left}.{n}", k) for n, k in COLUMNS[one].items()] + [
                (f"{right}.{n}", k) for n, k in COLUMNS[other].items()
            ]
            how = dice.choice(["JOIN", "LEFT JOIN", "FULL JOIN"])
            on = "USING (id)" if dice.random() < 0.4 else f"ON {left}.id = {right}.id"
            return f"{one} {left} {how} {other} {right} {on}", joined
        table = dice.choice(list(COLUMNS))
        return f"{table} AS {alias}", [(f"{alias}.{name}", kind) for name, kind in COLUMNS[table].items()]

    def column(self, kind, scope):
        fitting = [name for name, held in scope if held == kind]
        return self.random.choice(fitting) if fitting else {"text": "'k'", "int": "3", "bool": "true"}[kind]

    def aggregate(self, kind, scope):
        dice = self.random
        text, number = self.column("text", scope), self.column("int", scope)
        match kind:
            case "text":
                return dice.choice(
                    [f"string_agg({text}, ',' ORDER BY {text})", f"max({text})", f"array_agg({number} ORDER BY {number})::text"]
                )
            case "int":
                condition = self.value("bool", scope, 0, 1)
                return dice.choice(
                    ["count(*)::int", f"count({text})::int", f"sum({number})::int", f"count(*) FILTER (WHERE {condition})::int"]
                )
            case _:
                return f"bool_or({self.value('bool', scope, 0, 1)})"

    def value(self, kind, scope, depth, levels):
        dice = self.random
        if not levels or dice.random() < 0.3:
            return self.column(kind, scope)
        if depth and dice.random() < 0.15:
            inner, _ = self.select(0, [], [kind])
            if kind == "bool" and dice.random() < 0.3:
                return f"EXISTS ({inner})"
            return f"(SELECT {'bool_or' if kind == 'bool' else 'max'}(s.v) FROM ({inner}) AS s(v))"

        def less(wanted):
            return self.value(wanted, scope, depth, levels - 1)

        match kind:
            case "text":
                return dice.choice(
                    [
                        lambda: f"({less('text')} || {less('text')})",
                        lambda: f"upper({less('text')})",
                        lambda: f"substr({less('text')}, 1, 2)",
                        lambda: f"({less('int')})::text",
                        lambda: f"CASE WHEN {less('bool')} THEN {less('text')} ELSE 'x' END",
                        lambda: f"coalesce({less('text')}, {less('text')})",
                        lambda: f"md5({less('text')})",
                        lambda: f"(ARRAY[{less('text')}, {less('text')}])[1]",
                        lambda: f"json_build_object('a', {less('text')})::text",
                        lambda: f"(ROW({less('text')}, {less('int')}))::text",
                    ]
                )()
            case "int":
                return dice.choice(
                    [
                        lambda: f"(({less('int')}) % 1000 + 1)",
                        lambda: f"length({less('text')})",
                        lambda: f"ascii({less('text')})",
                        lambda: f"({less('bool')})::int",
                        lambda: f"greatest({less('int')}, 4)",
                        lambda: f"(count(*) OVER (PARTITION BY {self.column('int', scope)}))::int" if levels > 1 else "5",
                    ]
                )()
            case _:
                return dice.choice(
                    [
                        lambda: f"({less('text')} > {less('text')})",
                        lambda: f"({less('text')} LIKE '%a%')",
                        lambda: f"({less('int')} > 40)",
                        lambda: f"({self.column('text', scope)} IS NULL)",
                        lambda: f"(({less('text')}) IS NOT NULL)",
                        lambda: f"(NOT {less('bool')})",
                    ]
                )()


@pytest.fixture(scope="module", params=[16, 18])
def two(request):
    """A connection to each of the two schemas, and what the catalog and the mask rules say."""
    with DemoDatabase(major=request.param) as server:
        with psycopg.connect(server.uri, autocommit=True) as connection:
            for schema, secret in (("one", "'1'"), ("other", "'52'")):
                connection.execute(TABLES.format(schema, secret))
        upstream = Upstream(server.host, server.port, "app", Secret("env", "LINEAGE_PASSWORD"), "disable", None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LINEAGE_PASSWORD", server.password)
            held = asyncio.run(read_catalog(Dialer(upstream), "shop", RULES))
        links = [psycopg.connect(server.uri, options=f"-c search_path={schema}") for schema in ("one", "other")]
        for link in links:
            link.read_only = True
        yield links, held.masked[RULES]
        for link in links:
            link.close()


def answer(link, sql):
    """Columns and rows, or None where the server refuses or fails."""
    try:
        cursor = link.execute(sql)
        return cursor.pgresult, cursor.fetchall()
    except psycopg.Error:
        return None
    finally:
        link.rollback()


def leaks(two, sql):
    """What differs and is not called masked; None where nothing can be compared."""
    links, masked = two
    answers = [answer(link, sql) for link in links]
    if None in answers:
        return None
    result = answers[0][0]
    columns = [
        OutputColumn(result.fname(i).decode(), result.ftable(i), result.ftablecol(i), result.ftype(i), False)
        for i in range(result.nfields)
    ]
    (lineage,) = lineages(sql, masked.world)
    _, how = plan_rows(columns, prepare(RULES, b"k" * 32), masked, lineage)
    values = [[sorted(map(repr, column)) for column in zip(*rows, strict=True)] or [[]] * len(columns) for _, rows in answers]
    if lineage.probes:
        return []  # reported
    return [column.name for column, one, other, by in zip(columns, *values, how, strict=True) if one != other and by is None]


@pytest.mark.parametrize("sql", THOUGHT_OF.strip().splitlines())
def test_i5_what_differs_with_the_secret_is_masked(two, sql):
    assert leaks(two, sql) == []


def test_i5_made_up_queries_differ_only_where_they_are_masked(two):
    compared, failures = 0, []
    for seed in range(QUERIES):
        sql, _ = Maker(seed).query(2)
        found = leaks(two, sql)
        compared += found is not None
        if found:
            failures.append((sql, found))
    assert not failures
    assert compared > QUERIES * 0.8


def test_the_lineage_masks_no_more_than_it_must(two):
    """Of the outputs that are the same whatever the secret is, most are shown."""
    links, masked = two
    shown = same = 0
    for seed in range(200):
        sql, columns = Maker(seed).query(2)
        answers = [answer(link, sql) for link in links]
        if None in answers or not answers[0][1]:
            continue
        (lineage,) = lineages(sql, masked.world)
        for place in range(len(columns)):
            one, other = (sorted(repr(row[place]) for row in rows) for _, rows in answers)
            same += one == other
            shown += one == other and lineage.reveals(place, len(columns)).is_nothing
    assert shown > same * 0.6
