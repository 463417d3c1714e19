"""The index answers what asking every rule in turn would, whatever the rules and the commands."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from countersign.model import NOBODY, Action, Command, Effect, Identity, IdentityKind, Session, Statement, Subjects, Target, Verdict
from countersign.policy import Policy, Rule
from countersign.policy.cel import Condition, ConditionError, bind, context_of
from countersign.policy.rules import STRICTNESS

NAMES = ["ann", "bob", "agents", ""]
CONDITIONS = [
    None,
    *map(
        Condition,
        [
            "true",
            "false",
            "'k' in command.kinds",
            "sql.moves_masked.size() == 1",
            "target.labels['missing'] == ''",
            "1 / command.kinds.size() == 1",
        ],
    ),
]
subjects = st.builds(
    Subjects,
    st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
    st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
    st.lists(st.sampled_from([*IdentityKind]).map(lambda kind: kind.value), max_size=1).map(tuple),
)
rule = st.builds(
    Rule,
    st.integers(0, 10**6).map(str),
    st.sampled_from(Action),
    st.lists(st.sampled_from(["shop", "sh*", "[a-s]*", "other", "*"]), max_size=2).map(tuple),
    st.just(NOBODY) | subjects,
    st.lists(st.sampled_from(Effect).map(lambda effect: effect.value), max_size=4).map(tuple),
    st.sampled_from(CONDITIONS),
)
default = st.builds(
    lambda made, standing: Rule(made.name, made.action, condition=made.condition, unless_named=standing),
    rule,
    st.sampled_from(["", "sql.moves_masked"]),
)
identity = st.builds(
    Identity, st.sampled_from(NAMES), st.sampled_from(IdentityKind), st.lists(st.sampled_from(NAMES), max_size=3).map(tuple)
)
command = st.builds(
    lambda effects, kinds, moved: Command(
        "postgres", b"", "", frozenset(effects), tuple(Statement(kind, frozenset(), "") for kind in kinds), attributes=moved
    ),
    st.lists(st.sampled_from(Effect), max_size=3),
    st.lists(st.sampled_from(["k", "l"]), max_size=2),
    st.sampled_from([{}, {"moves_masked": ("a",)}]),
)


@given(
    st.lists(rule, max_size=12),
    st.lists(default, max_size=4),
    st.lists(st.tuples(identity, st.sampled_from(["shop", "other", ""]), command), max_size=4),
)
def test_the_verdict_is_that_of_asking_every_rule_in_turn(rules, defaults, asked):
    policy = Policy(tuple(rules), tuple(defaults))
    # Twice, for what is remembered must not differ from what is found.
    for who, name, sent in [*asked, *asked]:
        target = Target(name, "postgres")
        session = Session("se-1", who, target, "", datetime(2026, 1, 1, tzinfo=UTC))
        assert policy.decide(who, target, session, sent) == in_turn(rules, defaults, who, target, session, sent)


def in_turn(rules, defaults, who, target, session, sent):
    bound = bind(context_of(who, target, session, sent))

    def matches(one):
        return one.concerns(who, target, sent) and (one.condition is None or one.condition.holds(bound))

    def strictest(some):
        best = None
        for one in some:
            try:
                if matches(one) and (best is None or STRICTNESS[one.action] > STRICTNESS[best.action]):
                    best = one
            except ConditionError:
                return Verdict(Action.DENY, one.name, f"the condition of rule {one.name!r} could not be evaluated")
        return best and Verdict(best.action, best.name, best.message, best.terms)

    found = strictest(rules) or strictest(defaults) or Verdict(Action.DENY, "no-rule", "no rule matches this command")
    if found.action is not Action.ALLOW:
        return found

    def knows(one, variable):
        return one.condition is not None and one.condition.names(variable) and matches(one)

    standing = [one for one in defaults if one.unless_named and not any(knows(known, one.unless_named) for known in rules)]
    return strictest(standing) or found
