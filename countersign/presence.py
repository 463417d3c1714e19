"""Several gateways on one store: each is seen by the others, hears of what they decide, and ends what a dead one held."""

import asyncio
import time

import structlog

from countersign.reviews.service import ReviewService
from countersign.store import StoredGateways
from countersign.store.gateways import DEAD_AFTER

log = structlog.get_logger(__name__)

SEEN_EVERY_S = 2.0


class Presence:
    """Runs as a task, where the store is shared."""

    def __init__(self, gateways: StoredGateways, reviews: ReviewService) -> None:
        self._gateways = gateways
        self._reviews = reviews

    async def run(self) -> None:
        """For ever. Nobody is taken for dead before the store has been there for long enough for all to be seen again."""
        steady_since_s: float | None = None
        while True:
            try:
                await self._gateways.seen()
                steady_since_s = steady_since_s or time.monotonic()
                if time.monotonic() - steady_since_s > DEAD_AFTER.total_seconds():
                    await self._reviews.recover(await self._gateways.living())
            except Exception as error:  # whatever it is, the others must not take this gateway for dead because of it
                log.warning("presence_not_told", cause=str(error) or type(error).__name__)
                steady_since_s = None
            await asyncio.sleep(SEEN_EVERY_S)

    async def heard(self, review_id: str) -> None:
        """Of a review that another gateway has moved; of some that it may have, where there is no id."""
        if review_id:
            await self._reviews.moved_elsewhere(review_id)
        else:
            await self._reviews.look_again()
