"""Recordings: everything a session showed its client, after masking, one JSON line an event.

Lines hold ``t`` (seconds since the session began) and ``type``; docs/recordings.md has all of them. The recorder sees only what the
client sees, so unmasked originals cannot get here (I5).
"""

from countersign.recording.reader import RecordingNotFound, list_recordings, read_recording
from countersign.recording.recorder import Recorder, RecordingFailed

__all__ = ["Recorder", "RecordingFailed", "RecordingNotFound", "list_recordings", "read_recording"]
