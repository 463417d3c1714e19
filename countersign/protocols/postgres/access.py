"""Under which access mode a command runs on a target with ``read_only: enforce``, and what must be asked of the target for it. Pure.

A command that is admitted as a read runs under READ ONLY, so that the server refuses what the reading missed (manual, "SET
TRANSACTION"). Outside of a transaction block that is the session's default (``locked``). Inside of one it is a savepoint of the
gateway's own with SET TRANSACTION READ ONLY behind it (``guarded``): no query can leave READ ONLY within a subtransaction, and the
block's own mode is back when the savepoint is released.
"""

from dataclasses import dataclass
from enum import Enum, auto

import postgast

from countersign.model import Command, Statement
from countersign.protocols.postgres.inspector import inner
from countersign.protocols.postgres.remembering import remembered

DEFAULT_SETTING = "default_transaction_read_only"
LOOSENING = frozenset({DEFAULT_SETTING, "transaction_read_only"})
EVERY_SETTING = "all"
"""RESET ALL and DISCARD ALL, which leave the transaction that they run in as it is and may change the default of the next."""
MODES = LOOSENING | {
    EVERY_SETTING,
    "transaction_isolation",
    "transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_deferrable",
}
BLOCKS = {"BEGIN": True, "START": True, "COMMIT": False, "ROLLBACK": False}
"""Commands that begin and end a block."""
CONTROL = frozenset({*BLOCKS, "SAVEPOINT", "RELEASE", "ROLLBACK TO", "SET CONSTRAINTS"})
"""What a savepoint of the gateway's own must not stand around. SET CONSTRAINTS runs the triggers of earlier writes."""
QUIET = frozenset({"SET", "RESET", "LISTEN", "UNLISTEN", "DEALLOCATE", "DISCARD", "CLOSE", "SHOW"})
"""What runs no code of users', so that its access mode protects nothing."""
SETTING_CALLS = frozenset({"set_config", "current_setting", "pg_catalog.set_config", "pg_catalog.current_setting"})

SETS_AND_READS = (
    "this target runs reads under READ ONLY, so a command that changes the access mode must not read too: send them one by one"
)
CONTROLS_AND_READS = "this target runs reads under READ ONLY, so send transaction control and reads one by one"
MIXED_PIPELINE = (
    "this target runs reads under READ ONLY, so a pipeline that goes on writing behind a read needs a BEGIN, or a Sync between"
)


class Need(Enum):
    """The access mode that a command needs."""

    NOTHING = auto()
    READ_ONLY = auto()
    WISH = auto()
    """What the client asked for: a command that was admitted as more than a read, transaction control, and a look at the mode itself."""


def need_of(command: Command) -> Need:
    """Which access mode a command runs under."""
    if not command.is_plain_read:
        return Need.WISH
    kinds = {statement.kind for statement in command.statements}
    if kinds <= QUIET | CONTROL:
        wishes = kinds & CONTROL or any(MODES.intersection(statement.settings) for statement in command.statements)
        return Need.WISH if wishes or ("SHOW" in kinds and _shows_mode(command.text)) else Need.NOTHING
    if len(command.statements) == 1 and _calls_settings_only(command.statements[0]) and is_bare_setting(command.text):
        return Need.WISH
    return Need.READ_ONLY


def problem_of(command: Command, status: bytes, *, is_reported: bool) -> str:
    """Why a read cannot be run under READ ONLY, in this transaction status; '' where it can. ``is_reported``: the server tells when the
    session's default changes, as it does from version 14 on."""
    if need_of(command) is not Need.READ_ONLY:
        return ""
    kinds = [statement.kind for statement in command.statements]
    settings = {name for statement in command.statements for name in statement.settings}
    if settings & LOOSENING or (EVERY_SETTING in settings and (not is_reported or CONTROL.intersection(kinds))):
        return SETS_AND_READS
    if CONTROL.intersection(kinds) and (status != b"I" or _ends_in_block(kinds)):
        return CONTROLS_AND_READS
    return ""


def _ends_in_block(kinds: list[str]) -> bool:
    in_block = False
    for kind in kinds:
        in_block = BLOCKS.get(kind, in_block)
    return in_block


def _shows_mode(text: str) -> bool:
    lowered = text.lower()
    return "read_only" in lowered or "all" in lowered


def _calls_settings_only(statement: Statement) -> bool:
    return bool(statement.functions) and not statement.reads and SETTING_CALLS.issuperset(statement.functions)


