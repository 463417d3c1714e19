"""Hears from the other gateways on one PostgreSQL, and agrees with them on which one leads. All through a connection of its own.

Who leads holds an advisory lock of that connection: the server gives it to another as soon as the connection is gone.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import structlog

from countersign.store.leadership import Leadership
from countersign.store.postgresql import connect_options
from countersign.store.reviews import CHANNEL
from countersign.store_settings import PostgresPlace

log = structlog.get_logger(__name__)

LEADER = 0x436F756E74657274
POLL_S = 2.0
"""How often one looks again though nothing was heard, and asks whether nobody leads."""
RETRY_S = 1.0


class Listening:
    """Runs as a task. ``heard`` is given the id of each review that another gateway has moved, and '' where some may have been missed."""

    def __init__(self, place: PostgresPlace, gateway: str, leadership: Leadership, heard: Callable[[str], Awaitable[None]]) -> None:
        self._place = place
        self._gateway = gateway
        self._heard = heard
        self._leadership = leadership

    async def run(self) -> None:
        """Until it is cancelled; what fails is tried again."""
        said = ""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(**connect_options(self._place), autocommit=True) as connection:
                    said = ""
                    await connection.execute(f"LISTEN {CHANNEL}")
                    await self._listen(connection)
            except (psycopg.Error, OSError, KeyError) as error:
                if str(error) != said:
                    log.error("store_not_heard", cause=str(error))
                said = str(error)
            finally:
                self._leadership.lose()
            await self._tell("")
            await asyncio.sleep(RETRY_S)

    async def _listen(self, connection: "psycopg.AsyncConnection[Any]") -> None:
        while True:
            if not self._leadership.is_held:
                taken = await (await connection.execute(f"SELECT pg_catalog.pg_try_advisory_lock({LEADER})")).fetchone()
                if taken and taken[0]:
                    self._leadership.take()
            await self._tell("")
            with contextlib.suppress(TimeoutError):
                async for notice in connection.notifies(timeout=POLL_S):
                    gateway, _, review_id = notice.payload.partition(" ")
                    if gateway != self._gateway:
                        await self._tell(review_id)
            await connection.execute("SELECT 1")  # a connection that has gone is noticed

    async def _tell(self, review_id: str) -> None:
        try:
            await self._heard(review_id)
        except Exception as error:  # of a store that fails; it is asked again soon
            log.warning("review_not_looked_at", error=str(error))
