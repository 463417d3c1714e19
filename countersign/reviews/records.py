"""What the audit log says of reviews, and the form in which commands are kept for people. Pure."""

from countersign.model import AuditEvent, Command, Decision, Effect, Identity, Review, Session
from countersign.model.blast import BlastRadius
from countersign.model.clock import to_text
from countersign.reviews import machine


def command_json(command: Command) -> dict[str, object]:
    """The stored form of a command: what a reviewer is shown, and no more. What is very long is cut with a mark."""
    return {
        "protocol": command.protocol,
        "text": command.shown_text,
        "effects": sorted(command.effects),
        "statements": [
            {
                "kind": statement.kind,
                "effects": sorted(statement.effects),
                "summary": statement.summary,
                "reads": list(statement.reads),
                "writes": list(statement.writes),
                "functions": list(statement.functions),
                "has_where": statement.has_where,
                "reasons": list(statement.reasons),
            }
            for statement in command.statements
        ],
        "parameters": parameters_json(command),
        "attributes": dict(command.attributes),
        "asks_unmasked": command.asks_unmasked,
        "not_bound": not_bound(command),
    } | ({"cut": True} if command.is_cut else {})


OUTSIDE = {"program": "what the program does", "file": "what is in the file", "stdin": "the rows that the client sends"}


def not_bound(command: Command) -> list[str]:
    """What of a command lies in no byte that an approval binds: code and data that are looked up when it runs."""
    found: list[str] = []
    for statement in command.statements:
        found += [f"the trigger function {name}" for name in statement.triggers]
        if statement.copy in OUTSIDE:
            found.append(OUTSIDE[statement.copy])
        elif Effect.EXEC in statement.effects or (Effect.UNKNOWN in statement.effects and statement.functions):
            found += [f"what it sets going: {reason}" for reason in statement.reasons]
    return list(dict.fromkeys(found))


def parameters_json(command: Command) -> list[dict[str, object]]:
    """The parameters in that form."""
    return [{"shown": parameter.shown, "is_null": parameter.raw is None} for parameter in command.parameters]


def client_json(session: Session) -> dict[str, object]:
    """Where a command came from, beside the command."""
    return {
        "client_address": session.client_address,
        "application": session.application,
        "database": session.database,
        "claims": dict(session.identity.claims),
    }


def events_between(before: Review, after: Review) -> list[AuditEvent]:
    """What the log says of a move, beside the decision that made it."""
    found = [moved(after, f"review.{mark.partition(':')[0]}") for mark in after.marks if mark not in before.marks]
    if after.state is not before.state:
        return [*found, moved(after, f"review.{after.state}")]
    if machine.progress(after).step != machine.progress(before).step:
        return [*found, moved(after, "review.advanced")]
    return found


def moved(review: Review, kind: str) -> AuditEvent:
    """The audit event of a review's move."""
    return AuditEvent(
        kind,
        {
            "review_id": review.id,
            "state": review.state.value,
            "command_id": review.command_id,
            "session_id": review.session_id,
            "identity": review.identity,
            "target": review.target,
            "digest": review.digest,
            "rule": review.rule,
            "outcome": review.outcome,
            "step": machine.progress(review).step,
            "expires_at": to_text(review.expires_at),
        },
    )


def joined_event(kind: str, review: Review, command_id: str, session_id: str, digest: str) -> AuditEvent:
    """The audit event of a command that waits with a review that was opened for the same one, or does so no more."""
    body: dict[str, object] = {
        "review_id": review.id,
        "command_id": command_id,
        "session_id": session_id,
        "digest": digest,
        "identity": review.identity,
        "target": review.target,
    }
    return AuditEvent(kind, body)


def dry_run_event(review: Review, reviewer: Identity, found: BlastRadius | None) -> AuditEvent:
    """The audit event of a dry run: before it begins, and with what it found."""
    body: dict[str, object] = {
        "review_id": review.id,
        "command_id": review.command_id,
        "session_id": review.session_id,
        "digest": review.digest,
        "identity": review.identity,
        "target": review.target,
        "by": reviewer.name,
        "authentication": reviewer.authentication,
    }
    if found is None:
        return AuditEvent("review.dry_run", body)
    return AuditEvent("review.dry_run_done", body | {"rows": [statement.rows for statement in found.statements]})


def decision_event(review: Review, decision: Decision) -> AuditEvent:
    """The audit event of one reviewer's decision."""
    return AuditEvent(
        "review.decision",
        {
            "review_id": review.id,
            "command_id": review.command_id,
            "session_id": review.session_id,
            "reviewer": decision.reviewer,
            "authentication": decision.authentication,
            "decision": decision.kind.value,
            "step": decision.step,
            "reason": decision.reason,
            "at_most_rows": decision.at_most_rows,
            "proposal": decision.proposal,
            "digest": decision.digest,
            "waited_ms": int((decision.decided_at - review.created_at).total_seconds() * 1000),
            "target": review.target,
            "identity": review.identity,
        },
    )
