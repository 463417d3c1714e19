"""``countersign audit``. What checks and proves reads files only, never the gateway's word."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from countersign.audit import AuditUnavailable, Checkpoint, LogReader, NoteError, VerifierKey, record_of, verify
from countersign.audit.checkpoints import check_consistency, check_inclusion, consistency_text, inclusion_text, notes_in
from countersign.audit.export import FORMS, Form, LineWriter
from countersign.audit.merkle import consistency_proof, inclusion_proof
from countersign.audit.search import Query
from countersign.audit.story import told
from countersign.cli.shared import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    call,
    err,
    fail,
    on_record,
    print_json,
    print_table,
    settings,
)
from countersign.client import Client
from countersign.recording import PlaceProblem
from countersign.recording.places import place_of
from countersign.recording.verify import KINDS, RecordingsCheck, check_recordings
from countersign.reviews.preview import terminal_safe

if TYPE_CHECKING:
    from countersign.store import StoreLog

# What reads the store takes half of the program's start to import; only the functions that use it do.

app = typer.Typer(no_args_is_help=True)
STORY_RECORDS = 5000
"""What the API answers at most at once."""

StoreOption = Annotated[Path | None, typer.Option("--store", help="The store's file; else the configuration's.")]
KeyOption = Annotated[
    str, typer.Option("--key", help="The log's public key, or a file of it; else from the configuration's key file.")
]
CheckpointOption = Annotated[Path | None, typer.Option("--checkpoint", help="Checkpoints that you kept.")]
PAGE = 1000
"""How many records a search asks for at once."""


@app.command("verify")
def verify_log(
    config: ConfigOption = DEFAULT_CONFIG,
    store: StoreOption = None,
    key: KeyOption = "",
    export: Annotated[Path | None, typer.Option(help="Check an export in JSON lines instead of the store.")] = None,
    checkpoint: CheckpointOption = None,
    proof: Annotated[Path | None, typer.Option(help="Check only this proof, of a record, or of growth since --checkpoint.")] = None,
    recordings: Annotated[bool, typer.Option("--recordings", help="Check the recordings of the configuration too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check that no record was altered, removed, reordered or inserted, and every checkpoint."""
    from countersign.api.shapes import verification_json
    from countersign.store import ExportFile

    with _in_one_sentence():
        trusted = _key(config, key, store)
        notes = notes_in(_text(checkpoint)) if checkpoint else []
        if proof is not None:
            _check_proof(_text(proof), [Checkpoint.open(note, trusted) for note in notes], trusted)
            return
        held = [Checkpoint.open(note, None) for note in notes]  # their signatures are checked where the log says whose they must be
        with _progress() as advance:
            log = ExportFile(export) if export else _log(config, store)
            found = verify(log, key=trusted, held=held, progress=advance)
        checked = _check_recordings(config, log) if recordings and found.ok else None
    if as_json:
        about = {} if checked is None else {"recordings": asdict(checked)}
        print_json(verification_json(found) | about)
        raise typer.Exit(0 if found.ok and not (checked and checked.problems) else 1)
    if not found.ok:
        fail(f"the log does not verify: {found.problem}")
    removed = f", {found.without_body} of them without their body" if found.without_body else ""
    typer.echo(f"sound: {found.records} records{removed}, root {verification_json(found)['root']}")
    if trusted is None:
        typer.echo("no signature was checked: give --key, the public key of the log")
    else:
        typer.echo(f"signed by {trusted.name}: {found.signed} of them; a checkpoint is made every minute and at shutdown")
        if found.key and found.key != str(trusted):
            typer.echo(f"its key was exchanged, and is now {found.key}")
    if checked is not None:
        for problem in checked.problems:
            typer.echo(terminal_safe(problem), err=True)
        if checked.problems:
            fail("the recordings do not verify")
        typer.echo(f"recordings: {checked.chunks} chunks of {checked.recordings} are as they were stored")


