"""What the gateway remembers of a session's messages: statements, portals, and which reply belongs to what. Sans-IO.

The rule that makes this sound: no message of a new segment (what ends in a Sync, or one simple Query) is looked at before the
server is ready for it. So at the start of a segment every name is known to be what the server holds. Within a segment names are
tentative: an error throws away what was asked behind it, on the server and here alike.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from countersign._core import RowPlan
from countersign.model import Denial, Permit

T = TypeVar("T")


class Names(Generic[T]):
    """Names as the server holds them, and as it will if nothing in this segment fails."""

    def __init__(self) -> None:
        self._held: dict[bytes, T] = {}
        self._hoped: dict[bytes, T | None] = {}

    def get(self, name: bytes) -> T | None:
        """What the name will stand for when the next message is run; None where it is not known."""
        return self._hoped[name] if name in self._hoped else self._held.get(name)

    def hope(self, name: bytes, value: T | None) -> None:
        """A message that defines the name (or, with None, drops it) is on its way."""
        self._hoped[name] = value

    def confirm(self, name: bytes, value: T | None) -> None:
        """The server did as asked."""
        if value is None:
            self._held.pop(name, None)
        else:
            self._held[name] = value

    def settle(self) -> None:
        """The segment is over: what was not confirmed did not happen."""
        self._hoped.clear()

    def forget(self, name: bytes | None = None) -> None:
        """Hold a name, or every name, for unknown from now on."""
        for names in (self._held, self._hoped):
            if name is None:
                names.clear()
            else:
                names.pop(name, None)


@dataclass(slots=True)
class Prepared:
    """A prepared statement as its Parse gave it."""

    sql: bytes
    parameter_types: list[int]
    raw: bytes


@dataclass(slots=True)
class Running:
    """A permitted command on its way through the target."""

    permit: Permit
    sql: str
    """The statement's text, or '' where it could not be read."""
    started_s: float
    schema_change: bool = False
    rows: int = 0
    bytes_out: int = 0
    plan: RowPlan | None = None
    finished: bool = False
    tags: list[str] = field(default_factory=list)
    failure: tuple[str, str] = ("", "")


@dataclass(slots=True)
class Portal:
    """A bound portal: permitted, with the row plan that its own description asks for."""

    running: Running
    plan: RowPlan | None = None


class Asked(Enum):
    """What the server was asked, and so what it will answer."""

    QUERY = "Query"
    PARSE = "Parse"
    BIND = "Bind"
    DESCRIBE = "Describe"
    DESCRIBE_OURS = "Describe of our own"
    EXECUTE = "Execute"
    CLOSE = "Close"
    SYNC = "Sync"
    REFUSED = "refused"
    """A statement of ours in place of a denied command: the server's error becomes the gateway's."""


@dataclass(slots=True)
class Entry:
    """One request whose reply is due."""

    asked: Asked
    name: bytes = b""
    prepared: Prepared | None = None
    portal: Portal | None = None
    running: Running | None = None
    denial: Denial | None = None
    statement_index: int = 0
    is_simple: bool = False
    closes: bytes = b""


@dataclass(slots=True)
class Replies:
    """Requests in the order in which the server answers them."""

    queue: deque[Entry] = field(default_factory=deque)

    def ask(self, entry: Entry) -> None:
        """A request was forwarded."""
        self.queue.append(entry)

    @property
    def head(self) -> Entry | None:
        """The request that the server answers now."""
        return self.queue[0] if self.queue else None

    def answered(self) -> Entry:
        """The head's answer is complete."""
        return self.queue.popleft()

    def skip_to_sync(self) -> list[Entry]:
        """The server reported an error: it will not answer what lies ahead of the next Sync. Return what it left out."""
        left_out = []
        while self.queue and self.queue[0].asked is not Asked.SYNC:
            left_out.append(self.queue.popleft())
        return left_out

    def drop_syncs(self) -> None:
        """The server reads copy data and ignores a Sync that was sent ahead of it (manual, "COPY Operations")."""
        self.queue = deque(entry for entry in self.queue if entry.asked is not Asked.SYNC)
