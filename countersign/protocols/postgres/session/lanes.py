"""The relay's thread, and the sessions that are with it (see ``rust/relay``)."""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from countersign._core import Engine, Epoch, Intake, Lane, Spool
from countersign.recording import Recorder

if TYPE_CHECKING:  # a name of the stub
    from countersign._core import Returned


class Lanes:
    """Sessions whose sockets the relay's thread reads and writes. All methods belong to the event loop."""

    def __init__(self, intake: Intake, spool: Spool) -> None:
        self.intake = intake
        """Where lanes put their audit records."""
        self._spool = spool
        self._engine: Engine | None = None
        self._bell = -1
        self._takers: dict[int, Callable[[Returned], None]] = {}
        self._count = 0

    def start(self) -> None:
        """Start the thread. Raises ``OSError``."""
        self._bell, rings = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._engine = Engine(self.intake, self._spool, rings)
        asyncio.get_running_loop().add_reader(self._bell, self._heard)

    def stop(self) -> None:
        """End the thread; no session may be with it any more."""
        if self._engine is not None:
            asyncio.get_running_loop().remove_reader(self._bell)
            self._engine.stop()
            self._engine = None
            os.close(self._bell)

    @property
    def is_running(self) -> bool:
        """True between ``start`` and ``stop``."""
        return self._engine is not None

    def enter(self, lane: Lane, fds: tuple[int, int], recorder: Recorder, epoch: Epoch, taker: "Callable[[Returned], None]") -> int:
        """Hand a session over; return its number. The descriptors (client, target) are the thread's from now on.

        ``taker`` is called once, when the session comes back.
        """
        assert self._engine is not None
        self._count += 1
        self._takers[self._count] = taker
        self._engine.enter(self._count, lane, *fds, recorder.number, epoch, recorder.age_us)
        return self._count

    def reclaim(self, number: int) -> None:
        """Have a session back before this returns."""
        if self._engine is None or number not in self._takers:
            return
        returned = self._engine.reclaim(number)
        if returned is None:  # it has been given back and waits to be heard
            self._heard()
        else:
            self._takers.pop(number)(returned)

    def _heard(self) -> None:
        if self._engine is None:
            return
        try:
            os.read(self._bell, 4096)
        except BlockingIOError:
            pass
        for number, returned in self._engine.returned():
            self._takers.pop(number)(returned)
