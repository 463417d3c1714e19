"""Failed authentications on record, so that nobody can fill the log with them."""

from collections.abc import Callable
from dataclasses import dataclass

from countersign.audit import AuditLog
from countersign.model import AuditEvent

EACH = 20
"""How many failures from one address have a record of their own, in each ``WINDOW_S``."""
WINDOW_S = 60.0
ADDRESSES = 10_000
"""How many addresses are counted apart; what comes from more is counted together."""
OTHERS = "others"
NAME_LIMIT = 128
"""Characters of a name that a stranger gave."""


@dataclass(slots=True)
class _Window:
    began_s: float
    recorded: int = 0
    more: int = 0


class Failures:
    """Writes ``authentication.failed`` for the first failures of an address in a minute, and counts the others into one
    ``authentication.failures`` when the minute is over. ``clock_s`` is monotonic."""

    def __init__(self, audit: AuditLog, clock_s: Callable[[], float]) -> None:
        self._audit = audit
        self._clock_s = clock_s
        self._windows: dict[str, _Window] = {}

    async def record(self, host: str, body: dict[str, object]) -> None:
        """Put a failure on record. Raises ``AuditUnavailable``."""
        if host not in self._windows and len(self._windows) >= ADDRESSES:
            host = OTHERS
        window = self._windows.setdefault(host, _Window(self._clock_s()))
        if window.recorded >= EACH:
            window.more += 1
            return
        window.recorded += 1
        await self._audit.append(AuditEvent("authentication.failed", body))

    async def flush(self, *, everything: bool = False) -> None:
        """Write what was counted in the minutes that are over. Raises ``AuditUnavailable``, and then keeps the counts."""
        over_s = self._clock_s() - WINDOW_S
        for host in [host for host, window in self._windows.items() if everything or window.began_s <= over_s]:
            window = self._windows.pop(host)
            if not window.more:
                continue
            try:
                await self._audit.append(AuditEvent("authentication.failures", {"client_address": host, "count": window.more}))
            except BaseException:
                later = self._windows.setdefault(host, _Window(window.began_s, window.recorded))
                later.more += window.more
                raise


def claimed(name: str) -> str:
    """A name that somebody gave who did not prove it: printable, and cut with a mark where it is long."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name[: NAME_LIMIT + 1])
    return shown if len(shown) <= NAME_LIMIT else shown[:NAME_LIMIT] + "…"
