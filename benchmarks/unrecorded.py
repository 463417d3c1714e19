"""``countersign`` with recordings that are made and thrown away, for ``benchmarks/recording.py`` alone: no setting of the product does that."""

from countersign.cli.main import app
from countersign.recording import Recordings


def _throw_away(self: Recordings, *, at_once: bool) -> None:
    ended = [number for number, opened in list(self._open.items()) if opened.is_ending]
    self.spool.take()
    for number in ended:
        del self._open[number]


Recordings._gather = _throw_away  # type: ignore[method-assign]  # what this program is for

if __name__ == "__main__":
    app()
