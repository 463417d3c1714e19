"""``countersign masking``."""

import contextlib
import json
import os
import secrets
import stat
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer
from rich.cells import cell_len
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

from countersign.cli.discover import discover
from countersign.cli.shared import DEFAULT_CONFIG, JsonOption, err, fail, settings
from countersign.masking import DETECTORS, MaskRule
from countersign.masking.trial import LineTooLong, Tried, lines, try_values
from countersign.reviews.preview import terminal_safe

if TYPE_CHECKING:
    from countersign.masking.free_text import FreeText

MaybeConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="COUNTERSIGN_CONFIG", help="The configuration file.  [default: countersign.yaml, if any]"
    ),
]
WIDEST = 72
"""Columns of a terminal that a masked value takes at most; JSON has it whole."""
LONG_INPUT_BYTES = 4 << 20

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """What is masked, and what should be."""


app.command("discover")(discover)


@app.command("test")
def test(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="One value a line; - reads from a pipe.")],
    config: MaybeConfigOption = None,
    target: Annotated[str, typer.Option(help="Only the rules of this target.")] = "",
    column: Annotated[
        str, typer.Option(help="Take the values for those of a column of this name, as some detectors need a word.")
    ] = "",
    presidio: Annotated[
        bool,
        typer.Option(
            "--presidio", help="Look for names and places too, which no rule does yet: needs the extra, and takes ms a value."
        ),
    ] = False,
    model: Annotated[
        str, typer.Option(help="The spaCy model for --presidio, by name or folder.  [default: en_core_web_lg, _md or _sm]")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Show what would be masked in values, and why. Without a configuration, by every detector there is."""
    from countersign.protocols.postgres.masking import prepare  # slow to import, and needed here only

    rules, told = _content_rules(config, target)
    # Not the deployment's own key: what is tried here and what is served cannot be matched.
    masker = prepare(rules, secrets.token_bytes(32)).masker
    assert masker is not None
    names = _names(model) if presidio or model else None
    typer.echo(told, err=True)
    counted: Counter[str] = Counter()
    tried = 0
    table = _Table()
    with _opened(file) as stream, _progress(stream) as moved:
        for batch in _batches(stream, file):
            found = list(try_values(batch, tried + 1, masker, rules, names, column))
            tried += len(batch)
            counted.update(name for one in found for name, _ in one.found)
            counted[""] += sum(1 for one in found if one.found)
            sys.stdout.write("".join(map(_as_json, found)) if as_json else table.rows(found))
            sys.stdout.flush()
            moved(sum(map(len, batch)) + len(batch))
    masked = counted.pop("", 0)
    by = f": {', '.join(f'{name} {count:,}' for name, count in counted.most_common())}" if masked else ""
    typer.echo(f"{masked:,} of {tried:,} values masked{by}", err=True)


def _content_rules(config: Path | None, target: str) -> tuple[list[MaskRule], str]:
    """The rules that look at content, and a line that says whose they are."""
    if config is None and not DEFAULT_CONFIG.exists():
        if target:
            raise typer.BadParameter("there is no countersign.yaml here that names targets", param_hint="--target")
        every = [MaskRule(name, (), (), (name,), '{"redact":{}}') for name in DETECTORS]
        return every, "no configuration: every detector, redacting"
    loaded = settings(config or DEFAULT_CONFIG)
    names = [known.target.name for known in loaded.targets]
    if target and target not in names:
        fail(f"there is no target {target!r}; known: {', '.join(names)}")
    rules = loaded.policy.masking_for(target) if target else loaded.policy.masks
    looking = [rule for rule in rules if rule.detect]
    whose = f"target {target!r}" if target else str(loaded.path.name)
    if not looking:
        fail(f"no mask rule of {whose} looks at content: give one 'detect'")
    return looking, f"by the content rules of {whose}: {', '.join(rule.name for rule in looking)}"


def _names(model: str) -> "FreeText":
    from countersign.masking.free_text import FreeText, FreeTextUnavailable

    try:
        return FreeText(model)
    except FreeTextUnavailable as error:
        fail(str(error))


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}")
    with stream:
        yield stream


def _batches(stream: BinaryIO, file: str) -> Iterator[list[bytes]]:
    batches = lines(stream)  # type: ignore[arg-type]  # both kinds of stream are buffered
    while True:
        try:
            batch = next(batches, None)
        except LineTooLong as error:
            fail(str(error))
        except OSError as error:
            fail(f"{file} cannot be read: {error.strerror}")
        if batch is None:
            return
        yield batch


@contextlib.contextmanager
def _progress(stream: BinaryIO) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal for input that takes a while, where the answers go elsewhere. Takes how many bytes are done."""
    size = _size_bytes(stream)
    if not sys.stderr.isatty() or sys.stdout.isatty() or (size is not None and size < LONG_INPUT_BYTES):
        yield lambda _: None
        return
    columns = (SpinnerColumn(), BarColumn(), DownloadColumn(), TextColumn("tried"))
    # Unless told not to, the bar takes what goes to stdout meanwhile for its own terminal.
    with Progress(*columns, console=err, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=size)
        yield lambda done_bytes: progress.advance(task, done_bytes)


def _size_bytes(stream: BinaryIO) -> int | None:
    """None for a pipe."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _as_json(tried: Tried) -> str:
    detectors, rules = ([pair[part] for pair in tried.found] for part in (0, 1))
    return json.dumps({"line": tried.line, "masked": tried.masked, "detectors": detectors, "rules": rules}) + "\n"


class _Table:
    """Aligned columns of what comes in batches: a column grows where a batch needs it, and never shrinks."""

    def __init__(self) -> None:
        self._widths = [4, 6]
        self._has_titles = False

    def rows(self, found: Sequence[Tried]) -> str:
        """The rows of one batch, below the titles if it is the first."""
        cells = [(str(one.line), _shown(one.masked), _why(one)) for one in found]
        for column in (0, 1):
            self._widths[column] = max([self._widths[column], *(cell_len(row[column]) for row in cells)])
        titles = [] if self._has_titles else [("line", "masked", "found by")]
        self._has_titles = True
        return "".join(map(self._row, [*titles, *cells]))

    def _row(self, cells: tuple[str, str, str]) -> str:
        line, masked, why = cells
        gap = " " * (self._widths[1] - cell_len(masked))
        return f"{line:>{self._widths[0]}}  {masked}{gap}  {why}".rstrip() + "\n"


def _shown(text: str) -> str:
    """On one line of a terminal, cut with a mark; nothing in it can move the cursor."""
    cut = text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"
    more = len(text) - WIDEST + 1
    return terminal_safe(cut).replace("\t", "\\t") + (f" ({more:,} more)" if more > 1 else "")


def _why(tried: Tried) -> str:
    return ", ".join(name if name == rule else f"{name} (rule {rule!r})" for name, rule in tried.found) or "-"
