"""Triggers that make the store itself refuse what the code must never do, in the words of each kind of store."""

from dataclasses import dataclass

from countersign.reviews.machine import TRANSITIONS
from countersign.store import schema


@dataclass(frozen=True, slots=True)
class Guard:
    """Refuses ``action`` on a row of a table where the ``condition`` holds, an expression over OLD and NEW that both kinds of a store
    read alike; '' refuses every row."""

    name: str
    table: str
    action: str
    condition: str
    says: str

    def sqlite(self) -> str:
        """The trigger in SQLite."""
        when = f"WHEN {self.condition}" if self.condition else ""
        return (
            f"CREATE TRIGGER {self.name} BEFORE {self.action} ON {self.table} {when} BEGIN SELECT RAISE(ABORT, '{self.says}'); END"
        )

    def postgresql(self) -> str:
        """The trigger and its function in PostgreSQL, where ``WHEN`` may hold no subquery."""
        row = "OLD" if self.action == "DELETE" else "NEW"
        return f"""
            CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
              IF {self.condition or "true"} THEN RAISE EXCEPTION '{self.says}'; END IF;
              RETURN {row};
            END $$;
            CREATE TRIGGER {self.name} BEFORE {self.action} ON {self.table} FOR EACH ROW EXECUTE FUNCTION {self.name}()"""


KEPT_WHOLE = ("audit_batches", "audit_checkpoints", "decisions", "grants")
"""Tables from which nothing is ever taken away."""


def no_truncate(table: str) -> str:
    """Against what PostgreSQL has beside DELETE."""
    return f"""
        CREATE FUNCTION {table}_whole() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '{table} is append-only'; END $$;
        CREATE TRIGGER {table}_whole BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_whole()"""


def _changed(*columns: str) -> str:
    return " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in columns)


_LEGAL = " OR ".join(
    f"(OLD.state = '{before}' AND NEW.state = '{after}')" for before, afters in TRANSITIONS.items() for after in afters
)
_MAY_CHANGE = {"used", "revoked_at", "revoked_by"}
_GRANTED = _changed(*(name for name in schema.grants.columns.keys() if name not in _MAY_CHANGE))
_ASKED = ("digest", "command", "command_id", "session_id", "identity", "target", "on_behalf_of", "terms", "rule", "gateway")

GUARDS = (
    Guard(
        "audit_batches_keep",
        "audit_batches",
        "UPDATE",
        "NEW.entries IS NOT NULL OR " + _changed("first_seq", "count", "time", "edge", "hashes"),
        "audit records are append-only",
    ),
    Guard("audit_batches_stay", "audit_batches", "DELETE", "", "audit records are append-only"),
    Guard("audit_checkpoints_keep", "audit_checkpoints", "UPDATE", "", "checkpoints are append-only"),
    Guard("audit_checkpoints_stay", "audit_checkpoints", "DELETE", "", "checkpoints are append-only"),
    Guard(
        "reviews_move",
        "reviews",
        "UPDATE OF state",
        f"OLD.state <> NEW.state AND NOT ({_LEGAL})",
        "a review cannot move so",
    ),
    Guard(
        "reviews_release_once",
        "reviews",
        "UPDATE OF released_at",
        "OLD.released_at IS NOT NULL AND " + _changed("released_at"),
        "a review is released once",
    ),
    Guard("reviews_bound", "reviews", "UPDATE", _changed(*_ASKED), "what a review is about cannot change"),
    Guard(
        "grants_of_approvals",
        "grants",
        "INSERT",
        """NEW.used <> 0 OR NOT EXISTS (SELECT 1 FROM reviews JOIN decisions ON review_id = id WHERE id = NEW.review_id
             AND identity = NEW.identity AND target = NEW.target AND reviewer = NEW.granted_by AND kind = 'approve'
             AND state IN ('approved', 'executed', 'failed', 'cancelled', 'expired'))""",
        "a grant comes with an approval",
    ),
    Guard(
        "grants_bound",
        "grants",
        "UPDATE",
        f"{_GRANTED} OR NEW.used < OLD.used OR (OLD.revoked_at IS NOT NULL AND ({_changed('revoked_at')} OR NEW.used <> OLD.used))",
        "what a grant is for cannot change",
    ),
    Guard("grants_stay", "grants", "DELETE", "", "grants stay on record"),
    Guard("decisions_keep", "decisions", "UPDATE", "", "decisions are append-only"),
    Guard("decisions_stay", "decisions", "DELETE", "", "decisions are append-only"),
    Guard(
        "decisions_in_time",
        "decisions",
        "INSERT",
        """NOT EXISTS (SELECT 1 FROM reviews WHERE id = NEW.review_id AND digest = NEW.digest AND released_at IS NULL
             AND (state = 'pending' OR (state = 'approved' AND NEW.kind = 'take_back')))""",
        "this review takes no such decision any more",
    ),
    Guard(
        "decisions_by_others",
        "decisions",
        "INSERT",
        "EXISTS (SELECT 1 FROM reviews WHERE id = NEW.review_id AND NEW.reviewer IN (identity, on_behalf_of))",
        "whoever asked decides nothing",
    ),
    Guard(
        "decisions_count_once",
        "decisions",
        "INSERT",
        """NEW.kind = 'approve' AND 'approve' = (SELECT kind FROM decisions
             WHERE review_id = NEW.review_id AND reviewer = NEW.reviewer ORDER BY number DESC LIMIT 1)""",
        "a person approves once",
    ),
)
