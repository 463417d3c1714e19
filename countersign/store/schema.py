"""The tables. Times are RFC 3339 text in UTC; JSON columns hold canonical text."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

from countersign.model import DecisionKind, ReviewState
from countersign.reviews.machine import TRANSITIONS

SCHEMA_VERSION = 6

metadata = MetaData()

audit_batches = Table(
    "audit_batches",
    metadata,
    Column("first_seq", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("time", String, nullable=False),
    Column("edge", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("entries", LargeBinary),
)
"""The log, many records to a row (``audit.Batch``). The large column is last: SQLite has to read through what stands before."""

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("made_at", String, nullable=False),
)

audit_cursors = Table(
    "audit_cursors",
    metadata,
    Column("name", String, primary_key=True),
    Column("confirmed", Integer, nullable=False),
    Column("planned", Integer),
)
"""How far each witness has confirmed the checkpoints, and each export the records (``delivery.Position``)."""

reviews = Table(
    "reviews",
    metadata,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False, index=True),
    Column("command_id", String, nullable=False),
    Column("session_id", String, nullable=False),
    Column("target", String, nullable=False),
    Column("identity", String, nullable=False, index=True),
    Column("on_behalf_of", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("command", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("created_at", String, nullable=False, index=True),
    Column("expires_at", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("released_at", String),
    Column("marks", Text, nullable=False),
    Column("next_at", String, index=True),
    CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in ReviewState) + ")", name="known_state"),
    CheckConstraint("released_at IS NULL OR state IN ('approved', 'executed', 'failed', 'cancelled')", name="released"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("review_id", String, ForeignKey("reviews.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("reviewer", String, nullable=False),
    Column("authentication", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", String, nullable=False),
    Column("decided_at", String, nullable=False),
    Column("at_most_rows", Integer),
    Column("proposal", Text, nullable=False),
    CheckConstraint("kind IN (" + ", ".join(f"'{kind}'" for kind in DecisionKind) + ")", name="known_kind"),
    CheckConstraint("at_most_rows IS NULL OR kind = 'approve'", name="bounds_are_of_approvals"),
    CheckConstraint("proposal = '' OR kind = 'deny'", name="proposals_are_of_denials"),
)
"""Every decision of a review by its number from 0: they are added and stay."""

grants = Table(
    "grants",
    metadata,
    Column("id", String, primary_key=True),
    Column("review_id", String, ForeignKey("reviews.id"), nullable=False),
    Column("identity", String, nullable=False),
    Column("on_behalf_of", String, nullable=False),
    Column("target", String, nullable=False),
    Column("database", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("terms_digest", String, nullable=False),
    Column("shape", Text, nullable=False),
    Column("ranges", Text, nullable=False),
    Column("granted_by", String, nullable=False),
    Column("authentication", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", String, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("revoked_at", String),
    Column("revoked_by", String, nullable=False),
    CheckConstraint("used BETWEEN 0 AND uses", name="within_uses"),
    CheckConstraint("granted_by NOT IN (identity, on_behalf_of)", name="by_another"),
    Index("grants_of", "identity", "target"),
)

identities = Table(
    "identities",
    metadata,
    Column("name", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("groups", Text, nullable=False),
    Column("scram_salt", String, nullable=False),
    Column("created_at", String, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("identity", String, ForeignKey("identities.name"), nullable=False, index=True),
    Column("secret_hash", String, nullable=False, unique=True),
    Column("stored_key", String, nullable=False),
    Column("server_key", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("revoked_at", String),
    Column("last_used_at", String),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("identity", String, nullable=False),
    Column("target", String, nullable=False),
    Column("client_address", String, nullable=False),
    Column("database", String, nullable=False),
    Column("application", String, nullable=False),
    Column("started_at", String, nullable=False, index=True),
    Column("ended_at", String),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
)
"""Secrets of this deployment that must outlive a restart, such as the key of the ``hash`` operator."""


def guards() -> list[str]:
    """Triggers that make the store itself refuse what the code must never do."""
    legal = " OR ".join(
        f"(OLD.state = '{before}' AND NEW.state = '{after}')" for before, afters in TRANSITIONS.items() for after in afters
    )
    may_change = {"used", "revoked_at", "revoked_by"}
    changed = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in grants.columns.keys() if name not in may_change)
    return [
        """CREATE TRIGGER IF NOT EXISTS audit_batches_keep BEFORE UPDATE ON audit_batches
           WHEN NEW.entries IS NOT NULL OR NEW.first_seq IS NOT OLD.first_seq OR NEW.count IS NOT OLD.count
             OR NEW.time IS NOT OLD.time OR NEW.edge IS NOT OLD.edge OR NEW.hashes IS NOT OLD.hashes
           BEGIN SELECT RAISE(ABORT, 'audit records are append-only'); END""",
        """CREATE TRIGGER IF NOT EXISTS audit_batches_stay BEFORE DELETE ON audit_batches
           BEGIN SELECT RAISE(ABORT, 'audit records are append-only'); END""",
        """CREATE TRIGGER IF NOT EXISTS audit_checkpoints_keep BEFORE UPDATE ON audit_checkpoints
           BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END""",
        """CREATE TRIGGER IF NOT EXISTS audit_checkpoints_stay BEFORE DELETE ON audit_checkpoints
           BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END""",
        f"""CREATE TRIGGER IF NOT EXISTS reviews_move BEFORE UPDATE OF state ON reviews
           WHEN OLD.state <> NEW.state AND NOT ({legal})
           BEGIN SELECT RAISE(ABORT, 'a review cannot move so'); END""",
        """CREATE TRIGGER IF NOT EXISTS reviews_release_once BEFORE UPDATE OF released_at ON reviews
           WHEN OLD.released_at IS NOT NULL AND NEW.released_at IS NOT OLD.released_at
           BEGIN SELECT RAISE(ABORT, 'a review is released once'); END""",
        """CREATE TRIGGER IF NOT EXISTS reviews_bound BEFORE UPDATE ON reviews
           WHEN NEW.digest <> OLD.digest OR NEW.command <> OLD.command OR NEW.command_id <> OLD.command_id
             OR NEW.session_id <> OLD.session_id OR NEW.identity <> OLD.identity OR NEW.target <> OLD.target
             OR NEW.on_behalf_of <> OLD.on_behalf_of OR NEW.terms <> OLD.terms OR NEW.rule <> OLD.rule
           BEGIN SELECT RAISE(ABORT, 'what a review is about cannot change'); END""",
        """CREATE TRIGGER IF NOT EXISTS grants_of_approvals BEFORE INSERT ON grants
           WHEN NEW.used <> 0 OR NOT EXISTS (SELECT 1 FROM reviews JOIN decisions ON review_id = id WHERE id = NEW.review_id
             AND identity = NEW.identity AND target = NEW.target AND reviewer = NEW.granted_by AND kind = 'approve'
             AND state IN ('approved', 'executed', 'failed', 'cancelled', 'expired'))
           BEGIN SELECT RAISE(ABORT, 'a grant comes with an approval'); END""",
        f"""CREATE TRIGGER IF NOT EXISTS grants_bound BEFORE UPDATE ON grants
           WHEN {changed} OR NEW.used < OLD.used OR (OLD.revoked_at IS NOT NULL AND (NEW.revoked_at IS NOT OLD.revoked_at
             OR NEW.used <> OLD.used))
           BEGIN SELECT RAISE(ABORT, 'what a grant is for cannot change'); END""",
        """CREATE TRIGGER IF NOT EXISTS grants_stay BEFORE DELETE ON grants
           BEGIN SELECT RAISE(ABORT, 'grants stay on record'); END""",
        """CREATE TRIGGER IF NOT EXISTS decisions_keep BEFORE UPDATE ON decisions
           BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END""",
        """CREATE TRIGGER IF NOT EXISTS decisions_stay BEFORE DELETE ON decisions
           BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END""",
        """CREATE TRIGGER IF NOT EXISTS decisions_in_time BEFORE INSERT ON decisions
           WHEN NOT EXISTS (SELECT 1 FROM reviews WHERE id = NEW.review_id AND digest = NEW.digest AND released_at IS NULL
             AND (state = 'pending' OR (state = 'approved' AND NEW.kind = 'take_back')))
           BEGIN SELECT RAISE(ABORT, 'this review takes no such decision any more'); END""",
        """CREATE TRIGGER IF NOT EXISTS decisions_by_others BEFORE INSERT ON decisions
           WHEN EXISTS (SELECT 1 FROM reviews WHERE id = NEW.review_id AND NEW.reviewer IN (identity, on_behalf_of))
           BEGIN SELECT RAISE(ABORT, 'whoever asked decides nothing'); END""",
        """CREATE TRIGGER IF NOT EXISTS decisions_count_once BEFORE INSERT ON decisions
           WHEN NEW.kind = 'approve' AND 'approve' = (SELECT kind FROM decisions
             WHERE review_id = NEW.review_id AND reviewer = NEW.reviewer ORDER BY number DESC LIMIT 1)
           BEGIN SELECT RAISE(ABORT, 'a person approves once'); END""",
    ]
