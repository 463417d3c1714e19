"""Object storage: an object for each parcel."""

import asyncio
import hashlib

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import S3Store

from countersign.audit.sinks.contract import Parcel, SinkError
from countersign.object_storage import ObjectStorage, storage_problem

DEADLINE_S = 30.0


class ObjectSink:
    """An object is made once and never written over. Where its name is taken by other bytes, the parcel gets a name that says its digest,
    so that whoever can put objects there cannot keep records out by guessing names."""

    knows_repeats = True

    def __init__(self, place: ObjectStorage) -> None:
        self.place = place.url
        self._settings = place
        self._store: S3Store | None = None

    async def take(self, parcel: Parcel) -> None:
        """See ``Sink``."""
        body = parcel.body
        try:
            async with asyncio.timeout(DEADLINE_S):
                if not await self._make(parcel.name, body):
                    stem, _, suffix = parcel.name.rpartition(".")
                    other = f"{stem}-{hashlib.sha256(body).hexdigest()}.{suffix}"
                    if not await self._make(other, body):
                        raise SinkError(f"{self.place}/{other} holds something else than its name says", stuck=True)
        except TimeoutError as error:
            raise SinkError(f"{self.place}: no answer within {DEADLINE_S:.0f} s") from error
        except SinkError:
            raise
        except Exception as error:  # the client raises Python's own errors beside those of its own
            self._store = None  # secrets may have been changed
            raise SinkError(f"{self.place}: {storage_problem(error)}") from error

    async def _make(self, name: str, body: bytes) -> bool:
        """False where there is an object of this name with other bytes."""
        if self._store is None:
            self._store = self._settings.open()
        try:
            await obstore.put_async(self._store, name, body, mode="create")
        except AlreadyExistsError:
            kept = await obstore.get_async(self._store, name)
            return bytes(await kept.bytes_async()) == body
        return True
