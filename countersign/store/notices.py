"""What channels must not forget, in the store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, select, update

from countersign.model import AuditEvent, Review, ReviewState
from countersign.model.clock import from_text, to_text
from countersign.notify.contract import DeadLetter
from countersign.store import schema
from countersign.store.database import Database, Transaction
from countersign.store.reviews import load_reviews

NOTICES, LETTERS = schema.notices, schema.dead_letters


class StoredNotices:
    """Implements ``notify.contract.NoticeStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bury(self, letter: DeadLetter, event: AuditEvent) -> None:
        """See ``NoticeStore``."""
        row = {name: getattr(letter, name) for name in LETTERS.columns.keys()} | {"given_up_at": to_text(letter.given_up_at)}
        same = and_(LETTERS.c.channel == letter.channel, LETTERS.c.seq == letter.seq)

        def job(transaction: Transaction) -> None:
            transaction.connection.execute(LETTERS.delete().where(same))
            transaction.connection.execute(LETTERS.insert().values(**row))
            transaction.append([event])

        await self._database.write(job)

    async def dead(self, channel: str = "") -> Sequence[DeadLetter]:
        """See ``NoticeStore``."""
        query = select(LETTERS).order_by(LETTERS.c.seq, LETTERS.c.channel)
        if channel:
            query = query.where(LETTERS.c.channel == channel)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [DeadLetter(**(dict(row) | {"given_up_at": from_text(row["given_up_at"])})) for row in rows]

    async def unbury(self, channel: str, seq: int) -> None:
        """See ``NoticeStore``."""
        query = LETTERS.delete().where(LETTERS.c.channel == channel, LETTERS.c.seq == seq)
        await self._database.write(lambda transaction: transaction.connection.execute(query))

    async def handle(self, channel: str, review_id: str) -> str:
        """See ``NoticeStore``."""
        query = select(NOTICES.c.handle).where(NOTICES.c.channel == channel, NOTICES.c.review_id == review_id)
        return await self._database.read(lambda connection: connection.execute(query).scalar()) or ""

    async def keep_handle(self, channel: str, review_id: str, handle: str) -> None:
        """See ``NoticeStore``."""
        await self._keep(channel, review_id, {"handle": handle})

    async def unreminded(self, channel: str, before: datetime, limit: int) -> Sequence[Review]:
        """See ``NoticeStore``."""
        reviews = schema.reviews
        told = select(NOTICES).where(NOTICES.c.channel == channel, NOTICES.c.review_id == reviews.c.id, NOTICES.c.reminded == 1)
        query = (
            select(reviews)
            .where(reviews.c.state == ReviewState.PENDING.value, reviews.c.created_at <= to_text(before))
            .where(~told.exists())
            .order_by(reviews.c.created_at)
            .limit(limit)
        )
        return await self._database.read(lambda connection: load_reviews(connection, query))

    async def keep_reminded(self, channel: str, review_id: str) -> None:
        """See ``NoticeStore``."""
        await self._keep(channel, review_id, {"reminded": 1})

    async def _keep(self, channel: str, review_id: str, values: dict[str, Any]) -> None:
        here = and_(NOTICES.c.channel == channel, NOTICES.c.review_id == review_id)

        def job(transaction: Transaction) -> None:
            connection = transaction.connection
            if not connection.execute(update(NOTICES).where(here).values(**values)).rowcount:
                row = {"channel": channel, "review_id": review_id, "handle": "", "reminded": 0} | values
                connection.execute(NOTICES.insert().values(**row))

        await self._database.write(job)
