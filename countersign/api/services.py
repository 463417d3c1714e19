"""What the routes work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from countersign.api.sign_in import ConsoleSignIn
from countersign.audit.delivery import Status
from countersign.config import Config
from countersign.identity import Failures, Keys, Oidc
from countersign.model import Trouble
from countersign.notify import Channels
from countersign.recording import Library
from countersign.reviews.grants import Grants
from countersign.reviews.service import ReviewService
from countersign.store import StoredAuditLog, StoredSessions


@dataclass(frozen=True, slots=True)
class Health:
    """How the audit log is doing. ``unsigned_s`` is the age of the newest checkpoint; None where there is none. ``witness_lag_s`` is how
    far the slowest witness is behind; None where there are none."""

    trouble: Trouble | None
    records: int
    signed: int
    unsigned_s: float | None
    witness_lag_s: float | None
    recordings_writable: bool


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """The policy in force and since when; None where no gateway runs. ``problem`` says why the files are not what is in force."""

    digest: str
    since: datetime | None
    problem: str


@dataclass(frozen=True, slots=True)
class Services:
    """``online`` is False over the store of a gateway that is not running: then nothing can be decided."""

    config: Config
    reviews: ReviewService
    grants: Grants
    keys: Keys
    audit: StoredAuditLog
    sessions: StoredSessions
    recordings: Library
    sign_in: ConsoleSignIn
    oidc: Oidc
    public_url: Callable[[], str]
    """Where people reach the console."""
    failures: Failures
    online: bool
    targets: Callable[[], list[dict[str, object]]]
    deliveries: Callable[[], Awaitable[list[Status]]]
    """How the audit log's witnesses and exports are doing."""
    sign: Callable[[], Awaitable[str]]
    """Make a checkpoint now where anything was appended; the note of the newest one."""
    health: Callable[[], Awaitable[Health]]
    channels: Channels
    policy: Callable[[], PolicyStatus]
