"""The target's transaction around what a client asks: given back while a command is held, and begun again behind the decision.

A transaction that the client has only just begun, and an analysis of a statement that has not run yet, hold locks and keep VACUUM
back for as long as a human thinks, and run into the target's timeouts. Neither has done anything that could not be done again.
"""

from countersign import _core
from countersign.model import Command, Effect
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.codec import Entry, Running
from countersign.protocols.postgres.session.conversation import Conversation, ours

OPENS = ("BEGIN", "START")


class Transactions:
    """What the gateway itself asks of the target for the sake of one session's transactions."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self._name = f"countersign_{conversation.session.id}".encode()
        self._given_back: list[str] = []

    def spent(self, running: Running) -> None:
        """A command is about to leave: know whether the transaction can still be begun again unseen."""
        talk = self._talk
        if talk.opening is not None and self._can_be_repeated(running.command, is_first=not talk.opening):
            talk.opening.append(running)
        else:
            talk.opening = None

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

    async def _ask(self, *texts: str) -> str:
        """Run statements of the gateway's own, and return the server's error or ''. They touch no name of the client's."""
        data, entries, heard = b"", [], list[bytes]()
        for text in texts:
            data += (
                messages.parse(self._name, text.encode())
                + messages.bind_texts(self._name, self._name, [])
                + messages.execute(self._name)
                + messages.message(b"C", b"P" + self._name + b"\0")
                + messages.close_statement(self._name)
            )
            entries += [_ours(kind, heard) for kind in (b"1", b"2", b"C", b"3", b"3")]
        await self._talk.ask_ours(data + messages.SYNC, *entries, _ours(b"Z", heard))
        failed = next((dict(_core.decode_fields(answer)) for answer in heard if answer[:1] == b"E"), None)
        return "" if failed is None else failed.get("M", b"").decode("utf-8", "replace") or "the target refuses"


def _ours(ends_with: bytes, heard: list[bytes]) -> Entry:
    return ours(ends_with, heard.append)
