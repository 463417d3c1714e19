"""What the gateway remembers of a session's messages: statements, portals, and which reply belongs to what. Sans-IO.

The rule that makes this sound: no message of a new segment (what ends in a Sync, or one simple Query) is looked at before the
server is ready for it. So at the start of a segment every name is known to be what the server holds. Within a segment names are
tentative: an error throws away what was asked behind it, on the server and here alike.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

from countersign._core import RowPlan, StreamDigest
from countersign.model import Command, Denial, Permit
from countersign.protocols.postgres.copying import CopyFormat
from countersign.protocols.postgres.naming import Use

T = TypeVar("T")


class Names(Generic[T]):
    """Names as the server holds them, and as it will if nothing in this segment fails."""

    def __init__(self) -> None:
        self._held: dict[bytes, T] = {}
        self._hoped: dict[bytes, T | None] = {}
        self.changes = 0
        """Grows whenever what the server holds changes."""

    def get(self, name: bytes) -> T | None:
        """What the name will stand for when the next message is run; None where it is not known."""
        return self._hoped[name] if name in self._hoped else self._held.get(name)

    def get_held(self, name: bytes) -> T | None:
        """What the server holds under the name now."""
        return self._held.get(name)

    def hope(self, name: bytes, value: T | None) -> None:
        """A message that defines the name (or, with None, drops it) is on its way."""
        self._hoped[name] = value

    def confirm(self, name: bytes, value: T | None) -> None:
        """The server did as asked."""
        self.changes += 1
        if value is None:
            self._held.pop(name, None)
        else:
            self._held[name] = value

    def held(self) -> dict[bytes, T]:
        """Everything that the server holds."""
        return dict(self._held)

    def all(self) -> list[T]:
        """Everything that the server holds or will."""
        return [*self._held.values(), *(value for value in self._hoped.values() if value is not None)]

    def drop(self, name: bytes = b"") -> None:
        """The server says that it has dropped the name, or, without one, every name."""
        self.changes += 1
        if name:
            self._held.pop(name, None)
        else:
            self._held.clear()

    def unsettle(self, name: bytes = b"") -> list[T]:
        """What the name, or without one every name, stands for or will: something is on its way that may change that."""
        self.changes += 1
        found = self.get(name) if name else None
        return self.all() if not name else [] if found is None else [found]

    def settle(self) -> None:
        """The segment is over: what was not confirmed did not happen."""
        self._hoped.clear()

    def forget(self, name: bytes | None = None) -> None:
        """Hold a name, or every name, for unknown from now on."""
        self.changes += 1
        for names in (self._held, self._hoped):
            if name is None:
                names.clear()
            else:
                names.pop(name, None)


class Cursors:
    """The statements behind the cursors that SQL declared, as far as they are known."""

    def __init__(self) -> None:
        self._queries: dict[str, str] = {}

    def get(self, name: str) -> str:
        """The cursor's statement, '' where it is not known."""
        return self._queries.get(name, "")

    def is_known(self, name: str) -> bool:
        """True where SQL has declared it, and nothing says that it is closed."""
        return name in self._queries

    def declared(self, name: str, query: str) -> None:
        """The server did DECLARE it."""
        self._queries[name] = query

    def forget(self, name: str = "") -> None:
        """Hold a cursor, or every one, for unknown."""
        if name:
            self._queries.pop(name, None)
        else:
            self._queries.clear()


@dataclass(slots=True, eq=False)
class Prepared:
    """A prepared statement as its Parse or PREPARE gave it. ``query`` is the statement itself, '' where it cannot be written down;
    ``source`` what the server keeps as its text; ``age``: how many commands that may prepare unseen had been run in the session when it
    was last known to be what it says."""

    sql: bytes
    parameter_types: list[int]
    raw: bytes
    query: str = ""
    source: bytes = b""
    age: int = 0

    def doubt(self) -> None:
        """A command is on its way that may drop it or put another in its place."""
        self.age = -1


@dataclass(slots=True, eq=False)
class Learning:
    """What a plain read teaches for the steady state: how its shape is described and masked."""

    key: bytes
    generation: int
    """Of the catalog that the statement was read by."""
    description: bytes = b""
    columns: dict[str, object] = field(default_factory=dict)
    """As a recording's event says them."""


@dataclass(slots=True, eq=False)
class CopyData:
    """The CopyData messages of a client that go to the target."""

    messages: int = 0
    size_bytes: int = 0
    digest: StreamDigest = field(default_factory=StreamDigest)

    def add(self, data: bytes, messages: int) -> None:
        """More of them: so many begin in it."""
        self.messages += messages
        self.size_bytes += len(data)
        self.digest.update(data)


