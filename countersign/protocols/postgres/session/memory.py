"""What long messages of clients may take of the gateway's memory, all sessions together.

A statement or a Bind is judged whole, so it must be held whole, and PostgreSQL takes messages of up to 1 GiB. Short ones are bounded by
what a session reads ahead; of long ones the memory that they take is counted, as they come and while they are judged.
"""

import os

MESSAGE_LIMIT_BYTES = (1 << 30) - 1
"""The longest message with its type byte that PostgreSQL takes (``PQ_LARGE_MESSAGE_LIMIT`` in ``libpq.h``: MaxAllocSize less one)."""
LONG_BYTES = 1 << 20
"""Messages up to this length are not counted."""
MOST_BYTES = 8 << 30
SHARE_OF_MEMORY = 2
COPIES = 2
"""Of a message while it comes in and is forwarded: once in pieces and whole, then whole and in its fields. Of a statement that is kept."""
COPIES_READ = 3
COPIES_READ_WIDE = 8
"""More of a text while it is judged: decoded, and as policy sees it. Python keeps a text four bytes wide for the sake of one emoji."""


def room_of_this_machine() -> int:
    """Half of the memory, at most 8 GiB."""
    return min(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // SHARE_OF_MEMORY, MOST_BYTES)


class LongMessages:
    """The room that all sessions share."""

    def __init__(self, room_bytes: int) -> None:
        self._free_bytes = room_bytes

    def share(self) -> "Share":
        """A session's part, empty at first."""
        return Share(self)

    def take(self, count: int) -> bool:
        """Take so many bytes, or give them back where they are less than none. False, and nothing changes, where there are not as many."""
        if count > max(self._free_bytes, 0):
            return False
        self._free_bytes -= count
        return True


class Share:
    """What one session takes. Whoever has one empties it at the end."""

    def __init__(self, messages: LongMessages) -> None:
        self._messages = messages
        self._base = 0
        self._more = 0

    @property
    def is_empty(self) -> bool:
        """True where nothing is counted."""
        return self._base + self._more == 0

    def hold(self, count: int) -> bool:
        """Hold messages and statements of so many bytes in all from now on, and read none. False, and nothing changes, where there is no
        room for more."""
        base = count * COPIES
        if not self._messages.take(base - self._base - self._more):
            return False
        self._base, self._more = base, 0
        return True

    def read(self, text: bytes) -> bool:
        """Read a text, instead of another or for the first time, until the next ``hold``. False where there is no room for that."""
        more = len(text) * (COPIES_READ if text.isascii() else COPIES_READ_WIDE) if len(text) > LONG_BYTES else 0
        if not self._messages.take(more - self._more):
            return False
        self._more = more
        return True
