"""Commands on record, put to another policy."""

from datetime import UTC, datetime, timedelta

import pytest

from countersign.model import Action, Target
from countersign.policy import load_policies
from countersign.policy.simulation import recorded, simulate

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(hours):
    return (NOON + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def opened(session="se-1", groups=("agents",)):
    body = {
        "session_id": session,
        "identity": "crew",
        "groups": list(groups),
        "authentication": "api_key",
        "client_address": "192.0.2.1",
        "application": "psql",
        "started_at": at(-1),
    }
    return "session.opened", at(-1), body


def command(hours, text, effects, verdict, rule="before", session="se-1", **more):
    statement = {
        "kind": "X",
        "effects": effects,
        "summary": "",
        "reads": [],
        "writes": ["public.log"],
        "functions": [],
        "has_where": None,
    }
    body = {
        "session_id": session,
        "identity": "crew",
        "on_behalf_of": "",
        "target": "shop",
        "database": "shop",
        "verdict": verdict,
        "rule": rule,
        "command": {
            "protocol": "postgres",
            "text": text,
            "effects": effects,
            "statements": [statement | {"reasons": []}],
            "parameters": [],
            "attributes": {},
            "asks_unmasked": False,
            **more,
        },
    }
    return "command", at(hours), body


@pytest.fixture
def run(tmp_path):
    def run(rules, *records, since=NOON):
        (tmp_path / "p.yaml").write_text(f"rules:\n{rules}")
        targets = {"shop": Target("shop", "postgres", {"env": "production"})}
        return simulate(load_policies([tmp_path / "p.yaml"]), recorded(records, since, targets))

    return run


WRITES = [command(1, "INSERT a", ["write"], "review"), command(30, "INSERT b", ["write"], "review")]
READ = command(2, "SELECT 1", ["read"], "allow")


def test_it_counts_what_would_be_decided_otherwise_with_examples_and_the_reviews_of_a_day(run):
    rules = "  - {name: appends, action: allow, effects: [write], when: \"command.writes == ['public.log']\"}\n"
    rules += "  - {name: no-reads, action: review, effects: [read], subjects: {groups: [agents]}}\n"
    found = run(rules, opened(), WRITES[0], READ, WRITES[1])
    assert found.commands == 3
    assert found.moves == {(Action.REVIEW, Action.ALLOW): 2, (Action.ALLOW, Action.REVIEW): 1}
    assert found.by_rule == {("appends", Action.ALLOW): 2, ("no-reads", Action.REVIEW): 1}
    assert [one.text for one in found.examples[Action.REVIEW, Action.ALLOW]] == ["INSERT a", "INSERT b"]
    before, after = found.reviews_a_day()
    assert (round(before, 2), round(after, 2)) == (round(2 * 24 / 29, 2), round(24 / 29, 2))


def test_time_labels_and_what_the_session_said_are_those_of_the_record(run):
    rules = "  - {name: day, action: deny, when: \"time.now.getHours('Europe/Berlin') == 14 && target.labels.env == 'production'"
    rules += " && context.application == 'psql' && identity.authentication.age >= duration('2h')\"}\n"
    found = run(rules, opened(), *WRITES, READ)
    assert found.by_rule["day", Action.DENY] == 1 and found.moves[Action.REVIEW, Action.DENY] == 1


def test_what_a_record_does_not_hold_is_counted_as_not_judged(run):
    rules = "  - {name: columns, action: deny, effects: [write], when: \"'x' in sql.columns_read\"}\n"
    rules += "  - {name: text, action: deny, effects: [read], when: \"command.text.contains('x')\"}\n"
    cut = command(3, "SELECT …", ["read"], "allow", cut=True)
    built_in = command(4, "COPY", ["read"], "deny", rule="built-in")
    found = run(rules, opened(), *WRITES, READ, cut, built_in)
    assert found.not_judged == {
        "rule 'columns' asks for what records do not hold": 2,
        "its text is not kept whole, and a rule may look at it": 1,
        "the gateway itself refused it, whatever a policy says": 1,
    }
    assert sum(found.moves.values()) == 1


def test_what_asks_for_real_values_stays_held_and_what_came_before_is_left_out(run):
    unmasked = command(1, "SELECT ssn", ["read"], "review", asks_unmasked=True)
    found = run("  - {name: all, action: allow, effects: [read]}\n", opened(), command(-1, "SELECT", ["read"], "deny"), unmasked)
    assert found.moves == {(Action.REVIEW, Action.REVIEW): 1}
