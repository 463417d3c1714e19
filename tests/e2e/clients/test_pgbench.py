"""pgbench: its own tables, its own transactions, in all three query modes."""

import re

import psycopg
import pytest

pytestmark = pytest.mark.parametrize("major", [15, 16, 18], indirect=True, scope="module")

SUMS = """
    SELECT (SELECT (count(*), sum(abalance))::text FROM pgbench_accounts), (SELECT (count(*), sum(bbalance))::text FROM pgbench_branches),
           (SELECT (count(*), sum(tbalance))::text FROM pgbench_tellers), (SELECT (count(*), sum(delta))::text FROM pgbench_history)
"""
SAME_BALANCES = """
    UPDATE pgbench_accounts SET abalance = 0 WHERE abalance <> 0;
    UPDATE pgbench_branches SET bbalance = 0;
    UPDATE pgbench_tellers SET tbalance = 0;
    DELETE FROM pgbench_history;
"""
PIPELINED = r"""
\set id random(1, 100000)
\startpipeline
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :id;
SELECT abalance FROM pgbench_accounts WHERE aid = :id;
END;
SELECT 1;
\endpipeline
"""
CHAINED = r"""
\set id random(1, 1000)
SELECT aid, abalance FROM pgbench_accounts WHERE aid = :id \gset
\if :abalance >= 0
UPDATE pgbench_accounts SET abalance = :abalance + 1 WHERE aid = :aid RETURNING abalance AS now \gset
\endif
SELECT :aid AS a \; SELECT :now AS b \aset
"""


def counts(text):
    """What pgbench says of its transactions, apart from times."""
    return re.findall(r"number of (?:transactions actually processed|failed transactions): (\S+)", text)


def sums(twins, address):
    with psycopg.connect((twins.behind if address != twins.direct else address).uri) as connection:
        return connection.execute(SUMS).fetchone()


@pytest.fixture(scope="module")
def initialized(twins):
    def initialize(address):
        said = twins.run(address, "pgbench", "-i", "-q", "-I", "dtgvpf", "--partitions=2")
        lines = [line for line in said.text.splitlines() if "done in" not in line and "100000 of" not in line]
        return said.status, lines, sums(twins, address)

    return twins.both(initialize)


@pytest.fixture
def tables(twins, initialized):
    """Equal tables on both sides: some tests run on one of them only."""
    assert [status for status, _, _ in initialized] == [0, 0], initialized
    for address in (twins.direct, twins.behind):
        with psycopg.connect(address.uri, autocommit=True) as connection:
            connection.execute(SAME_BALANCES)


def test_the_client_fills_the_tables(initialized):
    direct, through = initialized
    assert through == direct
    assert direct[2][0] == "(100000,0)"


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_one_client_leaves_the_same_balances(twins, tables, mode):
    def dialogue(address):
        said = twins.run(address, "pgbench", "-M", mode, "-t", "40", "--random-seed=7", "--no-vacuum")
        return said.status, counts(said.text), sums(twins, address)

    assert twins.same(dialogue)[:2] == (0, ["40/40", "0"])


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_many_clients_fail_no_transaction(twins, tables, mode):
    for words in (["-S"], [], ["-N", "-C"]):
        said = twins.run(twins.through, "pgbench", "-M", mode, *words, "-c", "4", "-j", "2", "-t", "10", "--no-vacuum")
        assert (said.status, counts(said.text)) == (0, ["40/40", "0"]), said.text
    balances = twins.run(twins.behind, "psql", "-XAtc", "SELECT (SELECT sum(bbalance) FROM pgbench_branches) IS NOT NULL")
    assert balances.text == "t\n"


@pytest.mark.parametrize("mode", ["extended", "prepared"])
def test_pipelines(twins, tables, tmp_path, mode):
    script = tmp_path / "pipelined"
    script.write_text(PIPELINED)

    def dialogue(address):
        said = twins.run(address, "pgbench", "-M", mode, "-f", script, "-t", "20", "--random-seed=8", "--no-vacuum")
        return said.status, counts(said.text), sums(twins, address)

    assert twins.same(dialogue)[:2] == (0, ["20/20", "0"])


def test_values_from_one_statement_go_into_the_next(twins, tables, tmp_path):
    script = tmp_path / "chained"
    script.write_text(CHAINED)

    def dialogue(address):
        said = twins.run(address, "pgbench", "-f", script, "-t", "20", "--random-seed=9", "--no-vacuum")
        return said.status, counts(said.text), sums(twins, address)

    assert twins.same(dialogue)[:2] == (0, ["20/20", "0"])


def test_serialization_failures_are_tried_again(twins, tables, tmp_path):
    """Every client wants the same row, so that some transactions fail first and pgbench tries them again."""
    script = tmp_path / "contended"
    script.write_text(
        "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT abalance FROM pgbench_accounts WHERE aid = 1;\n"
        "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1;\nEND;\n"
    )
    with psycopg.connect(twins.behind.uri) as connection:
        before = connection.execute("SELECT abalance FROM pgbench_accounts WHERE aid = 1").fetchone()[0]
        said = twins.run(twins.through, "pgbench", "-f", script, "-c", "4", "-t", "10", "--max-tries=1000", "--no-vacuum")
        connection.rollback()
        assert connection.execute("SELECT abalance FROM pgbench_accounts WHERE aid = 1").fetchone()[0] == before + 40, said.text
    assert counts(said.text) == ["40/40", "0"], said.text


def test_a_script_that_fails_says_why(twins, tables, tmp_path):
    script = tmp_path / "failing"
    script.write_text("SELECT 1;\nSELECT nope FROM pgbench_accounts;\n")
    said = twins.same(
        lambda address: [
            line for line in twins.run(address, "pgbench", "-f", script, "-t", "2").text.splitlines() if "nope" in line
        ]
    )
    assert said


def test_the_server_fills_the_tables(twins):
    assert (
        twins.same(lambda address: (twins.run(address, "pgbench", "-i", "-q", "-I", "dtGp").status, sums(twins, address)))[0] == 0
    )
