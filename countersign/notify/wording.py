"""How a held command reads in a message, and whether it may be approved from there (I10). Pure."""

from dataclasses import dataclass
from typing import Any

from countersign.model import Review, ReviewState
from countersign.model.blast import BlastRadius
from countersign.notify.contract import REMINDER
from countersign.reviews.preview import shown, spoofing

UNBOUND = 5
"""So much of what no approval binds is named in a message."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A command as a message shows it. ``problems``: why what stands there is not enough to approve it by; none where it is."""

    text: str
    parameters: tuple[str, ...]
    warnings: tuple[str, ...]
    problems: tuple[str, ...]


def visible(text: str) -> str:
    """The text with everything that cannot be seen named in its place."""
    return "".join(f"⟨{part.mark}⟩" if part.mark else part.text for part in shown(text))


def cut(text: str, limit: int) -> str:
    """The beginning of a text, ``limit`` characters at most with the mark that says how much is missing."""
    if len(text) <= limit:
        return text
    mark = f"… (cut here: the whole has {len(text):,} characters)"
    return text[: max(limit - len(mark), 0)] + mark


def title(review: Review, event: str = "") -> str:
    """What a message is about, in one line."""
    if review.state is ReviewState.PENDING:
        word = "Still waiting for reviewers" if event == REMINDER else "Approval needed"
    else:
        word = review.state.value.capitalize()
    return f"{word}: {who(review)} on {visible(review.target)}"


def who(review: Review) -> str:
    """Who asked, and for whom."""
    return visible(f"{review.identity} for {review.on_behalf_of}" if review.on_behalf_of else review.identity)


def facts(review: Review) -> list[tuple[str, str]]:
    """What a message says of a review beside its command, in order."""
    effects: Any = review.command.get("effects", [])
    is_pending = review.state is ReviewState.PENDING
    outcome = f"{review.expires_at:%Y-%m-%d %H:%M:%S} UTC" if is_pending else review.outcome or review.state.value
    found = [
        ("Asked by", who(review)),
        ("Target", f"{review.target}, database {review.command.get('database', '')}"),
        ("Effects", ", ".join(effects)),
        ("Rule", review.rule),
        ("Expires" if is_pending else "Outcome", outcome),
        ("Review", review.id),
    ]
    return [(name, visible(value)) for name, value in found]


def reach_lines(reach: BlastRadius) -> list[str]:
    """What the command would touch, by the target's plan: names and numbers only (I5)."""
    word = "exactly" if reach.is_exact else "about"
    lines = []
    for statement in reach.statements:
        touched = ", ".join(f"{one.how} on {one.relation}: {one.rows:,}" for one in statement.touched)
        lines.append(visible(f"Touches {word} {statement.rows:,} rows ({statement.kind}){'; ' + touched if touched else ''}"))
    return lines


def wording(review: Review, limit: int) -> Wording:
    """The command in ``limit`` characters at most, its parameters among them."""
    raw = str(review.command.get("text", ""))
    raw_parameters = _parameters(review)
    misleads, unbound = spoofing("\n".join([raw, *raw_parameters])), _unbound(review)
    unmasked = ["asks for the real values of what is masked"] if review.command.get("asks_unmasked") else []
    warnings = [*misleads, *unmasked, *(visible(one) for one in unbound[:UNBOUND])]
    text, parameters = visible(raw), [visible(f"${number} = {one}") for number, one in enumerate(raw_parameters, 1)]
    whole = len(text) + sum(len(one) + 1 for one in parameters)
    problems = [f"the command {warning}" for warning in misleads]
    if len(unbound) > UNBOUND:
        problems.append("not all of what no approval binds is shown here")
    if whole > limit or review.command.get("cut"):
        problems.append("not all of the command is shown here")
    if whole <= limit:
        return Wording(text, tuple(parameters), tuple(warnings), tuple(problems))
    left = cut("\n".join(parameters), limit // 4) if parameters else ""
    return Wording(cut(text, limit - len(left)), (left,) if left else (), tuple(warnings), tuple(problems))


def _unbound(review: Review) -> list[str]:
    """What the command does that lies in no byte of it."""
    found: Any = review.command.get("not_bound", [])
    return [f"runs what no approval binds: {one}" for one in found]


def _parameters(review: Review) -> list[str]:
    found: Any = review.command.get("parameters", [])
    return [str(one["shown"]) for one in found]
