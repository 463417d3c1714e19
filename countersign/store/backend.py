"""What the two kinds of a store have each of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine

from countersign.model import Trouble
from countersign.store_settings import PostgresPlace

StorePlace = Path | PostgresPlace
Execute = Callable[[str], Any]
LOCKED_MS, GIVEN_UP_MS = 50, 5000
"""How long another process may keep the store locked before no more is taken (I1), and before those who wait are told so."""


class Backend(Protocol):
    """A kind of store, at one place. Only one thread writes; how it keeps other gateways and command lines out is its own affair."""

    errors: tuple[type[Exception], ...]
    """What SQLAlchemy raises, and the driver where it is used without."""
    insert_batch: str
    read_head: str
    """The statements of the log's end, as the driver takes them."""
    is_shared: bool
    """Whether several gateways may run on it at once."""

    def open(self, *, create: bool) -> Engine:
        """Make the store where there is none, and check its layout. Raises ``OSError``, ``SQLAlchemyError`` or an error of the driver."""

    def begin_writing(self, execute: Execute, locked: Callable[[], None]) -> None:
        """Take the lock of the one who writes, within a transaction. ``locked`` is called where another has kept it for ``LOCKED_MS``."""

    def begin_reading(self, execute: Execute) -> None:
        """Have the transaction see one state of the store."""

    def trouble(self, error: BaseException) -> Trouble:
        """What an error means."""

    def log_rows(self, connection: Connection, first: int, last: int, since: str, until: str) -> Iterator[tuple[int, bytes]]:
        """First number and entries of the log's rows that hold records of a run and of a time, newest first."""


def driver_of(connection: Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.driver_connection
