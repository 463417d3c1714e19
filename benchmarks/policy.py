"""What judging a command costs with 10, 100, 1,000 and 10,000 rules, in µs of one processor, by the shape of the policy:

- by target: every rule is about a database of its own, a hundred in all, or as many as there are rules;
- by group: every rule is for a team of its own, and the command's identity is in one of them;
- by effect: all but ten rules are about effects that the command has not;
- no condition, and one condition: every rule concerns the command, without a condition or with the cheapest one. No index helps there:
  each condition must be asked, for one that fails denies.

"first" is a command of an identity, target and effects not seen before; every other figure is of one like those before it.

    python benchmarks/policy.py
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from countersign.model import Action, Command, Effect, Identity, IdentityKind, Session, Statement, Subjects, Target
from countersign.policy import Policy, Rule, load_policies
from countersign.policy.cel import Condition

DEFAULTS = load_policies([]).defaults
WHO = Identity("crew", IdentityKind.SERVICE_ACCOUNT, ("team-7", "agents"))
SHOP = Target("db-7", "postgres", {"env": "production"})
SESSION = Session("se-1", WHO, SHOP, "192.0.2.1", datetime(2026, 1, 1, tzinfo=UTC), "shop", "psql")
SELECT = Statement("SELECT", frozenset({Effect.READ}), "SELECT on orders", reads=("public.orders",))
COMMAND = Command("postgres", b"", "SELECT total FROM orders WHERE id = 7", frozenset({Effect.READ}), (SELECT,))
WHEN = Condition("sql.has_where && 'public.secrets' in command.tables")

SHAPES: dict[str, Callable[[int], Rule]] = {
    "by target": lambda n: Rule(f"r{n}", Action.REVIEW, targets=(f"db-{n}",), condition=WHEN),
    "by target of 100": lambda n: Rule(f"r{n}", Action.REVIEW, targets=(f"db-{n % 100}",), condition=WHEN),
    "by group": lambda n: Rule(f"r{n}", Action.REVIEW, subjects=Subjects((f"team-{n}",)), condition=WHEN),
    "by effect": lambda n: Rule(f"r{n}", Action.REVIEW, effects=("read",) if n < 10 else ("write", "ddl"), condition=WHEN),
    "no condition": lambda n: Rule(f"r{n}", Action.ALLOW, effects=("read",)),
    "one condition": lambda n: Rule(f"r{n}", Action.REVIEW, condition=WHEN),
}


def judged_us(policy: Policy, seconds: float) -> float:
    """The median of many runs, each of as many commands as take some milliseconds."""
    runs: list[float] = []
    policy.decide(WHO, SHOP, SESSION, COMMAND)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or not runs:
        start = time.process_time_ns()
        for _ in range(10):
            policy.decide(WHO, SHOP, SESSION, COMMAND)
        runs.append((time.process_time_ns() - start) / 10_000)
    return statistics.median(runs)


def first_us(policy: Policy) -> float:
    """The median over identities that nothing is remembered of."""
    runs: list[float] = []
    for number in range(50):
        who = Identity(f"crew-{number}", WHO.kind, WHO.groups)
        start = time.process_time_ns()
        policy.decide(who, SHOP, SESSION, COMMAND)
        runs.append((time.process_time_ns() - start) / 1_000)
    return statistics.median(runs)


def main(sizes: list[int], seconds: float) -> None:
    """Measure and print a table."""
    print(f"| µs a command | {' | '.join(f'{size:,}' for size in sizes)} | first, {sizes[-1]:,} |")
    print(f"|---|{'--:|' * (len(sizes) + 1)}")
    for name, shape in SHAPES.items():
        policies = [Policy(tuple(map(shape, range(size))), DEFAULTS) for size in sizes]
        figures = [judged_us(policy, seconds) for policy in policies]
        print(f"| {name} | {' | '.join(f'{figure:,.1f}' for figure in [*figures, first_us(policies[-1])])} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--seconds", type=float, default=1.0)
    asked = parser.parse_args()
    main(asked.sizes, asked.seconds)
