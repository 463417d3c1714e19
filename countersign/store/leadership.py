"""Which of the gateways on a store does what only one of them may."""

import asyncio
from collections.abc import Callable, Coroutine


class Leadership:
    """Whether this gateway leads now. It may be lost and come back."""

    def __init__(self, *, is_held: bool = False) -> None:
        """``is_held``: from the beginning, as on a store that is nobody else's."""
        self._held, self._lost = asyncio.Event(), asyncio.Event()
        (self._held if is_held else self._lost).set()

    @property
    def is_held(self) -> bool:
        """True while it leads."""
        return self._held.is_set()

    def take(self) -> None:
        """Lead from now on."""
        self._lost.clear()
        self._held.set()

    def lose(self) -> None:
        """Lead no more: what runs because of it ends."""
        self._held.clear()
        self._lost.set()

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do some work while this gateway leads, from its beginning each time that it does; return when it is done. Raises what it raises."""
        while True:
            await self._held.wait()
            working, lost = asyncio.create_task(work()), asyncio.create_task(self._lost.wait())
            try:
                await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    return working.result()
            finally:
                working.cancel()
                lost.cancel()
                await asyncio.gather(working, lost, return_exceptions=True)
