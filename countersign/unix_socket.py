"""Names of Unix sockets."""

import os
from pathlib import Path


def reachable(path: Path) -> str:
    """A name for a socket that fits in the 108 bytes of sun_path (unix(7)), however deep the folder is."""
    if len(os.fsencode(path)) < 100:
        return str(path)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{folder}/{path.name}"
