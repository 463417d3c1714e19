"""The JSON that the API answers with."""

import base64
from dataclasses import asdict
from datetime import datetime
from typing import Any

from countersign.audit import Verification
from countersign.audit.delivery import Status
from countersign.identity import StoredKey
from countersign.model import AuditRecord, Identity, Review, ReviewState, Subjects
from countersign.model.blast import BlastRadius, Sample, Values
from countersign.model.clock import to_text
from countersign.model.grant import Grant
from countersign.notify import DeadLetter
from countersign.reviews.canaries import MARK
from countersign.reviews.grants import ranges_json
from countersign.reviews.machine import escalates_at, progress, standing_approvals
from countersign.reviews.preview import one_line, shown, spoofing

VALUE_LETTERS = 200
"""So much of each value in a sample is shown."""

CLIENT = ("client_address", "application", "database", "claims")


def identity_json(identity: Identity) -> dict[str, Any]:
    """Who is asking."""
    return {"name": identity.name, "kind": identity.kind.value, "groups": list(identity.groups)}


def review_json(review: Review, recent: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A review as reviewers see it: the command's text also in segments that are safe to show."""
    command = {name: value for name, value in review.command.items() if name not in CLIENT}
    text = str(command.get("text", ""))
    parameters = [str(parameter["shown"]) for parameter in command.get("parameters", [])]  # type: ignore[attr-defined]
    shape: Any = command.pop("shape", None)
    bound_problem = command.pop("bound_problem", "")
    command["text_shown"] = segments_json(text)
    command.setdefault("not_bound", [])
    is_canary = command.pop(MARK, False)
    return {
        "id": review.id,
        "state": review.state.value,
        "command_id": review.command_id,
        "session_id": review.session_id,
        "target": review.target,
        "identity": review.identity,
        "on_behalf_of": review.on_behalf_of,
        "digest": review.digest,
        "rule": review.rule,
        "outcome": review.outcome,
        "created_at": to_text(review.created_at),
        "expires_at": to_text(review.expires_at),
        "updated_at": to_text(review.updated_at),
        "released_at": to_text(review.released_at) if review.released_at else None,
        "terms": asdict(review.terms),
        "steps": steps_json(review),
        "decisions": [
            asdict(decision) | {"kind": decision.kind.value, "decided_at": to_text(decision.decided_at)}
            for decision in review.decisions
        ],
        "command": command,
        "shape": shape and {name: shape[name] for name in ("text", "literals")} | {"text_shown": segments_json(shape["text"])},
        "bound_problem": bound_problem,
        "spoofing": spoofing("\n".join([text, *parameters])),
        **{name: review.command.get(name, {} if name == "claims" else "") for name in CLIENT},
        "gateway": review.gateway,
        "canary": is_canary if review.state is not ReviewState.PENDING else False,
        "recent": recent or [],
    }


def segments_json(text: str) -> list[dict[str, str]]:
    """A text in segments that are safe to show (I10)."""
    return [{"text": part.text, "mark": part.mark} if part.mark else {"text": part.text} for part in shown(text)]


def steps_json(review: Review) -> list[dict[str, Any]]:
    """Each step of a review: whose it is, who has approved in it, and from when on others may as well."""
    at, standing = progress(review), standing_approvals(review)
    return [
        {
            "reviewers": people_json(step.reviewers),
            "approvals": step.approvals,
            "approved_by": [decision.reviewer for decision in standing if decision.step == number],
            "is_done": number < at.step,
            "escalates_at": to_text(escalates) if number == at.step and (escalates := escalates_at(step, at)) else None,
            "escalate_to": people_json(step.escalate_to),
        }
        for number, step in enumerate(review.terms.steps)
    ]


def people_json(people: Subjects) -> list[str]:
    """Groups and names, for people; none means any administrator or reviewer."""
    return [*(f"group {group}" for group in people.groups), *people.names]


def blast_json(found: BlastRadius) -> dict[str, Any]:
    """What a command would touch."""
    return {
        "is_exact": found.is_exact,
        "notes": list(found.notes),
        "statements": [asdict(statement) | {"sample": _sample_json(statement.sample)} for statement in found.statements],
    }


def _sample_json(sample: Sample | None) -> dict[str, Any] | None:
    """Values are made visible, and cut with a mark."""
    if sample is None:
        return None
    return {
        "columns": [one_line(column, VALUE_LETTERS) for column in sample.columns],
        "masked": list(sample.masked),
        "rows": [{"before": _values_json(row.before), "after": _values_json(row.after)} for row in sample.rows],
    }


def _values_json(values: Values | None) -> list[str | None] | None:
    return None if values is None else [None if value is None else one_line(value, VALUE_LETTERS) for value in values]


def grant_json(grant: Grant, now: datetime) -> dict[str, Any]:
    """A grant."""
    names = (
        "id",
        "review_id",
        "identity",
        "on_behalf_of",
        "target",
        "database",
        "rule",
        "granted_by",
        "reason",
        "uses",
        "used",
        "revoked_by",
    )
    return {
        **{name: getattr(grant, name) for name in names},
        "shape": grant.shape.text,
        "shape_shown": segments_json(grant.shape.text),
        "ranges": ranges_json(grant),
        "created_at": to_text(grant.created_at),
        "expires_at": to_text(grant.expires_at),
        "revoked_at": to_text(grant.revoked_at) if grant.revoked_at else None,
        "is_live": grant.is_live(now),
    }


def key_json(key: StoredKey) -> dict[str, Any]:
    """A key, without anything that would help to guess it."""
    return {
        "id": key.id,
        "identity": key.identity.name,
        "groups": list(key.identity.groups),
        "created_at": to_text(key.created_at),
        "expires_at": to_text(key.expires_at),
        "revoked_at": to_text(key.revoked_at) if key.revoked_at else None,
        "last_used_at": to_text(key.last_used_at) if key.last_used_at else None,
    }


def audit_json(record: AuditRecord) -> dict[str, Any]:
    """An audit record."""
    return asdict(record)


def recent_json(record: AuditRecord) -> dict[str, Any]:
    """What an identity did before, in one line."""
    command: Any = record.body.get("command", {})
    return {"text": command.get("text", ""), "verdict": record.body.get("verdict", ""), "at": record.time}


def verification_json(found: Verification) -> dict[str, Any]:
    """What a check of the log found."""
    return {**asdict(found), "ok": found.ok, "root": base64.b64encode(found.root).decode()}


def delivery_json(status: Status) -> dict[str, Any]:
    """How a witness or an export is doing."""
    kind, _, name = status.name.partition(":")
    return {**asdict(status), "kind": kind, "name": name}


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """A notice that was given up."""
    return {
        "channel": letter.channel,
        "record": letter.seq,
        "event": letter.event,
        "review_id": letter.review_id,
        "error": letter.error,
        "given_up_at": to_text(letter.given_up_at),
    }
