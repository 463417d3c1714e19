"""From a message to a verdict: a command is read by the target's catalog, put through the gate, and its permit spent where its bytes leave."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from countersign.gate import Outcome, digest_of
from countersign.model import Command, Denial, Effect, Permit
from countersign.model.blast import Surveyor
from countersign.policy import Policy
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.bounds import bound_problem
from countersign.protocols.postgres.codec import Running
from countersign.protocols.postgres.copying import CopyOut, copies_out
from countersign.protocols.postgres.inspector import analysis_problem, has_checked_types, inspect_sql
from countersign.protocols.postgres.naming import uses
from countersign.protocols.postgres.reading import NOT_TEXTS, meets_lock, query_command, speaks_late, touches_schema, with_masked
from countersign.protocols.postgres.schema import Schema
from countersign.protocols.postgres.session.catalog import READ_AT_MOST_EVERY_S, CatalogUnavailable
from countersign.protocols.postgres.session.conversation import Conversation, SessionHold
from countersign.protocols.postgres.session.memory import LONG_BYTES
from countersign.protocols.postgres.session.namespace import LONGEST_READABLE, Namespace
from countersign.protocols.postgres.session.own_changes import OWN_CHECKS
from countersign.protocols.postgres.session.recorded import record_command, record_verdict
from countersign.protocols.postgres.session.surveying import Vantage
from countersign.protocols.postgres.session.transactions import Transactions
from countersign.protocols.postgres.speech import NEW_CODE, NOTHING, ONLY_NAMES
from countersign.protocols.wire import WireClosed

LOOKS_AT_A_LOCK = 3
"""How often a command is read again, while another session has locked what it is about, before it is judged as not understood."""


@dataclass(slots=True)
class Reading:
    """How a command is read by a catalog, and how it was when it was judged."""

    by: Callable[[Schema], Command] | None = None
    found: Command | None = None


class Judge:
    """Judges the commands of one session."""

    def __init__(self, conversation: Conversation, names: Namespace, transactions: Transactions) -> None:
        self._talk = conversation
        self._names = names
        self._transactions = transactions
        self._judged_by: Policy | None = None
        """The policy in force when the last command began to be judged."""
        self._read_again: Command | None = None
        """The last command that was judged, as it read when it was let through."""

    async def read(self, reading: Reading) -> tuple[Command, int]:
        """A command as the target's catalog lets it be read, and the generation of that catalog.

        What is not understood is read once more by the catalog of this moment: it may be about what others have just made. A lock that
        readers wait for is waited for here, for a while: behind it the same name may mean something else.
        """
        talk, command_by = self._talk, reading.by
        assert command_by is not None
        if any(entry.running is not None and entry.running.schema_change for entry in talk.replies.queue):
            await talk.settle()
        catalog = talk.surroundings.catalog
        command = command_by(await self._schema(catalog.schema()))
        if Effect.UNKNOWN in command.effects and not talk.schema_changed:
            command = command_by((await self._schema(catalog.schema_now())).of_now())
        for _ in range(LOOKS_AT_A_LOCK):
            if not meets_lock(command) or talk.schema_changed:
                break
            await asyncio.sleep(READ_AT_MOST_EVERY_S)
            command = command_by((await self._schema(catalog.schema_now())).of_now())
        reading.found = command
        return command, catalog.generation

    async def _changed(self, reading: Reading, command: Command) -> Command | None:
        """A command that was held, where it reads otherwise by the catalog of this moment. What is not a text, or was read by what only this
        session sees, is not read again."""
        talk, before = self._talk, reading.found
        if reading.by is None or before is None or talk.schema_changed:
            return None
        now = reading.by((await self._schema(talk.surroundings.catalog.schema_anew())).of_now())
        if (now.effects, now.statements) == (before.effects, before.statements):
            return None
        reading.found = now
        return replace(command, effects=command.effects | now.effects, statements=now.statements)

    async def with_masked(self, command: Command, sql: bytes) -> Command:
        """The command with what it does with masked columns, where any are masked."""
        talk = self._talk
        if not talk.surroundings.masking.has_columns:
            return command
        try:
            world = (await talk.masked(set())).world
        except CatalogUnavailable:
            return with_masked(command, sql, self._names.known, None)
        return with_masked(command, sql, self._names.known, world)

    async def _schema(self, asked: Awaitable[Schema]) -> Schema:
        try:
            schema = await asked
        except CatalogUnavailable as error:
            return Schema.unread(str(error))
        if self._talk.schema_changed:
            schema = schema.unsettled()
        schema = schema.seen_by(self._talk.target.pid)
        return schema.off_path() if self._talk.path_moved else schema

    async def judge(self, command: Command, message: str, sent: bytes, reading: Reading | None = None) -> Permit | Denial:
        """``message`` brought the command, and ``sent`` is its statement, or the message where it has none."""
        talk, gate = self._talk, self._talk.surroundings.gate
        await self._recordable()
        await record_command(talk.recorder, command, message, sent)
        if problem := self._unmaskable(command) or self._transactions.problem(command):
            return await gate.refuse(talk.session, command, problem, partial(record_verdict, talk.recorder))
        if not command.is_plain_read:
            await talk.settle()
        self._judged_by = gate.policy
        talk.hold = hold = SessionHold(
            talk,
            command,
            self._transactions.give_back,
            self._surveyor(command),
            self._read_query,
            partial(self._changed, reading or Reading()),
            self._surveyor,
        )
        try:
            answer = await gate.admit(talk.session, command, hold)
        finally:
            talk.hold = None
        self._read_again = command = hold.command
        if isinstance(answer, Permit) and (hold.cancelled.done() or self._is_late(answer)):
            answer = await self._taken_back(answer, hold)
        if isinstance(answer, Denial) and not answer.review_id:
            about = {"command_id": answer.command_id, "review_id": ""}
            talk.recorder.add("decided", **about, state="denied", reason=answer.message)
        return await self._made_ready(command, answer, is_bound=message == "Bind")

    async def _recordable(self) -> None:
        """Wait until what happens can be recorded. Raises ``RecordingFailed``, and ``WireClosed`` where the client left meanwhile."""
        talk = self._talk
        if talk.recorder.is_ready:
            return
        await talk.recorder.ready(talk.tell)
        if talk.client.gone.done():
            raise WireClosed("the client left")

    def _surveyor(self, command: Command) -> Surveyor | None:
        survey = self._talk.surroundings.survey
        return None if survey is None else survey(command, Vantage(self._talk.circumstances, self._as_of_now))

    async def _as_of_now(self, command: Command) -> Command:
        """A held command read once more, by the catalog of this moment: others may have put something behind its names since."""
        catalog = self._talk.surroundings.catalog
        catalog.expire()
        reading = inspect_sql(command.text, (await self._schema(catalog.schema_now())).of_now())
        return replace(command, effects=command.effects | reading.effects, statements=reading.statements)

    async def _read_query(self, text: str) -> Command:
        """A text as a Query of this session, by the catalog of this moment."""
        sql = text.encode()
        schema = (await self._schema(self._talk.surroundings.catalog.schema_now())).of_now()
        command = query_command(messages.query(sql), sql, self._names.grammar_agrees(), self._names.known, schema)
        return await self.with_masked(command, sql)

    async def _made_ready(self, command: Command, answer: Permit | Denial, *, is_bound: bool) -> Permit | Denial:
        """Bring the target to where the answer is given, or deny. Raises ``WireClosed`` where the client left meanwhile (I4)."""
        talk = self._talk
        problem = await self._transactions.take_up()
        if not isinstance(answer, Permit):
            return answer
        problem = problem or await self._transactions.ready_for(command, is_bound=is_bound)
        if answer.review_id and not talk.recorder.is_ready:  # it was held meanwhile
            problem = problem or "its recording cannot be stored"
        if self._is_late(answer):
            problem = "the client left"
        if not problem:
            return answer
        await talk.close(answer, Outcome(False, f"not run: {problem}", 0.0))
        if self._is_late(answer):
            raise WireClosed(problem)
        return Denial(answer.command_id, f"not run: {problem}", review_id=answer.review_id)

    async def _taken_back(self, permit: Permit, hold: SessionHold) -> Denial:
        """A permitted command that is not to run after all: its client has cancelled it meanwhile. Raises ``WireClosed`` where one of
        the two sides has left."""
        talk = self._talk
        why = hold.cancelled.result() if hold.cancelled.done() else "the client left"
        await talk.close(permit, Outcome(False, f"not run: {why}", 0.0))
        if talk.client.gone.done() or talk.target.wire.gone.done():
            raise WireClosed(why)
        return Denial(permit.command_id, why, review_id=permit.review_id, cancelled=True)

    def _is_late(self, permit: Permit) -> bool:
        """True where a command was held whose client has left meanwhile (I4)."""
        return bool(permit.review_id) and self._talk.client.gone.done()

    def _unmaskable(self, command: Command) -> str:
        if not self._talk.surroundings.masking.rules:
            return ""
        problems = [f"this COPY to the client cannot be masked: {copy.problem}" for copy in self.copies(command) if copy.problem]
        return next(iter(problems), "")

    def copies(self, command: Command) -> tuple[CopyOut, ...]:
        """The COPYs to the client among a command's statements."""
        readable = all(statement.kind not in NOT_TEXTS for statement in command.statements)
        return copies_out(command.text) if readable and any(s.kind.startswith("COPY") for s in command.statements) else ()

    def spend(self, permit: Permit, command: Command) -> Running:
        """The permit is used up here, where the bytes leave (I2)."""
        again, self._read_again = self._read_again, None
        command = again or command
        digest = digest_of(self._talk.session, command)
        permit.spend(session_id=self._talk.session.id, digest=digest, keeps_bound=not bound_problem(command))
        readable = all(statement.kind not in NOT_TEXTS for statement in command.statements)
        sql = command.text if readable else ""
        kept = command.outline() if len(command.raw) > LONG_BYTES else command
        running = Running(permit, kept, time.monotonic(), sql, uses(sql) if sql else (), schema_change=touches_schema(command))
        running.judged_by = self._judged_by
        running.is_first_change = not self._talk.schema_changed
        running.unmasked = command.asks_unmasked and bool(permit.review_id)
        if self._talk.surroundings.masking.has_columns and speaks_late(command):
            self._talk.late.update(set(self._names.topics_in(running)) - {NOTHING, ONLY_NAMES, NEW_CODE})
        self._transactions.spent(running)
        if any(statement.settings for statement in command.statements):
            self._talk.names_said.append("\n".join([kept.text, *(parameter.shown for parameter in command.parameters)]))
        return running

    async def analysis_problem(self, sql: bytes) -> str:
        """Why the server's analysis of a text may run code of users', or ''."""
        talk = self._talk
        if any(entry.running is not None and entry.running.schema_change for entry in talk.replies.queue):
            await talk.settle()
        if talk.skipping or talk.status == b"E":
            return ""  # the server analyses nothing but what ends the transaction
        schema = await self._schema(talk.surroundings.catalog.schema())
        if schema.is_read and talk.schema_changed and not has_checked_types(schema) and not await self._has_made_checks():
            return ""
        if len(sql) > LONGEST_READABLE:
            return analysis_problem("", schema, is_certain=False)
        try:
            text, agrees = sql.decode("utf-8"), self._names.grammar_agrees()
        except UnicodeDecodeError:
            text, agrees = sql.decode("utf-8", "replace"), False
        return analysis_problem(text, schema, is_certain=agrees)

    async def _has_made_checks(self) -> bool:
        """Whether this transaction has made or changed the checks of domains, which no other's catalog shows."""
        talk = self._talk
        if talk.has_made_checks is None:
            await talk.settle()
            if talk.skipping or talk.status == b"E":
                return True
            (made,) = await self._names.ask((OWN_CHECKS, []))
            talk.has_made_checks = bool(made) or talk.skipping
        return talk.has_made_checks
