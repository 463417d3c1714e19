"""Which access mode a command needs, and every step that a session may have to take for it."""

import itertools

import pytest

from countersign.protocols.postgres.access import AccessMode, Implicit, Need, Step, is_bare_setting, need_of, problem_of
from countersign.protocols.postgres.reading import query_command


def command(sql):
    return query_command(b"", sql.encode(), True)


@pytest.mark.parametrize(
    ("sql", "need"),
    [
        ("SELECT 1", Need.READ_ONLY),
        ("SELECT * FROM t; SELECT 2", Need.READ_ONLY),
        ("EXPLAIN SELECT 1", Need.READ_ONLY),
        ("COPY t TO STDOUT", Need.READ_ONLY),
        ("DECLARE c CURSOR FOR SELECT 1", Need.READ_ONLY),
        ("FETCH c", Need.READ_ONLY),
        ("BEGIN; SELECT 1; COMMIT", Need.READ_ONLY),
        ("SELECT set_config('timezone', 'UTC', false)", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only'), lower('x')", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only') FROM t", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only') || 'x'", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only'::text)", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only') WHERE lower('x') = 'x'", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only') UNION SELECT lower('x')", Need.READ_ONLY),
        ("WITH w AS (SELECT lower('x')) SELECT current_setting('transaction_read_only')", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only') OVER (ORDER BY lower('x'))", Need.READ_ONLY),
        ("SELECT current_setting('transaction_read_only')", Need.WISH),
        ("SELECT pg_catalog.set_config('default_transaction_read_only', 'on', false)", Need.WISH),
        ("INSERT INTO t VALUES (1)", Need.WISH),
        ("SELECT 1; DELETE FROM t", Need.WISH),
        ("SELECT f()", Need.WISH),
        ("SELECT 1 FROM t FOR UPDATE", Need.WISH),
        ("BEGIN", Need.WISH),
        ("BEGIN; SET LOCAL lock_timeout = 1", Need.WISH),
        ("ROLLBACK TO a", Need.WISH),
        ("SET CONSTRAINTS ALL IMMEDIATE", Need.WISH),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Need.WISH),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Need.WISH),
        ("RESET ALL", Need.WISH),
        ("DISCARD ALL", Need.WISH),
        ("SHOW transaction_read_only", Need.WISH),
        ("SHOW ALL", Need.WISH),
        ("SHOW server_version", Need.NOTHING),
        ("SET timezone = 'UTC'", Need.NOTHING),
        ("LISTEN a", Need.NOTHING),
        ("", Need.NOTHING),
    ],
)
def test_what_a_command_needs(sql, need):
    assert need_of(command(sql)) is need


def test_i3_nothing_but_settings_is_a_bare_look_at_them():
    assert is_bare_setting("SELECT set_config('transaction_read_only', $1, true), current_setting('transaction_read_only')")
    assert not is_bare_setting("SELECT current_setting('transaction_read_only'), evil.current_setting('x') FROM t")
    assert not is_bare_setting("SELECT current_setting('transaction_read_only') FILTER (WHERE evil())")
    assert not is_bare_setting("SELECT current_setting('timezone')")
    assert not is_bare_setting("SELECT current_setting('transaction_read_only'); SELECT 1")


@pytest.mark.parametrize(
    ("sql", "status", "refused"),
    [
        ("SELECT 1", b"T", False),
        ("BEGIN; SELECT 1; COMMIT", b"I", False),
        ("BEGIN; SELECT 1", b"I", True),
        ("SELECT 1; COMMIT", b"T", True),
        ("SAVEPOINT a; SELECT 1", b"T", True),
        ("ROLLBACK; BEGIN; SELECT 1", b"E", True),
        ("BEGIN READ WRITE; SELECT 1; COMMIT", b"I", True),
        ("SET default_transaction_read_only = off; SELECT 1", b"I", True),
        ("SELECT set_config('transaction_read_only', 'off', true), lower('x')", b"I", True),
        ("BEGIN; INSERT INTO t VALUES (1)", b"I", False),
        ("SET default_transaction_read_only = off", b"I", False),
        ("RESET ALL; SELECT 1", b"I", False),
        ("BEGIN; RESET ALL; COMMIT; BEGIN; SELECT 1; COMMIT", b"I", True),
    ],
)
def test_what_cannot_be_run_under_read_only(sql, status, refused):
    assert bool(problem_of(command(sql), status, is_reported=True)) is refused


def test_i3_settings_are_not_reset_beside_a_read_where_the_server_does_not_tell():
    assert problem_of(command("RESET ALL; SELECT 1"), b"I", is_reported=False)


def states():
    for locked, guarded, status, implicit in itertools.product((0, 1), (0, 1), (b"I", b"T", b"E"), Implicit):
        yield AccessMode(True, bool(locked), bool(guarded), status=status, implicit=implicit)


def test_i3_a_read_goes_only_where_the_server_refuses_writes():
    for mode in states():
        if mode.step(Need.READ_ONLY) is Step.GO and mode.status != b"E":
            assert (
                mode.is_guarded if mode.status == b"T" else mode.is_locked or mode.implicit in (Implicit.READS, Implicit.TIGHTENED)
            )


def test_a_write_goes_only_where_the_clients_wish_is_in_force():
    for mode in states():
        if mode.step(Need.WISH) is Step.GO and mode.status != b"E":
            assert not mode.is_guarded if mode.status == b"T" else mode.implicit in (Implicit.NOTHING, Implicit.WRITES)


def test_without_the_option_nothing_is_asked():
    for need in Need:
        assert AccessMode(False).goes_at_once(need)


def test_what_is_not_known_is_asked_first():
    mode = AccessMode(True, is_locked=True, is_unclear=True)
    assert not mode.goes_at_once(Need.READ_ONLY)
    mode.ready(b"I")
    assert mode.goes_at_once(Need.READ_ONLY)


def test_i3_a_setting_that_changes_unasked_ends_the_lock():
    mode = AccessMode(True, is_locked=True)
    assert mode.hides("default_transaction_read_only", "on", is_ours=True)
    assert mode.is_locked
    assert mode.hides("default_transaction_read_only", "off", is_ours=False)
    assert not mode.is_locked
    assert not mode.hides("default_transaction_read_only", "on", is_ours=False)
    assert mode.step(Need.READ_ONLY) is Step.LOCK


def test_the_gateways_savepoint_is_gone_when_the_client_comes_back_from_a_failure():
    mode = AccessMode(True, is_guarded=True, status=b"T")
    mode.ready(b"E")
    mode.ready(b"T")
    assert mode.step(Need.READ_ONLY) is Step.GUARD
