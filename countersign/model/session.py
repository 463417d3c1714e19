"""One client connection to one target."""

from dataclasses import dataclass
from datetime import datetime

from countersign.model.identity import Identity
from countersign.model.target import Target


@dataclass(frozen=True, slots=True)
class Moment:
    """When a command is judged, and how its session stands then."""

    now: datetime
    transaction_open: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """An authenticated session. ``database`` and ``application`` are what the client asked for and calls itself."""

    id: str
    identity: Identity
    target: Target
    client_address: str
    started_at: datetime
    database: str = ""
    application: str = ""
