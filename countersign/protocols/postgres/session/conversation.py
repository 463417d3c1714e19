"""What the two directions of one session share, and the few things that both do."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from countersign import _core
from countersign._core import FrontendDecoder
from countersign.gate import CopiedIn, Gate, Outcome, Ruling
from countersign.model import Command, Permit, Review, Session
from countersign.model.blast import Surveyor
from countersign.model.grant import Shape
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.access import AccessMode
from countersign.protocols.postgres.bounds import bound_problem
from countersign.protocols.postgres.codec import Asked, CopyData, Cursors, Entry, Names, Portal, Prepared, Replies, Running
from countersign.protocols.postgres.lineage import Lineage, lineages
from countersign.protocols.postgres.masking import (
    UNMASKED,
    Catalog,
    MaskedColumns,
    OutputColumn,
    TargetMasking,
    names_column,
    plan_rows,
)
from countersign.protocols.postgres.session.catalog import TargetCatalog
from countersign.protocols.postgres.session.lanes import Lanes
from countersign.protocols.postgres.session.memory import LongMessages, Share
from countersign.protocols.postgres.session.recorded import (
    record_decided,
    record_done,
    record_end,
    record_response,
    record_verdict,
)
from countersign.protocols.postgres.session.surveying import Circumstances, Vantage
from countersign.protocols.postgres.session.target import TargetConnection
from countersign.protocols.postgres.shapes import shape_of
from countersign.protocols.postgres.speech import Speech, Topic, fresh_tables, speech_about
from countersign.protocols.wire import Wire
from countersign.recording import Recorder

SHAPES_TOLD = 1024
NAMES_KEPT = 32
OUR_ROWS = _core.RowPlan([("pass", "text", False, "", '{"redact":{}}')], None)
"""Of the gateway's own queries, which have one column each."""


