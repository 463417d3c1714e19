"""Recordings: everything a session showed its client, after masking, one JSON line an event, stored in chunks while it runs.

What the events hold is in docs/recordings.md. The recorder sees only what the client sees, so unmasked originals cannot get here (I5).
"""

from countersign.recording.chunks import ChunkDamaged, KeyMissing, RecordingKey, open_chunk
from countersign.recording.places import ChunkInfo, Folder, Objects, Place, PlaceProblem
from countersign.recording.reader import (
    Library,
    Recording,
    RecordingDamaged,
    RecordingInfo,
    RecordingLocked,
    RecordingNotFound,
    library_of,
)
from countersign.recording.recorder import Recorder, RecordingFailed, Recordings, recordings_of

__all__ = [
    "ChunkDamaged",
    "ChunkInfo",
    "Folder",
    "KeyMissing",
    "Library",
    "Objects",
    "Place",
    "PlaceProblem",
    "Recorder",
    "Recording",
    "RecordingDamaged",
    "RecordingFailed",
    "RecordingInfo",
    "RecordingKey",
    "RecordingLocked",
    "RecordingNotFound",
    "Recordings",
    "library_of",
    "open_chunk",
    "recordings_of",
]
