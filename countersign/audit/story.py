"""The records about one thing, told in order. Pure.

What records hold may be hostile: a line is one line, and begins as no other can, but what else is hidden in it is for ``terminal_safe``.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def told(records: list[Mapping[str, Any]]) -> Iterator[str]:
    """Lines about records in the API's form, oldest first: when, what kind, and in words what happened."""
    for record in records:
        first, *others = (line.replace("\n", "\\n") for line in _words(record["kind"], record["body"]))
        yield f"{record['time'][:23].replace('T', ' ')}  {record['kind']:<24} {first}"
        for line in others:
            yield f"{'':<25}{line}"


def _words(kind: str, body: Mapping[str, Any]) -> list[str]:
    match kind:
        case "session.opened":
            where = f"{body['target']} ({body['database']})"
            return [f"{body['session_id']}: {body['identity']} on {where} from {body['client_address']}"]
        case "session.closed":
            return [f"{body['session_id']}: {body['reason']}"]
        case "command":
            return _command(body)
        case "command.finished":
            return _finished(body)
        case "review.decision":
            because = f": {body['reason']}" if body["reason"] else ""
            return [f"{body['review_id']}: {body['reviewer']} ({body['authentication']}) says {body['decision']}{because}"]
        case "review.opened":
            return [f"{body['review_id']}: held by rule {body['rule']!r} until {body['expires_at']}"]
        case "review.advanced":
            return [f"{body['review_id']}: step {body['step'] + 1} is next"]
        case "review.escalated":
            return [f"{body['review_id']}: others may approve step {body['step'] + 1} as well"]
        case "review.overdue":
            return [f"{body['review_id']}: nobody has decided in time; it is kept waiting"]
        case "review.forced":
            return [f"{body['review_id']}: THE GLASS WAS BROKEN, {body['outcome']}"]
        case "review.dry_run":
            return [f"{body['review_id']}: {body['by']} has it run and rolled back"]
        case "review.dry_run_done":
            counts = ", ".join("not counted" if rows is None else str(rows) for rows in body["rows"])
            return [f"{body['review_id']}: rolled back for {body['by']}; rows: {counts}"]
        case _ if kind.startswith("review.") and "state" in body:
            return [f"{body['review_id']}: {body['state']}" + (f", {body['outcome']}" if body["outcome"] else "")]
        case _:
            return [", ".join(f"{name} {value}" for name, value in body.items())]


def _command(body: Mapping[str, Any]) -> list[str]:
    who = body["identity"] + (f" for {body['on_behalf_of']}" if body["on_behalf_of"] else "")
    command = body["command"]
    lines = [f"{body['command_id']} of {who} on {body['target']}: {body['verdict']} by rule {body['rule']!r}"]
    lines += [f"> {line}" for line in command["text"].split("\n")]
    lines += [f"${number} = {parameter['shown']}" for number, parameter in enumerate(command["parameters"], 1)]
    return [*lines, f"in {body['session_id']}, digest {body['digest']}"]


def _finished(body: Mapping[str, Any]) -> list[str]:
    how = "done" if body["ok"] else "failed"
    code = f" ({body['error_code']})" if body["error_code"] else ""
    lines = [f"{body['command_id']}: {how}: {body['summary']}{code}, {body['duration_us'] / 1000:.1f} ms"]
    if body["answer_sha256"] is not None:
        lines.append(f"answered {body['rows'] or 0} rows, {body['bytes']} bytes, SHA-256 {body['answer_sha256']}")
    if copied := body.get("copied_in"):
        lines.append(f"read {copied['messages']} messages of copy data, {copied['bytes']} bytes, SHA-256 {copied['sha256']}")
    if body["masked"]:
        lines.append("masked " + ", ".join(f"{one['count']} by {one['rule']!r}" for one in body["masked"]))
    return lines