@remembered(256)
def is_bare_setting(sql: str) -> bool:
    """True for a SELECT of nothing but calls of set_config and current_setting that name an access mode, with plain constants and
    parameters: nothing in it can run code of users'."""
    try:
        (raw,) = postgast.parse(sql).stmts
    except Exception:  # not one statement that can be read
        return False
    kind, tree = inner(raw.stmt)
    if kind != "select_stmt" or not {field.name for field, _ in tree.ListFields()} <= {"target_list", "limit_option", "op"}:
        return False
    calls = [inner(inner(target)[1].val) for target in tree.target_list]
    arguments = [argument for kind, call in calls if kind == "func_call" for argument in map(inner, call.args)]
    plain = all(kind == "func_call" and {f.name for f, _ in call.ListFields()} <= {"funcname", "args", "funcformat", "location"}
                for kind, call in calls)  # fmt: skip
    constant = all(kind in ("a_const", "param_ref") for kind, _ in arguments)
    names = {value.sval.sval.lower() for kind, value in arguments if kind == "a_const" and value.WhichOneof("val") == "sval"}
    return plain and constant and bool(names & MODES)


class Implicit(Enum):
    """What the implicit transaction of a segment holds."""

    NOTHING = auto()
    READS = auto()
    """It is READ ONLY."""
    WRITES = auto()
    TIGHTENED = auto()
    """It wrote, and is READ ONLY since."""


class Step(Enum):
    """What must be asked of the target first."""

    GO = auto()
    LOCK = auto()
    UNLOCK = auto()
    TIGHTEN = auto()
    GUARD = auto()
    UNGUARD = auto()
    REFUSE = auto()


@dataclass(slots=True)
class AccessMode:
    """What is known of the access mode of the target's session. ``wish`` is the client's default while the session is locked.
    ``is_unclear``: transaction control is on its way within a segment, and how it went is not known."""

    is_enforced: bool
    is_locked: bool = False
    is_guarded: bool = False
    wish: str = "off"
    status: bytes = b"I"
    implicit: Implicit = Implicit.NOTHING
    is_unclear: bool = False

    def ready(self, status: bytes) -> None:
        """The server is ready for the next segment. A savepoint of the gateway's own is newer than any of the client's, so it is gone
        where the client came back from a failure."""
        if status == b"I" or (status == b"T" and self.status == b"E"):
            self.is_guarded = False
        self.status = status
        self.implicit = Implicit.NOTHING
        self.is_unclear = False

    def step(self, need: Need) -> Step:
        """What must be asked before a command with this need."""
        if not self.is_enforced or need is Need.NOTHING or self.status == b"E":
            return Step.GO
        if self.status == b"T":
            if self.is_guarded == (need is Need.READ_ONLY):
                return Step.GO
            return Step.UNGUARD if self.is_guarded else Step.GUARD
        if self.implicit is Implicit.NOTHING:
            if self.is_locked == (need is Need.READ_ONLY):
                return Step.GO
            return Step.UNLOCK if self.is_locked else Step.LOCK
        return _WITHIN[self.implicit, need]

    def goes(self, need: Need) -> None:
        """A command with this need is on its way."""
        if self.implicit is Implicit.NOTHING:
            reads = need is Need.READ_ONLY or (need is Need.NOTHING and self.is_locked)
            self.implicit = Implicit.READS if reads else Implicit.WRITES

    def goes_at_once(self, need: Need) -> bool:
        """True where nothing need be asked first."""
        return not self.is_enforced or (not self.is_unclear and self.step(need) is Step.GO)

    def hides(self, setting: str, value: str, *, is_ours: bool) -> bool:
        """True for a ParameterStatus that the client must not see: the gateway changed the setting, or the client believes it to be so
        already. If something else changed it, the lock is gone."""
        if not self.is_enforced or setting != DEFAULT_SETTING:
            return False
        was_locked = self.is_locked
        if not is_ours:
            self.is_locked = False
        return is_ours or (was_locked and value == self.wish)


_WITHIN = {
    (Implicit.READS, Need.READ_ONLY): Step.GO,
    (Implicit.READS, Need.WISH): Step.UNLOCK,
    (Implicit.WRITES, Need.READ_ONLY): Step.TIGHTEN,
    (Implicit.WRITES, Need.WISH): Step.GO,
    (Implicit.TIGHTENED, Need.READ_ONLY): Step.GO,
    (Implicit.TIGHTENED, Need.WISH): Step.REFUSE,
}
"""Steps within an implicit transaction that has run something. One that only read can be ended and another begun."""
