"""Where checkpoints are published, so that the store's owner cannot write the log anew alone.

A witness takes every checkpoint in order, at least once: what it did not confirm it is given again, after a restart too.
"""

import asyncio
import os
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx

TIMEOUT_S = 5.0


class WitnessError(Exception):
    """The witness did not take a checkpoint; the text says why, without what stands in its address."""


class Witness(Protocol):
    """Somebody else who keeps checkpoints. ``name`` is what its cursor goes by."""

    name: str

    async def take(self, note: str) -> None:
        """Return once the note is kept. Raises ``WitnessError``."""


class FileWitness:
    """A file that grows, such as one on a disk that only takes appends. A note, and an empty line behind it."""

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._path = path

    async def take(self, note: str) -> None:
        """See ``Witness``."""
        await asyncio.to_thread(self._append, note)

    def _append(self, note: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(note + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WitnessError(f"{self._path}: {error.strerror}") from error


class WebhookWitness:
    """A URL that is sent each note as the body of a POST (``text/plain``), and says 2xx once it has it."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self.name = f"webhook:{parts.scheme}://{parts.hostname}:{parts.port or ''}"  # what follows may be a secret (I6)

    async def take(self, note: str) -> None:
        """See ``Witness``."""
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:
                answer = await http.post(self._url, content=note.encode(), headers={"content-type": "text/plain; charset=utf-8"})
        except httpx.HTTPError as error:
            raise WitnessError(f"{self.name}: {type(error).__name__}") from error
        if not answer.is_success:
            raise WitnessError(f"{self.name}: it answers {answer.status_code}")
