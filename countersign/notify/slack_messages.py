"""Reviews as messages and dialogs of Slack's Block Kit (docs.slack.dev/reference/block-kit). Pure.

Whatever an agent, a rule or a reviewer wrote stands in texts that Slack shows as they are: ``plain_text`` without emoji, or the
text of a preformatted element. Nothing of it is ever ``mrkdwn``, in which it could make links, mentions and headings of its own (I10).
"""

from typing import Any

from countersign.model import Decision, DecisionKind, Review, ReviewState
from countersign.model.blast import BlastRadius
from countersign.notify.contract import REMINDER
from countersign.notify.wording import Wording, cut, facts, reach_lines, title, visible, wording
from countersign.reviews.machine import progress, standing_approvals

COMMAND_LIMIT, LINES = 2_000, 40
"""What is longer is not approved from a message: Slack folds it, and who reads it may not see its end."""
FIELD_LIMIT, TEXT_LIMIT, HEADER_LIMIT, REASON_LIMIT = 300, 3_000, 150, 3_000
"""Characters; those of Slack are 2000 for a field, 3000 for a text, 150 for a header."""
REACHES = 5
DENIAL = "countersign_denial"
APPROVE, DENY, OPEN = "countersign_approve", "countersign_deny", "countersign_open"
REASON = "reason"
DONE = {
    DecisionKind.APPROVE: "approved",
    DecisionKind.DENY: "denied",
    DecisionKind.TAKE_BACK: "took the approval back",
    DecisionKind.FORCE: "broke the glass",
}


def may_approve(review: Review, *, shows_command: bool) -> tuple[str, ...]:
    """Why a message about this review has no Approve button; nothing where it has one."""
    if not shows_command:
        return ("the command is not shown here",)
    read = wording(review, COMMAND_LIMIT)
    lines = (*read.problems, "the command has many lines") if read.text.count("\n") >= LINES else read.problems
    return lines


def message(
    review: Review, url: str, reach: BlastRadius | None = None, *, shows_command: bool, takes_decisions: bool
) -> dict[str, Any]:
    """``text`` (for notifications) and ``blocks`` of the message about a review as it is now."""
    read = wording(review, COMMAND_LIMIT) if shows_command else None
    blocks = [_header(review), _facts(review), *(_command(read) if read else ())]
    blocks.extend(_reach(reach) if reach else ())
    refused = may_approve(review, shows_command=shows_command)
    if review.state is ReviewState.PENDING:
        if refused and takes_decisions:
            blocks.append(_context(f"Approve it in the console, not here: {'; '.join(refused)}."))
        blocks.append(_buttons(review, url, may_approve=takes_decisions and not refused, may_deny=takes_decisions))
    else:
        blocks.append(_buttons(review, url, may_approve=False, may_deny=False))
    blocks.extend(_context(line) for line in _history(review))
    return {"text": escaped(_title(review)), "blocks": blocks}


def reminder(review: Review) -> dict[str, Any]:
    """What is said in the message's thread when it has waited."""
    text = cut(title(review, REMINDER), TEXT_LIMIT)
    return {"text": escaped(text), "blocks": [_section(text)]}


def denial_dialog(review: Review, private: str, *, shows_command: bool) -> dict[str, Any]:
    """The dialog that asks for the reason of a denial."""
    shown = _command(wording(review, COMMAND_LIMIT)) if shows_command else ()
    return {
        "type": "modal",
        "callback_id": DENIAL,
        "private_metadata": private,
        "title": _plain("Deny a command"),
        "submit": _plain("Deny"),
        "close": _plain("Cancel"),
        "blocks": [
            _section(f"{review.id}: {review.identity} on {review.target}"),
            *shown,
            {
                "type": "input",
                "block_id": REASON,
                "label": _plain("Why? The agent reads it."),
                "element": {"type": "plain_text_input", "action_id": REASON, "multiline": True, "max_length": REASON_LIMIT},
            },
        ],
    }


def escaped(text: str) -> str:
    """A text for where Slack reads its own markup (docs.slack.dev/messaging/formatting-message-text, "Escaping text")."""
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _title(review: Review) -> str:
    return cut(title(review), HEADER_LIMIT)


def _plain(text: str, limit: int = TEXT_LIMIT) -> dict[str, Any]:
    return {"type": "plain_text", "text": cut(text, limit) or " ", "emoji": False}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _plain(text)}


def _header(review: Review) -> dict[str, Any]:
    return {"type": "header", "text": _plain(_title(review), HEADER_LIMIT)}


def _facts(review: Review) -> dict[str, Any]:
    return {"type": "section", "fields": [_plain(f"{name}\n{value}", FIELD_LIMIT) for name, value in facts(review)]}


def _command(read: Wording) -> list[dict[str, Any]]:
    found = [_preformatted(read.text)]
    if read.parameters:
        found.append(_preformatted("\n".join(read.parameters)))
    return found + [_context(f"Warning: the command {warning}") for warning in read.warnings]


def _reach(reach: BlastRadius) -> list[dict[str, Any]]:
    lines = reach_lines(reach)
    more = [f"… and {len(lines) - REACHES:,} more statements"] if len(lines) > REACHES else []
    return [_context(line) for line in (*lines[:REACHES], *more)]


def _preformatted(text: str) -> dict[str, Any]:
    element = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text or " "}]}
    return {"type": "rich_text", "elements": [element]}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_plain(text)]}


def _buttons(review: Review, url: str, *, may_approve: bool, may_deny: bool) -> dict[str, Any]:
    value = f"{review.id} {review.digest}"
    found: list[dict[str, Any]] = []
    if may_approve:
        found.append({"type": "button", "action_id": APPROVE, "text": _plain("Approve"), "style": "primary", "value": value})
    if may_deny:
        found.append({"type": "button", "action_id": DENY, "text": _plain("Deny…"), "style": "danger", "value": value})
    found.append({"type": "button", "action_id": OPEN, "text": _plain("Open in the console"), "url": url})
    return {"type": "actions", "elements": found}


def _history(review: Review) -> list[str]:
    """Who decided what, the last ten, and how far it is."""
    lines = [_decision(one) for one in review.decisions[-10:]]
    if review.state is ReviewState.PENDING and len(standing_approvals(review)) and review.terms.steps:
        at = progress(review)
        step = review.terms.steps[min(at.step, len(review.terms.steps) - 1)]
        lines.append(f"Step {at.step + 1} of {len(review.terms.steps)}: {len(at.approvers)} of {step.approvals} approvals")
    return lines


def _decision(decision: Decision) -> str:
    reason = f": {decision.reason}" if decision.reason else ""
    return visible(f"{decision.reviewer} {DONE[decision.kind]} ({decision.authentication}){reason}")