TRANSACTION_OPEN = "the session is within a transaction: what it has changed there is not counted"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session of this target works with."""

    gate: Gate
    masking: TargetMasking
    catalog: TargetCatalog
    lanes: Lanes
    long_messages: LongMessages
    console_url: Callable[[str], str]
    rows_recorded: int
    """How many rows of each command its recording shows."""
    settings: Mapping[str, str]
    """What the client asked to have set when it connected."""
    read_only: bool = False
    """Reads run under READ ONLY."""
    survey: Callable[[Command, Vantage], Surveyor] | None = None
    """Makes who tells what a held command would touch; None where nobody is to."""


@dataclass(slots=True)
class Planned:
    """How rows of one description are masked."""

    plan: _core.RowPlan
    names: list[str]
    masked_by: list[str]
    columns: list[OutputColumn]
    unresolved: list[tuple[str, str]]
    """The columns that are masked only because they cannot be resolved, and why."""


class SessionHold:
    """The client's side of one hold: notices go out at once, and the client's or the target's leaving ends it (implements ``gate.Hold``).
    ``on_held`` is awaited once the client has been told. All of it is recorded."""

    def __init__(
        self,
        conversation: "Conversation",
        command: Command,
        on_held: Callable[[], Awaitable[None]],
        surveyor: Surveyor | None,
        read: Callable[[str], Awaitable[Command]],
        changed: Callable[[Command], Awaitable[Command | None]],
        survey: Callable[[Command], Surveyor | None],
    ) -> None:
        self.survey = survey
        """See ``gate.Hold``."""
        self._conversation = conversation
        self._read = read
        self._changed = changed
        self.command = command
        """As it reads now: what is held may come to do something else."""
        self._on_held = on_held
        self.surveyor = surveyor
        self.cancelled: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.transaction_open = conversation.transaction_open
        """See ``gate.Hold``; as it is for the client, though the gateway may give its transaction back meanwhile."""
        self.is_open = False
        """True from where the command waits for a review."""

    def cancel(self, why: str) -> None:
        """The command must not run any more."""
        if not self.cancelled.done():
            self.cancelled.set_result(why)

    def shape(self) -> Shape | None:
        """See ``gate.Hold``; none where names may mean other things than they do in other sessions."""
        if self._conversation.circumstances().obstacle:
            return None
        return shape_of(self.command, self._conversation.likeness)

    async def changed(self) -> Command | None:
        """See ``gate.Hold``."""
        has_grown = self.surveyor is not None and await self.surveyor.has_grown()
        changed = await self._changed(self.command)
        self.command = changed or self.command
        return self.command if has_grown else changed

    async def read(self, text: str) -> Command:
        """See ``gate.Hold``."""
        return await self._read(text)

    def bound_problem(self) -> str:
        """See ``gate.Hold``."""
        return bound_problem(self.command)

    def place(self) -> str | None:
        """See ``gate.Hold``."""
        if self._conversation.circumstances().obstacle:
            return None
        return json.dumps(self._conversation.likeness, sort_keys=True)

    def judged(self, ruling: Ruling) -> None:
        """Record the verdict."""
        record_verdict(self._conversation.recorder, ruling)

    def decided(self, review: Review) -> None:
        """Record what the reviewers said."""
        record_decided(self._conversation.recorder, review)

    async def held(self, review: Review) -> None:
        """Tell the client at once."""
        self.is_open = True
        if self._conversation.client.gone.done():
            self.cancel("the client left")
        about = {"command_id": review.command_id, "review_id": review.id}
        self._conversation.recorder.add("held", **about, rule=review.rule)
        self._notice(review, f"held for review {review.id}: a human must approve exactly this command")
        await self._on_held()

    def still_held(self, review: Review) -> None:
        """Tell it again."""
        self._notice(review, f"review {review.id} is still waiting for a decision")

    def _notice(self, review: Review, text: str) -> None:
        hint = self._conversation.surroundings.console_url(review.id)
        self._conversation.tell(text, detail=f"Rule {review.rule!r}.", hint=hint, command_id=review.command_id)


@dataclass(slots=True)
class Conversation:
    """One session's state on both sides."""

    session: Session
    client: Wire
    frontend: FrontendDecoder
    target: TargetConnection
    recorder: Recorder
    surroundings: Surroundings
    lane: _core.Lane
    long: Share
    """What this session holds of long messages."""
    statements: Names[Prepared] = field(default_factory=Names)
    portals: Names[Portal] = field(default_factory=Names)
    cursors: Cursors = field(default_factory=Cursors)
    replies: Replies = field(default_factory=Replies)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever the target answered something."""
    hold: SessionHold | None = None
    segment_closed: bool = True
    skipping: bool = False
    """The server has reported an error in this segment and ignores the rest of it."""
    copying_in: bool = False
    copied_in: CopyData | None = None
    """What the client sends for the COPY that reads it."""
    status: bytes = b"I"
    """The transaction status of the last ReadyForQuery: I idle, T in a transaction, E in a failed one."""
    opening: list[Running] | None = field(default_factory=list)
    """The commands that have begun this transaction, while they can be repeated unseen: none where nothing has run since the server was
    idle, None where something has run that cannot be repeated."""
    access: AccessMode = field(default_factory=lambda: AccessMode(is_enforced=False))
    age: int = 0
    """How many commands ran that may have prepared statements without saying so."""
    late: set[Topic | None] = field(default_factory=set)
    """What the target may still speak of before this transaction is over."""
    was_told_fatal: bool = False
    """The target has said that it ends the connection."""
    path_moved: bool = False
    """Something may have changed what unqualified names mean in this session."""
    schema_changed: bool = False
    """Something in this transaction may have changed the target's catalog."""
    changes_unseen: bool = False
    """Something in this transaction may have made relations that the gateway has not asked for."""
    has_made_checks: bool | None = None
    """Whether this transaction has made or changed checks of domains; None while that is not known."""
    changes: Catalog | None = None
    """What this transaction has done to the catalog, as far as it is known."""
    own: tuple[int, MaskedColumns] | None = None
    """What is masked in the eyes of this transaction, and the generation of the target's catalog that this was made of."""
    told: set[tuple[bytes, tuple[tuple[str, str], ...]]] = field(default_factory=set)
    """The shapes of statements of which the client knows that they hold what cannot be resolved."""
    application: str = ""
    """What the client calls itself now."""
    names_said: deque[str] = field(default_factory=lambda: deque(maxlen=NAMES_KEPT))
    """The latest commands that may have changed that, in their own words."""
    failure: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Ends with an error that came up outside of the two loops."""

    @property
    def transaction_open(self) -> bool:
        """Whether the client has begun a transaction, failed or not; its BEGIN may still be on its way."""
        return self.status != b"I" or bool(self.opening)

    @property
    def likeness(self) -> dict[str, str]:
        """What makes one session like another beside its identity's name: the settings that it began with, and what a token says of who asks."""
        claims = {f"identity.claims.{name}": value for name, value in self.session.identity.claims}
        return dict(self.surroundings.settings) | claims

    def circumstances(self) -> Circumstances:
        """What of this session another connection of the same user cannot see."""
        if self.path_moved:
            return Circumstances("the session may have changed which relations its names mean")
        if self.schema_changed:
            return Circumstances("its transaction has changed the schema, which no other connection sees yet")
        is_open = self.status == b"T" and self.opening is None
        return Circumstances(notes=(TRANSACTION_OPEN,) if is_open else ())

    def to_client(self, data: bytes) -> None:
        """Send whole messages to the client."""
        self.client.send(data)

    def record_response(self, kind: str, response: bytes, command_id: str = "") -> dict[str, str]:
        """Record an error or a notice that the client is sent; return its fields as they may be kept: without its words, where those were
        masked less than for others (I5)."""
        fields = {code: value.decode("utf-8", "replace") for code, value in _core.decode_fields(response)}
        if self.surroundings.masking.leaves_out:
            words = f"{fields.get('C', '')}, in words that are not kept: this client sees what is masked for others"
            fields = {code: value for code, value in fields.items() if code in "SVC"} | {"M": words}
        record_response(self.recorder, kind, command_id, fields)
        return fields

    def tell(self, text: str, *, detail: str = "", hint: str = "", command_id: str = "") -> None:
        """Send a notice of the gateway's own, and record it."""
        fields = {"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": text, "D": detail, "H": hint}
        record_response(self.recorder, "notice", command_id, {letter: value for letter, value in fields.items() if value})
        self.to_client(messages.notice_response(text, detail=detail, hint=hint))

    def shows_originals(self, running: Running) -> bool:
        """Whether the client sees more of this command's answer than is masked for others, so that none of it is kept (I5)."""
        return self.surroundings.masking.leaves_out or running.unmasked

    def forward(self, data: bytes, entry: Entry) -> None:
        """Send a request to the target and expect its answer."""
        self.replies.ask(entry)
        if self.replies.head is entry:
            self.next_rows()
        self.target.wire.send(data)

    def next_rows(self) -> None:
        """Rows that follow belong to the request that is now at the head."""
        head = self.replies.head
        plan = None
        if head is not None and head.asked is Asked.EXECUTE and head.portal is not None:
            plan = head.portal.plan
        elif head is not None and head.asked is Asked.OURS:
            plan = OUR_ROWS
        self.target.decoder.set_row_plan(plan)

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something the target answers makes it true."""
        while not condition():
            self.moved.clear()
            await self.moved.wait()

    async def settle(self) -> None:
        """Hear how everything that was asked went, or that something of this segment failed."""
        if self.replies.queue:
            self.target.wire.send(messages.FLUSH)
            await self.wait(lambda: not self.replies.queue or self.skipping)

    @property
    def is_quiet(self) -> bool:
        """True between segments, with nothing on its way."""
        return (
            self.segment_closed and not self.replies.queue and self.hold is None and not self.copying_in and not self.lane.is_busy()
        )

    @property
    def is_plain(self) -> bool:
        """True where neither connection goes through TLS."""
        return not (self.client.is_secure or self.target.wire.is_secure)

    async def ask_ours(self, data: bytes, *entries: Entry) -> None:
        """Send a request of the gateway's own, and hear it out or see the segment fail."""
        for entry in entries:
            self.replies.ask(entry)
        self.next_rows()
        self.target.wire.send(data if entries[-1].ends_with == b"Z" else data + messages.FLUSH)
        await self.wait(lambda: entries[-1] not in self.replies.queue)

    async def masked(self, table_oids: set[int]) -> MaskedColumns:
        """What is masked, as this session sees the catalog. Raises ``CatalogUnavailable``."""
        catalog, changes, rules = self.surroundings.catalog, self.changes, self.surroundings.masking.rules
        if changes is None:
            return await catalog.masked(table_oids, rules)
        await catalog.masked(table_oids - {column.table_oid for column in changes.columns}, rules)
        if self.own is None or self.own[0] != catalog.generation:
            self.own = (catalog.generation, catalog.masked_with(changes, rules))
        return self.own[1]

    async def plan(
        self,
        description: bytes,
        reading_of: str,
        *,
        binary: bool | None = None,
        ahead: tuple[str, int] = ("", 0),
        unmasked: bool = False,
    ) -> Planned:
        """The plan for rows with this RowDescription. ``reading_of``: the statement they come from, '' where that is not known.
        ``ahead``: the text that it stands in, and how many of its statements ran ahead of it. ``unmasked``: a reviewer has let the real values
        be seen."""
        fields = _core.decode_row_description(description)
        columns = [
            OutputColumn(f[0].decode("utf-8", "replace"), f[1], f[2], f[3], f[6] == 1 if binary is None else binary) for f in fields
        ]
        masking = UNMASKED if unmasked else self.surroundings.masking
        masked = None
        lineage: Lineage | None = None
        fresh: frozenset[str] = frozenset()
        if masking.has_columns:
            masked = await self.masked({column.table_oid for column in columns if column.table_oid})
            fresh = self._fresh(*ahead, masked) if ahead[1] else fresh
            read = lineages(reading_of, masked.world.with_fresh(fresh)) if reading_of else ()
            lineage = read[0] if len(read) == 1 else None
        plan, how = plan_rows(columns, masking, masked, lineage, fresh)
        names = [column.name for column in columns]
        unresolved = [(name, one.why) for name, one in zip(names, how, strict=True) if one is not None and one.why]
        return Planned(plan, names, [one.rule if one is not None else "" for one in how], columns, unresolved)

    def tell_unresolved(self, running: Running, planned: Planned) -> None:
        """Say once for each shape of a statement which columns are masked only because nobody can say what is in them."""
        key = (_core.shape_key(running.sql.encode(), False), tuple(planned.unresolved))
        if not planned.unresolved or key in self.told:
            return
        if len(self.told) >= SHAPES_TOLD:
            self.told.clear()
        self.told.add(key)
        for name, why in planned.unresolved:
            text = f'the column "{name}" is masked: {why}'
            hint = "What cannot be told apart from masked data is masked."
            self.tell(text, hint=hint, command_id=running.permit.command_id)

    def _fresh(self, sql: str, before: int, masked: MaskedColumns) -> frozenset[str]:
        """The tables of the same message that the catalog cannot show yet, and that no mask rule can mean."""
        rules = self.surroundings.masking.rules
        made = fresh_tables(sql, before, masked)
        return frozenset(table for table, columns in made.items() if not any(names_column(rules, column) for column in columns))

    async def speech(self, spoken_of: Iterable[Topic | None]) -> Speech:
        """How much of the target's words about these topics may have to be withheld. What was written earlier in the transaction can
        still speak: a deferred constraint or trigger at any time up to COMMIT, and a cursor WITH HOLD at COMMIT."""
        if not self.surroundings.masking.has_columns:
            return Speech.PLAIN
        if any(topic is None or topic.makes_code for topic in self.late):
            return Speech.ANYTHING
        masked = await self.masked(set())
        return max((speech_about(topic, masked) for topic in (*spoken_of, *self.late)), default=Speech.PLAIN)

    async def finish(self, running: Running, *, ok: bool, summary: str, error_code: str = "") -> None:
        """Record what became of a permitted command, once."""
        if running.finished:
            return
        running.finished = True
        running.count_hits(running.plan)
        for plan, _ in running.copies:
            running.count_hits(plan)
        copied = running.copied_in
        outcome = Outcome(
            ok,
            summary,
            time.monotonic() - running.started_s,
            running.rows,
            error_code,
            tuple(running.hits.items()),
            running.bytes_out,
            None if self.shows_originals(running) else running.answer.hex(),
            None if copied is None else CopiedIn(copied.messages, copied.size_bytes, copied.digest.hex()),
        )
        record_done(self.recorder, running.permit.command_id, outcome)
        await self.close(running.permit, outcome)

    async def close(self, permit: Permit, outcome: Outcome) -> None:
        """Put on record what became of a permitted command, and of its review."""
        record_end(self.recorder, await self.surroundings.gate.finished(self.session, permit, outcome))

    def is_ready(self, status: bytes) -> None:
        """The server waits for the next request, in this transaction status."""
        self.status = status
        self.access.ready(status)
        if status == b"I":
            self.late.clear()
            self.opening = []
            self.portals.forget()  # no portal of the protocol outlives its transaction
            if self.schema_changed:  # others see the change only now, the reader of the catalog among them
                self.schema_changed = self.changes_unseen = False
                self.changes = self.own = self.has_made_checks = None
                self.surroundings.catalog.expire()

    def fail(self, error: BaseException) -> None:
        """End the session with this error."""
        if not self.failure.done():
            self.failure.set_exception(error)


def ours(ends_with: bytes, heard: Callable[[bytes], None] | None = None) -> Entry:
    """The entry for a request of the gateway's own."""
    return Entry(Asked.OURS, ends_with=ends_with, heard=heard)
