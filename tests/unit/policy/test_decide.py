from datetime import UTC, datetime

import pytest

from countersign.model import Action, Command, Effect, Identity, IdentityKind, Session, Statement, Target
from countersign.policy import load_policies

CREW = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("agents",), "ann")
ANN = Identity("ann", IdentityKind.USER, ("dba",))
SHOP = Target("shop", "postgres", {"env": "production"})


@pytest.fixture
def decide(tmp_path):
    def decide(rules, *effects, who=CREW, target=SHOP, text="DELETE FROM t", statements=(), attributes=None):
        (tmp_path / "p.yaml").write_text(f"rules:\n  - {rules}\n")
        session = Session("se-1", who, target, "192.0.2.1", datetime(2026, 11, 23, tzinfo=UTC), "shop", "psql")
        command = Command(
            "postgres", b"", text, frozenset(effects), statements, attributes={"catalog_asked": True} | (attributes or {})
        )
        return load_policies([tmp_path / "p.yaml"]).decide(who, target, session, command)

    return decide


def test_targets_are_names_or_globs(decide):
    rule = "{name: a, targets: [billing, 'sho*'], action: deny}"
    assert decide(rule, Effect.READ).rule == "a"
    assert decide(rule, Effect.READ, target=Target("workshop", "postgres")).rule == "default-reads"
    assert decide(rule, Effect.READ, target=Target("SHOP", "postgres")).rule == "default-reads"


@pytest.mark.parametrize(
    "subjects", ["{groups: [agents]}", "{names: [crew]}", "{kinds: [service_account]}", "{groups: [x], names: [crew]}"]
)
def test_any_subject_that_fits_is_enough(decide, subjects):
    rule = f"{{name: a, subjects: {subjects}, action: deny}}"
    assert decide(rule, Effect.READ).rule == "a"
    assert decide(rule, Effect.READ, who=ANN).rule == "default-reads"


def test_denying_speaks_at_one_effect_of_many_but_allowing_must_cover_all(decide):
    assert decide("{name: a, effects: [write], action: deny}", Effect.READ, Effect.WRITE).rule == "a"
    assert decide("{name: a, effects: [read], action: allow}", Effect.READ, Effect.WRITE).rule == "default-review"
    assert decide("{name: a, effects: [read, write], action: allow}", Effect.READ, Effect.WRITE).rule == "a"


def test_i3_an_allow_rule_does_not_take_a_command_without_effects_for_understood(decide):
    assert decide("{name: a, action: allow}").action is Action.REVIEW
    assert decide("{name: a, when: 'true', action: allow}").action is Action.REVIEW


def test_i3_a_condition_that_names_unknown_does_not_allow_it(decide):
    rule = "{name: a, when: \"'unknown' in command.effects\", action: allow}"
    assert decide(rule, Effect.UNKNOWN).action is Action.REVIEW


@pytest.mark.parametrize(
    "when",
    [
        "identity.on_behalf_of == 'ann' && 'agents' in identity.groups && identity.kind == 'service_account'",
        "target.labels['env'] == 'production' && target.type == 'postgres'",
        "command.text.startsWith('DELETE') && command.kinds == ['DeleteStmt', 'SelectStmt']",
        "command.tables == ['b', 't'] && command.reads == ['b'] && command.writes == ['t']",
        "!sql.has_where && 'now' in command.functions",
        "command.statements.exists(s, s.kind == 'DeleteStmt' && s.has_where == false && 't' in s.writes)",
        "command.statements.exists(s, s.kind == 'SelectStmt' && s.has_where == true)",
        "sql.columns_read == ['b.x'] && sql.columns_written == ['t.a'] && sql.triggers == ['public.f'] && sql.settings == ['role']",
        "sql.locks == ['FOR UPDATE b'] && 'program' in sql.copy && sql.copy.size() == 1 && sql.catalog_asked",
        "command.statements.exists(s, 'b.x' in s.columns_read && s.locks.size() == 1 && s.copy == 'program' && 'role' in s.settings)",
        "command.statements.exists(s, 't.a' in s.columns_written && 'public.f' in s.triggers && s.copy == '')",
        "session.client_address == '192.0.2.1' && session.database == 'shop' && session.application == 'psql' && session.id == 'se-1'",
        "command.text.matches('(?i)delete +from')",
    ],
)
def test_what_a_condition_sees(decide, when):
    statements = (
        Statement(
            "DeleteStmt",
            frozenset({Effect.WRITE}),
            writes=("t",),
            has_where=False,
            columns_written=("t.a",),
            triggers=("public.f",),
        ),
        Statement(
            "SelectStmt",
            frozenset({Effect.READ}),
            reads=("b", "b"),
            functions=("now",),
            columns_read=("b.x",),
            settings=("role",),
            locks=("FOR UPDATE b",),
            copy="program",
        ),
    )
    rule = f'{{name: a, when: "{when}", action: deny}}'
    assert decide(rule, Effect.READ, Effect.WRITE, statements=statements).rule == "a"


