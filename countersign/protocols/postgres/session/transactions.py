"""The target's transaction around what a client asks: given back while a command is held, begun again behind the decision, and READ ONLY
where the target's settings want reads to run so.

A transaction that the client has only just begun, and an analysis of a statement that has not run yet, hold locks and keep VACUUM
back for as long as a human thinks, and run into the target's timeouts. Neither has done anything that could not be done again.
"""

from countersign import _core
from countersign.model import Command, Effect
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.access import (
    BLOCKS,
    CONTROL,
    DEFAULT_SETTING,
    MIXED_PIPELINE,
    Implicit,
    Need,
    Step,
    need_of,
    problem_of,
)
from countersign.protocols.postgres.codec import Running
from countersign.protocols.postgres.naming import Verb
from countersign.protocols.postgres.session.conversation import Conversation, ours

OPENS = ("BEGIN", "START")
LOOK = f"SELECT pg_catalog.current_setting('{DEFAULT_SETTING}')"
LOCK = f"SET {DEFAULT_SETTING} = on"
TIGHTEN = "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)"
READ_ONLY = "SET TRANSACTION READ ONLY"


class Transactions:
    """What the gateway itself asks of the target for the sake of one session's transactions."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._name = f"countersign_{conversation.session.id}".encode()
        self._given_back: list[str] = []
        self._wishing_cursors: set[str] = set()

    def spent(self, running: Running) -> None:
        """A command is about to leave: know whether the transaction can still be begun again unseen, and what its cursors will run."""
        talk = self._talk
        if talk.opening is not None and self._can_be_repeated(running.command, is_first=not talk.opening):
            talk.opening.append(running)
        else:
            talk.opening = None
        for use in running.statements:
            if use.verb is Verb.DECLARE:
                is_read = running.command.is_plain_read
                (self._wishing_cursors.discard if is_read else self._wishing_cursors.add)(use.name)

    def _can_be_repeated(self, command: Command, *, is_first: bool) -> bool:
        """A BEGIN, and behind it what runs no query and answers the same again. A setting that the server reports when it changes
        would be reported once more."""
        if len(command.statements) != 1 or command.effects != {Effect.SESSION}:
            return False
        (statement,) = command.statements
        if is_first:
            return statement.kind in OPENS and self._talk.status == b"I"
        reported = {name.lower() for name in self._talk.target.parameters}
        return statement.kind == "SAVEPOINT" or (statement.kind == "SET" and reported.isdisjoint(statement.settings))

    # -- while a command is held
    async def give_back(self) -> None:
        """Leave the target idle while a command is held, if nothing is lost by it: prepared statements outlive their transaction."""
        talk = self._talk
        await talk.settle()
        opening = talk.opening
        if opening is None or talk.skipping or talk.status == b"E":
            return
        if not opening:
            if talk.status == b"I" and not talk.segment_closed:  # only Parse and its like: a Sync ends their transaction
                await talk.ask_ours(messages.SYNC, ours(b"Z"))
            return
        texts = [running.sql for running in opening]
        if all(running.finished for running in opening) and not await self._ask("ROLLBACK"):
            self._given_back = texts

    async def take_up(self) -> str:
        """Be again where the client believes to be. Return why that failed, or ''."""
        texts, self._given_back = self._given_back, []
        if not texts:
            return ""
        problem = await self._ask(*texts)
        self._talk.opening = None
        return f"the transaction could not be begun again: {problem}" if problem else ""

    # -- READ ONLY
    def problem(self, command: Command) -> str:
        """Why this target does not take a command in this form, or ''."""
        if not self._talk.access.is_enforced:
            return ""
        return problem_of(command, self._talk.status, is_reported=DEFAULT_SETTING in self._talk.target.parameters)

    async def ready_for(self, command: Command, *, is_bound: bool) -> str:
        """See that the command will run under the access mode that it needs. Return why it cannot, or ''. Where the segment has failed
        meanwhile nothing is done: the server will ignore the command. ``is_bound``: this is for its Bind, and it does not run yet."""
        talk, access = self._talk, self._talk.access
        if not access.is_enforced:
            return ""
        need = self._need(command)
        if not access.goes_at_once(need):
            await talk.settle()
            if talk.skipping:
                return ""
            if access.is_unclear:  # behind transaction control nothing is open that a Sync could end
                await talk.ask_ours(messages.SYNC, ours(b"Z"))
            if problem := await self._do(access.step(need), command):
                return problem
        access.goes(need)
        access.is_unclear |= not is_bound and any(statement.kind in CONTROL for statement in command.statements)
        return ""

    async def _do(self, step: Step, command: Command) -> str:
        access = self._talk.access
        match step:
            case Step.LOCK:
                return await self._lock()
            case Step.UNLOCK:
                if any(not portal.running.finished for portal in self._talk.portals.held().values()):
                    return MIXED_PIPELINE
                problem = await self._ask(f"SET {DEFAULT_SETTING} = {access.wish}")
                access.is_locked = bool(problem)
                return problem
            case Step.TIGHTEN:
                problem = await self._ask(TIGHTEN, ends_segment=False)
                access.implicit = Implicit.WRITES if problem else Implicit.TIGHTENED
                return problem
            case Step.GUARD:
                return await self._guard()
            case Step.UNGUARD:
                access.is_guarded = False
                return "" if _ends_block(command) else await self._ask(f"RELEASE SAVEPOINT {self._savepoint}")
            case Step.REFUSE:
                return MIXED_PIPELINE
            case Step.GO:
                return ""

    async def _lock(self) -> str:
        access = self._talk.access
        rows: list[bytes] = []
        problem = await self._ask(LOOK, LOCK, rows=rows)
        if not problem and rows:
            access.wish = "on" if rows[0] == b"on" else "off"
            access.is_locked = True
            return ""
        return problem or "the target does not tell its access mode"

    async def _guard(self) -> str:
        # The transaction's first query decides what the server believes of it, so it must not come under READ ONLY.
        first = [LOOK] if self._talk.opening is not None else []
        problem = await self._ask(*first, f"SAVEPOINT {self._savepoint}", READ_ONLY)
        self._talk.access.is_guarded = not problem
        return problem

    @property
    def _savepoint(self) -> str:
        return f'"{self._name.decode()}"'

    def _need(self, command: Command) -> Need:
        """FETCH runs the statement behind its cursor, which may have been admitted as more than a read."""
        if len(command.statements) == 1 and command.statements[0].kind in ("FETCH", "MOVE"):
            name = command.statements[0].named
            portal = self._talk.portals.get(name.encode())
            if name in self._wishing_cursors:
                return Need.WISH
            return need_of(portal.running.command) if portal is not None else Need.READ_ONLY
        return need_of(command)

    # -- within
    async def _ask(self, *texts: str, ends_segment: bool = True, rows: list[bytes] | None = None) -> str:
        """Run statements of the gateway's own, and return the server's error or ''. They touch no name of the client's. ``rows`` takes
        the first value of each row."""
        data, entries, heard = b"", [], list[bytes]()
        for text in texts:
            data += (
                messages.parse(self._name, text.encode())
                + messages.bind_texts(self._name, self._name, [])
                + messages.execute(self._name)
                + messages.message(b"C", b"P" + self._name + b"\0")
                + messages.close_statement(self._name)
            )
            entries += [ours(kind, heard.append) for kind in (b"1", b"2", b"C", b"3", b"3")]
        if ends_segment:
            data += messages.SYNC
            entries.append(ours(b"Z", heard.append))
        await self._talk.ask_ours(data, *entries)
        for answer in heard:
            if answer[:1] == b"E":
                return dict(_core.decode_fields(answer)).get("M", b"").decode("utf-8", "replace") or "the target refuses"
            if answer[:1] == b"D" and rows is not None:
                rows += [values[0] or b"" for values in _core.decode_rows(answer, 1)]
        return "the pipeline failed" if self._talk.skipping else ""


def _ends_block(command: Command) -> bool:
    """True for a COMMIT or ROLLBACK, which ends every savepoint; AND CHAIN would take over the access mode of the last."""
    kinds = [statement.kind for statement in command.statements]
    return len(kinds) == 1 and BLOCKS.get(kinds[0]) is False and "chain" not in command.text.lower()