@dataclass(slots=True, eq=False)
class Running:
    """A permitted command on its way through the target."""

    permit: Permit
    command: Command
    started_s: float
    sql: str = ""
    """The command's text, or '' where it could not be read."""
    statements: tuple[Use, ...] = ()
    executed: str = ""
    """The query behind an EXECUTE that stands alone, as it was known when it was judged."""
    schema_change: bool = False
    is_first_change: bool = True
    """Nothing ahead of it in its transaction can have changed the schema."""
    unmasked: bool = False
    """A reviewer has let the client see the real values of what this command answers."""
    learning: Learning | None = None
    copies: list[tuple[RowPlan, CopyFormat]] = field(default_factory=list)
    """The plans of the COPYs to the client that this command holds, in order."""
    rows: int = 0
    bytes_out: int = 0
    answer: StreamDigest = field(default_factory=StreamDigest)
    """Of what the client was answered, where that may be kept (docs/recordings.md)."""
    copied_in: "CopyData | None" = None
    plan: RowPlan | None = None
    hits: dict[str, int] = field(default_factory=dict)
    finished: bool = False
    exceeded: int | None = None
    """The rows that it changed where it was approved for fewer: it must be undone."""
    judged_by: object = None
    """The policy that permitted it, where that is known."""
    tags: list[str] = field(default_factory=list)
    failure: tuple[str, str] = ("", "")

    def answers(self, data: bytes, rows: int, *, is_kept: bool) -> None:
        """More of the answer goes to the client: so many rows or messages begin in it. ``is_kept``: its digest may be known."""
        self.rows += rows
        self.bytes_out += len(data)
        if is_kept:
            self.answer.update(data)

    def count_hits(self, plan: RowPlan | None) -> None:
        """Add what a plan has masked since it was asked last."""
        for rule, count in plan.take_hits() if plan is not None else ():
            self.hits[rule] = self.hits.get(rule, 0) + count


@dataclass(slots=True, eq=False)
class Portal:
    """A bound portal: permitted, with the row plan that its own description asks for."""

    running: Running
    plan: RowPlan | None = None
    query: str = ""
    """The statement that its rows come from, for FETCH."""


class Asked(Enum):
    """What the server was asked, and so what it will answer."""

    QUERY = "Query"
    CALL = "FunctionCall"
    PARSE = "Parse"
    BIND = "Bind"
    DESCRIBE = "Describe"
    DESCRIBE_OURS = "Describe of our own"
    EXECUTE = "Execute"
    CLOSE = "Close"
    SYNC = "Sync"
    REFUSED = "refused"
    """A statement of ours in place of a denied command: the server's error becomes the gateway's."""
    OURS = "ours"
    """A request of the gateway's own; the client does not see its answer."""


@dataclass(slots=True, eq=False)
class Entry:
    """One request whose reply is due."""

    asked: Asked
    name: bytes = b""
    prepared: Prepared | None = None
    portal: Portal | None = None
    running: Running | None = None
    denial: Denial | None = None
    code: str = ""
    """The SQLSTATE of a refusal that is not about what was asked."""
    statement_index: int = 0
    is_simple: bool = False
    closes: bytes = b""
    function_oid: int = 0
    copy_index: int = 0
    ends_with: bytes = b""
    """Of a request of the gateway's own: the kinds of message that complete its answer."""
    heard: Callable[[bytes], None] | None = None
    """Called with every message that answers a request of the gateway's own, and with b'' where it will not be answered."""

    @property
    def ends_segment(self) -> bool:
        """True for a Sync, the client's or ours: the server answers it whatever came before."""
        return self.asked is Asked.SYNC or (self.asked is Asked.OURS and self.ends_with == b"Z")


@dataclass(slots=True, eq=False)
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
        while self.queue and not self.queue[0].ends_segment:
            left_out.append(self.queue.popleft())
        return left_out

    def next_sync_is_ours(self) -> bool:
        """True where the request that failed belongs to a segment of the gateway's own."""
        return next((entry.asked is Asked.OURS for entry in self.queue if entry.ends_segment), False)

    def drop_syncs(self) -> bool:
        """The server reads copy data and ignores a Sync that was sent ahead of it (manual, "COPY Operations"). True if there was one."""
        kept = deque(entry for entry in self.queue if entry.asked is not Asked.SYNC)
        dropped = len(kept) < len(self.queue)
        self.queue = kept
        return dropped
