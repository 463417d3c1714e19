"""Checks recordings against the digests of their chunks that the audit log holds. No key is needed: what is stored is what counts."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from countersign.model import AuditRecord
from countersign.recording.chunks import ChunkDamaged
from countersign.recording.places import Place, PlaceProblem

CHUNK, REMOVED = "recording.chunk", "recording.removed"
KINDS = (CHUNK, REMOVED)


@dataclass(frozen=True, slots=True)
class RecordingsCheck:
    """``chunks`` of ``recordings`` are as they are on record; ``problems`` say what is not."""

    recordings: int
    chunks: int
    problems: tuple[str, ...]


def check_recordings(
    place: Place, records: Iterable[AuditRecord], progress: Callable[[int], None] = lambda recordings: None
) -> RecordingsCheck:
    """``records`` are those of ``KINDS``, of a log that verifies. Raises ``PlaceProblem`` where the place does not answer."""
    expected = _on_record(records)
    problems: list[str] = []
    chunks = 0
    for count, session_id in enumerate(sorted(expected.keys() | set(place.sessions())), 1):
        digests = expected.get(session_id)
        if digests is None:
            problems.append(f"recording {session_id}: nothing of it is on record")
            continue
        found = [f"recording {session_id}: {problem}" for problem in _compare(place, session_id, digests)]
        problems.extend(found)
        chunks += 0 if found else len(digests)
        progress(count)
    return RecordingsCheck(len(expected), chunks, tuple(problems))


def _on_record(records: Iterable[AuditRecord]) -> dict[str, dict[int, bytes]]:
    """The digests of the chunks of each recording that was not removed."""
    found: dict[str, dict[int, bytes]] = {}
    for record in records:
        session_id = str(record.body["session_id"])
        if record.kind == REMOVED:
            found.pop(session_id, None)
        else:
            found.setdefault(session_id, {})[int(str(record.body["number"]))] = bytes.fromhex(str(record.body["sha256"]))
    return found


def _compare(place: Place, session_id: str, digests: dict[int, bytes]) -> Iterator[str]:
    try:
        stored = {chunk.number: chunk for chunk in place.chunks(session_id)}
    except ChunkDamaged as error:
        yield f"{error}"
        return
    except PlaceProblem as error:
        yield f"it cannot be read: {error}"
        return
    for number, digest in sorted(digests.items()):
        if number not in stored:
            yield f"chunk {number} is missing"
        elif hashlib.sha256(place.read(session_id, stored[number])).digest() != digest:
            yield f"chunk {number} is not what was stored"
    for number in sorted(stored.keys() - digests.keys()):
        yield f"chunk {number} is not on record: it was added, or the gateway ended before it could say so"
