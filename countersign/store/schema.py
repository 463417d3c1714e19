"""The tables. Times are RFC 3339 text in UTC; JSON columns hold canonical text."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

from countersign.model import DecisionKind, ReviewState

SCHEMA_VERSION = 8

Number = BigInteger().with_variant(Integer, "sqlite")
"""Of records, which SQLite numbers in 64 bits as well."""
Name = String().with_variant(String(collation="C"), "postgresql")
"""Ids, times and other names, which are compared byte by byte."""

metadata = MetaData()

audit_batches = Table(
    "audit_batches",
    metadata,
    Column("first_seq", Number, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("time", Name, nullable=False),
    Column("edge", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("entries", LargeBinary),
)
"""The log, many records to a row (``audit.Batch``). The large column is last: SQLite has to read through what stands before."""

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("size", Number, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("made_at", Name, nullable=False),
)

audit_cursors = Table(
    "audit_cursors",
    metadata,
    Column("name", Name, primary_key=True),
    Column("confirmed", Number, nullable=False),
    Column("planned", Number),
)
"""How far each witness has confirmed the checkpoints, and each export the records (``delivery.Position``)."""

reviews = Table(
    "reviews",
    metadata,
    Column("id", Name, primary_key=True),
    Column("state", Name, nullable=False, index=True),
    Column("command_id", Name, nullable=False),
    Column("session_id", Name, nullable=False),
    Column("target", Name, nullable=False),
    Column("identity", Name, nullable=False, index=True),
    Column("on_behalf_of", Name, nullable=False),
    Column("digest", Name, nullable=False),
    Column("rule", Name, nullable=False),
    Column("command", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("created_at", Name, nullable=False, index=True),
    Column("expires_at", Name, nullable=False),
    Column("updated_at", Name, nullable=False),
    Column("released_at", Name),
    Column("marks", Text, nullable=False),
    Column("next_at", Name, index=True),
    Column("gateway", Name, nullable=False, index=True),
    CheckConstraint("state IN (" + ", ".join(f"'{state}'" for state in ReviewState) + ")", name="known_state"),
    CheckConstraint("released_at IS NULL OR state IN ('approved', 'executed', 'failed', 'cancelled')", name="released"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("review_id", Name, ForeignKey("reviews.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("reviewer", Name, nullable=False),
    Column("authentication", Name, nullable=False),
    Column("kind", Name, nullable=False),
    Column("step", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", Name, nullable=False),
    Column("decided_at", Name, nullable=False),
    Column("at_most_rows", Number),
    Column("proposal", Text, nullable=False),
    CheckConstraint("kind IN (" + ", ".join(f"'{kind}'" for kind in DecisionKind) + ")", name="known_kind"),
    CheckConstraint("at_most_rows IS NULL OR kind = 'approve'", name="bounds_are_of_approvals"),
    CheckConstraint("proposal = '' OR kind = 'deny'", name="proposals_are_of_denials"),
)
"""Every decision of a review by its number from 0: they are added and stay."""

grants = Table(
    "grants",
    metadata,
    Column("id", Name, primary_key=True),
    Column("review_id", Name, ForeignKey("reviews.id"), nullable=False),
    Column("identity", Name, nullable=False),
    Column("on_behalf_of", Name, nullable=False),
    Column("target", Name, nullable=False),
    Column("database", Name, nullable=False),
    Column("rule", Name, nullable=False),
    Column("terms_digest", Name, nullable=False),
    Column("shape", Text, nullable=False),
    Column("ranges", Text, nullable=False),
    Column("granted_by", Name, nullable=False),
    Column("authentication", Name, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Name, nullable=False),
    Column("expires_at", Name, nullable=False),
    Column("uses", Number, nullable=False),
    Column("used", Number, nullable=False),
    Column("revoked_at", Name),
    Column("revoked_by", Name, nullable=False),
    CheckConstraint("used BETWEEN 0 AND uses", name="within_uses"),
    CheckConstraint("granted_by NOT IN (identity, on_behalf_of)", name="by_another"),
    Index("grants_of", "identity", "target"),
)

identities = Table(
    "identities",
    metadata,
    Column("name", Name, primary_key=True),
    Column("kind", Name, nullable=False),
    Column("groups", Text, nullable=False),
    Column("scram_salt", Name, nullable=False),
    Column("created_at", Name, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Name, primary_key=True),
    Column("identity", Name, ForeignKey("identities.name"), nullable=False, index=True),
    Column("secret_hash", Name, nullable=False, unique=True),
    Column("stored_key", Name, nullable=False),
    Column("server_key", Name, nullable=False),
    Column("created_at", Name, nullable=False),
    Column("expires_at", Name, nullable=False),
    Column("revoked_at", Name),
    Column("last_used_at", Name),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Name, primary_key=True),
    Column("identity", Name, nullable=False),
    Column("target", Name, nullable=False),
    Column("client_address", Name, nullable=False),
    Column("database", Name, nullable=False),
    Column("application", Name, nullable=False),
    Column("started_at", Name, nullable=False, index=True),
    Column("ended_at", Name),
    Column("gateway", Name, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("id", Name, primary_key=True),
    Column("host", Name, nullable=False),
    Column("console", Name, nullable=False),
    Column("started_at", Name, nullable=False),
    Column("seen_at", Name, nullable=False),
    Column("stopped_at", Name),
)
"""Who runs on this store. One that was not seen for a while is taken for dead: nobody waits for what it held."""

notices = Table(
    "notices",
    metadata,
    Column("channel", Name, primary_key=True),
    Column("review_id", Name, ForeignKey("reviews.id"), primary_key=True),
    Column("handle", Name, nullable=False),
    Column("reminded", Integer, nullable=False),
)
"""What a channel keeps of each review: where its message stands, and whether it was reminded."""

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("channel", Name, primary_key=True),
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("event", Name, nullable=False),
    Column("review_id", Name, nullable=False),
    Column("error", Text, nullable=False),
    Column("given_up_at", Name, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Name, primary_key=True),
    Column("value", Name, nullable=False),
)
"""Secrets of this deployment that must outlive a restart, such as the key of the ``hash`` operator."""


def refuse_other_layout(version: int) -> None:
    """Raises ``OSError`` for a store that another version has made; 0 is none yet."""
    if version not in (0, SCHEMA_VERSION):
        raise OSError(
            f"it was made by another version of Countersign (its layout is {version}, this one's is {SCHEMA_VERSION}). Before "
            "release nothing is converted: export with the version that made it, move the store away, and make keys anew"
        )
