"""What a session's names stand for: prepared statements, cursors and portals, and the relations that its transaction has made."""

from countersign import _core
from countersign.model import Effect
from countersign.protocols.postgres import messages
from countersign.protocols.postgres.codec import Asked, Entry, Prepared, Running
from countersign.protocols.postgres.inspector import TEXT_LIMIT
from countersign.protocols.postgres.naming import Use, Verb, uses
from countersign.protocols.postgres.reading import calls_large_object, makes_relations, may_move_path, may_prepare
from countersign.protocols.postgres.session.conversation import Conversation, ours
from countersign.protocols.postgres.session.own_changes import OWN_CHANGES, read_changes
from countersign.protocols.postgres.speech import NEW_CODE, NOTHING, Topic, topics

ROWS_ASKED = 1 << 20
"""More than one message of the gateway's own queries ever holds."""
LONGEST_READABLE = 4 * TEXT_LIMIT
"""Bytes of UTF-8; a longer text is unknown, whatever it says."""

PREPARED_TEXT = b"SELECT statement FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) $1"


class Namespace:
    """What names stand for in one session, as far as the gateway knows; it asks the server where that is not certain."""

    def __init__(self, conversation: Conversation) -> None:
        self._talk = conversation
        self.our_name = f"countersign_{conversation.session.id}".encode()
        """What the gateway's own statements and portals are called in this session."""

    def grammar_agrees(self) -> bool:
        """True while the server reads text as the grammar library does."""
        parameters = self._talk.target.parameters
        return parameters.get("client_encoding") == "UTF8" and parameters.get("standard_conforming_strings") == "on"

    def known(self, name: bytes) -> Prepared | None:
        """A prepared statement that is certain to be what it was."""
        prepared = self._talk.statements.get(name)
        return prepared if prepared is not None and prepared.age == self._talk.age else None

    def before_change(self, running: Running) -> None:
        """What a command may do to names is not trusted to have happened, nor not to have happened, until the server has said so."""
        if len(running.statements) == 1 and running.statements[0].verb is Verb.EXECUTE:
            running.executed = self.source_of(running.statements[0], "")
        talk = self._talk
        talk.path_moved |= may_move_path(running.command)
        if may_prepare(running.command):
            talk.age += 1
            talk.cursors.forget()
        for use in running.statements:
            if use.verb in (Verb.PREPARE, Verb.DEALLOCATE, Verb.DISCARD):
                for prepared in talk.statements.unsettle(use.name.encode()):
                    prepared.doubt()
            if use.verb is Verb.DISCARD:
                talk.cursors.forget()
            elif use.verb in (Verb.DECLARE, Verb.CLOSE):
                talk.cursors.forget(use.name)

    def rows_come_from(self, running: Running, prepared: Prepared) -> str:
        """The query whose rows a portal gives: its own, or that of the cursor or prepared statement that it names."""
        return self.source_of(running.statements[0] if len(running.statements) == 1 else None, prepared.query)

    def source_of(self, use: Use | None, sql: str) -> str:
        """The query whose rows a statement gives; '' where it is not known."""
        if use is None:
            return sql
        if use.verb is Verb.FETCH:
            portal = self._talk.portals.get(use.name.encode())
            return self._talk.cursors.get(use.name) or (portal.query if portal is not None else "")
        if use.verb is Verb.EXECUTE:
            known = self.known(use.name.encode())
            return known.query if known is not None and use.effects <= {Effect.READ, Effect.SESSION} else ""
        return sql

    def topics_of(self, entry: Entry) -> tuple[Topic | None, ...]:
        """What the target speaks of while it answers a request."""
        if entry.running is None:
            return ()
        found = self.topics_in(entry.running)
        at_hand = entry.asked is Asked.QUERY and entry.statement_index < len(found)
        return (found[entry.statement_index],) if at_hand else found

    def made(self, running: Running) -> None:
        """A command that changes the schema was carried out: what follows may run the code that it names."""
        if self._talk.surroundings.masking.has_columns and NEW_CODE in self.topics_in(running):
            self._talk.late.add(NEW_CODE)

    def names_of(self, entry: Entry) -> frozenset[str]:
        """The relations, and the cursor or prepared statement, that a request calls by name."""
        if entry.running is None:
            return frozenset({entry.name.decode("utf-8", "replace")})
        used = entry.running.statements[entry.statement_index :] if entry.asked is Asked.QUERY else entry.running.statements
        relations = {name for topic in topics(entry.running.sql) if topic is not None for name, _ in topic.touched}
        return frozenset(relations | {use.name for use in used[:1]})

    def topics_in(self, running: Running) -> tuple[Topic | None, ...]:
        """One a statement, or one that is not known."""
        if any(statement.kind == "FunctionCall" for statement in running.command.statements):
            return (NOTHING if calls_large_object(running.command) else None,)
        found = topics(running.sql)
        if len(running.statements) == len(found):
            found = tuple(self._topic(use, topic) for use, topic in zip(running.statements, found, strict=True))
        return found or (None,)

    def _topic(self, use: Use, topic: Topic | None) -> Topic | None:
        """FETCH and EXECUTE are about the statement that they name."""
        if use.verb not in (Verb.FETCH, Verb.EXECUTE):
            return topic
        if not use.effects <= {Effect.READ, Effect.SESSION}:
            return None
        behind = topics(self.source_of(use, ""))
        return behind[0] if len(behind) == 1 else None

    async def verify_executed(self, sql: bytes) -> None:
        """Before an EXECUTE is read, see that its statement is still the one that it was."""
        if len(sql) > LONGEST_READABLE or b"execute" not in sql.lower():
            return
        for use in uses(sql.decode("utf-8", "replace")):
            prepared = self._talk.statements.get(use.name.encode()) if use.verb is Verb.EXECUTE else None
            if prepared is not None:
                await self.verify(use.name.encode(), prepared)

    async def verify(self, name: bytes, prepared: Prepared) -> bool:
        """Ask the server whether a statement is what it was, if a command that may have prepared another has been run since."""
        talk = self._talk
        if prepared.age == talk.age:
            return True
        await talk.settle()
        if talk.status == b"E" or talk.skipping:
            return True  # the server runs nothing here but what ends the transaction
        asked_at = talk.age
        (texts,) = await self.ask((PREPARED_TEXT, [name]))
        if texts != [prepared.source] or talk.age != asked_at:
            return False
        prepared.age = asked_at
        return True

    async def ask(self, *queries: tuple[bytes, list[bytes]]) -> list[list[bytes]]:
        """The rows, of one column each, of queries of the gateway's own; as far as they came where the segment fails."""
        talk, name = self._talk, self.our_name
        heard: list[list[bytes]] = [[] for _ in queries]
        data, entries = b"", []
        for (sql, values), rows in zip(queries, heard, strict=True):
            data += messages.parse(name, sql) + messages.bind_texts(name, name, values) + messages.execute(name)
            data += messages.close_portal(name) + messages.close_statement(name)
            entries += [ours(b"1"), ours(b"2"), ours(b"C", rows.append), ours(b"3"), ours(b"3")]
        if talk.segment_closed:
            data += messages.SYNC
            entries.append(ours(b"Z"))
        await talk.ask_ours(data, *entries)
        return [
            [row[0] or b"" for batch in rows if batch[:1] == b"D" for row in _core.decode_rows(batch, ROWS_ASKED)] for rows in heard
        ]

    async def see_own_changes(self) -> None:
        """Relations that this transaction has made are in no other's catalog: ask for them where it is the one to see them."""
        talk = self._talk
        if not talk.surroundings.masking.has_columns:
            return
        if any(entry.running is not None and makes_relations(entry.running.command) for entry in talk.replies.queue):
            await talk.settle()
        if not talk.changes_unseen or talk.skipping or talk.status == b"E" or not self.grammar_agrees():
            return
        talk.changes_unseen = False
        answers = await self.ask(*((sql, []) for sql in OWN_CHANGES))
        if talk.schema_changed and not talk.skipping and talk.status != b"E":
            talk.changes, talk.own = read_changes(answers), None
