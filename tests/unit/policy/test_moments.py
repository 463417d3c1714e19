"""Conditions about time and the session's state: zones, summer time, and that nothing which may change is judged once for all."""

from datetime import UTC, datetime

import pytest

from countersign.model import Action, Command, Effect, Identity, IdentityKind, Moment, Session, Target
from countersign.policy import load_policies
from countersign.policy.cel import VARIABLES, Condition, bind, context_of

STARTED = datetime(2026, 1, 1, 8, tzinfo=UTC)
CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("agents",), authentication="api_key")
SESSION = Session("se-1", CREW, Target("shop", "postgres"), "192.0.2.1", STARTED, "shop", "psql")
READ = Command("postgres", b"", "SELECT 1", frozenset({Effect.READ}))


def holds(expression, moment):
    return Condition(expression).holds(bind(context_of(CREW, SESSION.target, SESSION, READ, moment)))


@pytest.mark.parametrize(
    ("expression", "moment", "expected"),
    [
        ("time.now.getHours('Europe/Berlin') == 14", datetime(2026, 7, 1, 12, tzinfo=UTC), True),  # summer time there
        ("time.now.getHours('Europe/Berlin') == 13", datetime(2026, 12, 1, 12, tzinfo=UTC), True),
        ("time.now.getHours('Europe/Berlin') == 1", datetime(2026, 3, 29, 0, 59, tzinfo=UTC), True),
        ("time.now.getHours('Europe/Berlin') == 3", datetime(2026, 3, 29, 1, 0, tzinfo=UTC), True),  # two o'clock was left out
        ("time.now.getDayOfWeek('America/New_York') == 0", datetime(2026, 11, 23, 4, tzinfo=UTC), True),  # still Sunday there
        ("time.now < timestamp('2026-06-01T00:00:00Z')", datetime(2026, 6, 1, tzinfo=UTC), False),
        ("identity.authentication.age < duration('8h')", datetime(2026, 1, 1, 15, 59, tzinfo=UTC), True),
        ("identity.authentication.age < duration('8h')", datetime(2026, 1, 1, 16, tzinfo=UTC), False),
        ("identity.authentication.age == duration('0s')", datetime(2025, 1, 1, tzinfo=UTC), True),  # the clock was set back
        ("session.started == timestamp('2026-01-01T08:00:00Z')", STARTED, True),
        ("identity.authentication.method == 'api_key' && command.kind == 'postgres'", STARTED, True),
        ("context.application == 'psql' && command.objects == []", STARTED, True),
    ],
)
def test_a_condition_about_time_reads_as_a_clock_of_that_zone(expression, moment, expected):
    assert holds(expression, Moment(moment)) is expected


@pytest.mark.parametrize("open_", [True, False])
def test_a_condition_sees_whether_a_transaction_is_open(open_):
    assert holds("session.transaction_open", Moment(STARTED, open_)) is open_


@pytest.mark.parametrize("expression", ["time.now.getHours('Nowhere/Land') < 30", "session.transaction_open"])
def test_i8_what_cannot_be_told_denies(tmp_path, expression):
    (tmp_path / "p.yaml").write_text(f'rules: [{{name: a, action: allow, effects: [read], when: "{expression}"}}]')
    policy = load_policies([tmp_path / "p.yaml"])
    moment = Moment(STARTED) if "time" in expression else None
    assert policy.decide(CREW, SESSION.target, SESSION, READ, moment).action is Action.DENY


@pytest.mark.parametrize(
    "expression",
    [
        "time.now < timestamp('2027-01-01T00:00:00Z')",
        "identity.authentication.age < duration('1h')",
        "session.transaction_open",
        "command.text == ''",
        "command.statements.size() == 1",
    ],
)
def test_i2_a_policy_that_asks_for_what_may_change_is_never_asked_once_for_all(tmp_path, expression):
    (tmp_path / "p.yaml").write_text(f'rules: [{{name: a, action: deny, when: "{expression}"}}]')
    assert load_policies([tmp_path / "p.yaml"]).varies


def test_all_that_is_the_same_for_a_shape_in_a_session_may_be_asked_once():
    may_change = {name for name in VARIABLES if Condition(f"{name} == {name}").varies}
    assert may_change == {
        "command.text", "command.statements", "time.now", "identity.authentication.age", "session.transaction_open"
    }  # fmt: skip