def _check_recordings(config: Path, log: LogReader) -> RecordingsCheck:
    """The recordings that the configuration leads to, against what a log says of them."""
    marks = [f'"kind":"{kind}"'.encode() for kind in KINDS]
    lines = (line for batch in log.batches() for line in batch.lines if any(mark in line for mark in marks))
    records = (record for record in map(record_of, lines) if record.kind in KINDS)
    return check_recordings(place_of(settings(config).recordings), records)


@app.command("prove")
def prove(
    record: Annotated[
        str,
        typer.Argument(
            metavar="SEQ|ID",
            help="The record's number, or an id: the oldest record about it. Without one, the proof of growth since --checkpoint.",
        ),
    ] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    store: StoreOption = None,
    kind: Annotated[str, typer.Option(help="Of the records about an id the oldest of this kind.")] = "",
    checkpoint: CheckpointOption = None,
) -> None:
    """Print a proof: that a record is in the log, or that the log only grew since a checkpoint that you kept.

    It is checked with ``audit verify --proof FILE`` and the log's public key, without the log.
    """
    if store is None:
        on_record(config, "prove", record)
    with _in_one_sentence():
        log = _log(config, store)
        newest = _newest(log)
        if record:
            seq = int(record) if record.isascii() and record.isdecimal() else _oldest_about(log, record, kind)
            if seq > newest.size:
                raise AuditUnavailable(
                    f"record {seq} is behind the last checkpoint, which covers {newest.size}; one is made every minute"
                )
            text = inclusion_text(log.entry(seq), seq - 1, inclusion_proof(seq - 1, newest.size, log.subtree), newest)
        elif checkpoint:
            old = Checkpoint.open(notes_in(_text(checkpoint))[-1], None).size
            text = consistency_text(old, consistency_proof(old, newest.size, log.subtree), newest)
        else:
            raise typer.BadParameter("a record's number or an id, or --checkpoint")
    sys.stdout.write(text)


def _oldest_about(log: "StoreLog", about: str, kind: str) -> int:
    found = log.search(Query(about=about, kind=kind), sys.maxsize)
    if not found:
        raise AuditUnavailable(f"there is no record{f' of {kind}' if kind else ''} about {about}; ids are given whole")
    return found[-1].seq