@pytest.mark.parametrize(
    "when",
    [
        "target.labels['region'] == 'eu'",
        "command.statements[7].kind == 'x'",
        "command.statements.exists(s, s.nothing == 'x')",
        "1 / command.kinds.size() == 2 || 9223372036854775807 + command.text.size() > 0",
    ],
)
@pytest.mark.parametrize("action", ["allow", "review", "deny"])
def test_i8_a_condition_that_fails_denies_in_its_rules_name(decide, when, action):
    statement = (Statement("SelectStmt", frozenset({Effect.READ})),)
    verdict = decide(f'{{name: a, when: "{when}", action: {action}}}', Effect.READ, statements=statement)
    assert (verdict.action, verdict.rule, verdict.terms) == (Action.DENY, "a", None)
    assert "could not be evaluated" in verdict.message


def test_i8_a_failing_condition_denies_whatever_another_rule_says(decide):
    rules = "{name: first, action: allow}\n  - {name: broken, when: \"target.labels['x'] == ''\", action: allow}"
    assert decide(rules, Effect.READ).rule == "broken"


def test_i8_text_that_no_condition_can_read_denies(decide):
    assert (
        decide("{name: a, when: \"command.text.contains('x')\", action: allow}", Effect.READ, text="\ud800").action is Action.DENY
    )


def test_has_where_is_true_of_statements_that_cannot_have_one(decide):
    assert decide("{name: a, when: sql.has_where, action: deny}", Effect.READ).rule == "a"


def test_of_what_is_no_sql_nothing_is_there(decide):
    nothing = "sql.columns_read + sql.columns_written + sql.settings + sql.locks + sql.triggers + sql.copy == []"
    assert decide(f'{{name: a, when: "{nothing}", action: deny}}', Effect.EXEC).rule == "a"


def test_a_verdict_carries_message_terms_and_digest(decide):
    rule = "{name: a, action: review, message: ask first, review: {approvals: 2, timeout: 45s}}"
    verdict = decide(rule, Effect.READ)
    assert (verdict.message, verdict.terms.steps[0].approvals, verdict.terms.timeout_s) == ("ask first", 2, 45.0)
    assert len(verdict.policy_digest) == 64


MOVES = {"moves_masked": ["public.customers.ssn"], "probes_masked": []}
WRITES = "effects: [read, write, unknown]"


def test_what_moves_masked_columns_is_held_whatever_a_rule_allows(decide):
    for rule in (f"{{name: a, {WRITES}, action: allow}}", f"{{name: a, {WRITES}, when: 'true', action: allow}}"):
        verdict = decide(rule, Effect.WRITE, attributes=MOVES)
        assert (verdict.action, verdict.rule, verdict.terms.steps[0].approvals) == (Action.REVIEW, "default-moves-masked", 1)
        assert decide(rule, Effect.WRITE).rule == "a"
    assert decide("{name: a, effects: [ddl], action: deny}", Effect.WRITE, attributes=MOVES).rule == "default-moves-masked"


def test_a_rule_that_names_the_moves_overrides_the_hold_where_it_matches(decide):
    knowing = f"{{name: a, {WRITES}, when: \"sql.moves_masked.all(c, c == 'public.customers.ssn')\", action: allow}}"
    assert decide(knowing, Effect.WRITE, attributes=MOVES).rule == "a"
    other = {"moves_masked": ["public.customers.card"], "probes_masked": []}
    assert decide(knowing, Effect.WRITE, attributes=other).action is Action.REVIEW
    nearly = f"{{name: a, {WRITES}, when: \"command.text != 'x.sql.moves_masked_'\", action: allow}}"
    assert decide(nearly, Effect.WRITE, attributes=MOVES).rule == "default-moves-masked"


def test_stricter_rules_and_their_terms_stay(decide):
    denied = "{name: a, effects: [write], action: deny}"
    assert decide(denied, Effect.WRITE, attributes=MOVES).rule == "a"
    reviewed = "{name: a, effects: [write], action: review, review: {approvals: 2}}"
    assert decide(reviewed, Effect.WRITE, attributes=MOVES).terms.steps[0].approvals == 2


def test_probes_of_masked_columns_can_be_denied(decide):
    rule = "{name: no-probing, when: 'sql.probes_masked.size() > 0', action: deny}"
    assert decide(rule, Effect.READ, attributes={"probes_masked": ["public.customers.ssn"]}).rule == "no-probing"
    assert decide(rule, Effect.READ, attributes={"probes_masked": []}).rule == "default-reads"
    assert decide(rule, Effect.READ).rule == "default-reads"