@app.command("show")
def show(
    record: Annotated[
        str, typer.Argument(metavar="SEQ|ID", help="The record's number, or an id of which all records are shown, oldest first.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show records whole: what is hashed, and the hash."""
    if record.isascii() and record.isdecimal():
        found = call(config, lambda client: client.get("audit", limit=1, before=int(record) + 1))["records"]
        found = [one for one in found if one["seq"] == int(record)]
        if not found:
            fail(f"there is no record {record}, or its body was removed")
    else:
        found = call(config, lambda client: _found(client, {"about": record}, STORY_RECORDS))[::-1]
        if not found:
            fail(f"there is no record about {record}; ids are given whole")
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.echo(terminal_safe(f"{one['seq']}  {one['time']}  {one['kind']}\nhash {one['hash']}"))
        typer.echo(json.dumps(one["body"], indent=2, ensure_ascii=True))


@app.command("checkpoint")
def newest_checkpoint(
    config: ConfigOption = DEFAULT_CONFIG,
    store: StoreOption = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, oldest first, as an export is checked with.")] = False,
    fresh: Annotated[bool, typer.Option("--now", help="Have the log signed first, as it is every minute.")] = False,
) -> None:
    """Print the newest checkpoint: keep it where the owner of the store cannot change it."""
    if fresh:
        call(config, lambda client: client.post("audit/checkpoint"))
    with _in_one_sentence():
        log = _log(config, store)
        sys.stdout.write("\n".join(log.notes()) if every else _newest(log).note)


key_app = typer.Typer(invoke_without_command=True)
app.add_typer(key_app, name="key")


@key_app.callback()
def public_key(context: typer.Context, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print the public key that checks the log's checkpoints; `rotate` exchanges it."""
    if context.invoked_subcommand is not None:
        return
    from countersign.store import load_log_key

    with _in_one_sentence():
        path = settings(config).audit.key_path
        if not path.exists():
            fail("there is no key yet: the gateway makes it at its first start")
        typer.echo(str(load_log_key(path).verifier))


@key_app.command("rotate")
def rotate(
    config: ConfigOption = DEFAULT_CONFIG,
    keep_old: Annotated[
        Path | None,
        typer.Option("--keep-old", metavar="FILE", help="Keep the old private key in this new file; else it is written over."),
    ] = None,
) -> None:
    """Exchange the key that signs the log, while the gateway is stopped. The old key signs a record of it, and from then on the new one."""
    from countersign.app import rotate_key

    with _in_one_sentence():
        new, hand_over = asyncio.run(rotate_key(settings(config), keep_old))
    err.print(f"exchanged: both keys signed the hand-over, the checkpoint over {hand_over.size} records; the new public key is")
    typer.echo(str(new.verifier))


@app.command("search")
def search(
    config: ConfigOption = DEFAULT_CONFIG,
    kind: Annotated[str, typer.Option(help="Only this kind, such as command or review.decision.")] = "",
    identity: Annotated[str, typer.Option(help="Who acted, for whom, or who decided.")] = "",
    target: Annotated[str, typer.Option(help="On this target.")] = "",
    rule: Annotated[str, typer.Option(help="By this rule.")] = "",
    effect: Annotated[str, typer.Option(help="Commands with this effect, such as write.")] = "",
    table: Annotated[str, typer.Option(help="Commands that read or write it, with its schema or without.")] = "",
    text: Annotated[str, typer.Option(help="Commands with this in their text, in any case of its letters.")] = "",
    about: Annotated[str, typer.Option(help="Of this command, session, review or key, by its whole id.")] = "",
    since: Annotated[str, typer.Option(help="From then on, UTC: the beginning of a time such as 2026-11-24T09.")] = "",
    until: Annotated[str, typer.Option(help="Until then, in the same way.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 100,
    every: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    as_json: JsonOption = False,
) -> None:
    """The newest records that are all of this, newest first."""
    asked = {
        "kind": kind,
        "identity": identity,
        "target": target,
        "rule": rule,
        "effect": effect,
        "table": table,
        "text": text,
        "about": about,
        "since": since,
        "until": until,
    }
    found = call(config, lambda client: _found(client, asked, sys.maxsize if every else limit))
    if as_json:
        print_json(found)
        return
    rows = [[record["seq"], record["time"], record["kind"], record["body"]] for record in found]
    print_table(["seq", "time", "kind", "body"], rows, "no records")


async def _found(client: Client, asked: dict[str, str], limit: int) -> list[dict[str, Any]]:
    """The newest hits, asked for page by page."""
    found: list[dict[str, Any]] = []
    while True:
        size = min(PAGE, limit - len(found))
        before = found[-1]["seq"] if found else 0
        page = (await client.get("audit", limit=size, before=before, **asked))["records"] if size > 0 and before != 1 else []
        found += page
        if len(page) < PAGE:
            return found


@app.command("story")
def story(
    about: Annotated[str, typer.Argument(metavar="ID", help="Of a command, review or session, or a command's digest, whole.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Everything on record about one command, review or session, in order."""
    found = call(config, lambda client: client.get("audit", limit=STORY_RECORDS, about=about))["records"]
    if not found:
        fail(f"there is nothing on record about {about}")
    if len(found) >= STORY_RECORDS:
        err.print(f"only the newest {STORY_RECORDS} records are told", markup=False)
    found.reverse()
    if as_json:
        print_json(found)
        return
    for line in told(found):
        typer.echo(terminal_safe(line))


@app.command("forget")
def forget(
    days: Annotated[float, typer.Option(help="Bodies of records older than so many days are removed.")],
    config: ConfigOption = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove the bodies of old records for good. Their hashes stay, so that the log verifies; a record says what was removed."""
    before = datetime.now(UTC) - timedelta(days=days)
    if not yes:
        typer.confirm(f"Remove what every record before {before:%Y-%m-%d %H:%M} UTC says?", abort=True)
    typer.echo(f"{call(config, lambda client: _forget(client, before))} records have their hash only")


async def _forget(client: Client, before: datetime) -> int:
    records, is_done = 0, False
    while not is_done:
        answer = await client.post("audit/forget", {"before": before.isoformat()})
        records, is_done = records + answer["records"], answer["is_done"]
    return records


class FormName(StrEnum):
    """A form of an export."""

    JSONL = "jsonl"
    CSV = "csv"
    OCSF = "ocsf"


@app.command("export")
def export(
    config: ConfigOption = DEFAULT_CONFIG,
    store: StoreOption = None,
    form: Annotated[
        FormName, typer.Option("--format", help="jsonl can be verified; csv; ocsf: events of OCSF 1.1, a line each.")
    ] = FormName.JSONL,
    after: Annotated[int, typer.Option(help="Only records behind this number.")] = 0,
) -> None:
    """Print the whole log in a form that others read, from the oldest record on."""
    write = sys.stdout.buffer.write
    if store is None:
        on_record(config, "export", f"{form}, after {after}")
    with _in_one_sentence():
        for line in _exported(_log(config, store), FORMS[form], after):
            write(line)
        sys.stdout.buffer.flush()


def _exported(log: "StoreLog", form: Form, after: int) -> Iterator[bytes]:
    writer = LineWriter(form)
    yield form.head
    for batch in log.batches(after=after):
        for line in writer.lines(batch, after):
            yield line.data + form.end


@app.command("exports")
def exports(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """The continuous exports and the witnesses: how far each has come, how far it is behind, and what went wrong last."""
    found = call(config, lambda client: client.get("audit/exports"))["exports"]
    if as_json:
        print_json(found)
        return
    columns = ["kind", "name", "place", "cursor", "lag_records", "lag_s", "state", "last_error"]
    titles = ["kind", "name", "to", "cursor", "behind (records)", "behind (s)", "state", "last error"]
    print_table(titles, [[one[name] for name in columns] for one in found], "no exports and no witnesses")


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    try:
        yield
    except (NoteError, AuditUnavailable, PlaceProblem, OSError, UnicodeDecodeError, ValueError) as error:
        fail(str(error))


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("records", total=None)
        yield lambda records: progress.update(task, completed=records, description=f"{records} records")


def _log(config: Path, store: Path | None) -> "StoreLog":
    from countersign.store import log_of

    place = store or settings(config).store.place
    if isinstance(place, Path) and not place.exists():
        raise AuditUnavailable(f"there is no store at {place}")
    return log_of(place)


def _key(config: Path, key: str, store: Path | None) -> VerifierKey | None:
    """What was given; for the configuration's own store, the public half of its key."""
    from countersign.store import load_log_key

    if key:
        return VerifierKey.parse(_text(Path(key)) if "+" not in key else key)
    if store is not None:
        return None
    path = settings(config).audit.key_path
    return load_log_key(path).verifier if path.exists() else None


def _newest(log: "StoreLog") -> Checkpoint:
    notes = list(log.notes())
    if not notes:
        raise AuditUnavailable("the log has no checkpoint yet; one is made every minute and at shutdown")
    return Checkpoint.open(notes[-1], None)


def _check_proof(text: str, held: list[Checkpoint], key: VerifierKey | None) -> None:
    if key is None:
        raise NoteError("a proof is checked with the log's public key: give --key")
    if held:
        grown = check_consistency(text, held[-1], key)
        typer.echo(f"proved: the log of {grown.size} records begins with the {held[-1].size} that you hold a checkpoint of")
        return
    entry, checkpoint = check_inclusion(text, key)
    record = record_of(entry)
    typer.echo(f"proved: record {record.seq} is in the log of {checkpoint.size} records")
    typer.echo(entry.decode())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
