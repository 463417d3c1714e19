"""How a held command reads in a message, and whether it may be approved from there (I10). Pure."""

from dataclasses import dataclass
from typing import Any

from countersign.model import Review
from countersign.reviews.preview import shown, spoofing


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


def wording(review: Review, limit: int) -> Wording:
    """The command in ``limit`` characters at most, its parameters among them."""
    raw = str(review.command.get("text", ""))
    raw_parameters = _parameters(review)
    warnings = spoofing("\n".join([raw, *raw_parameters]))
    text, parameters = visible(raw), [visible(f"${number} = {one}") for number, one in enumerate(raw_parameters, 1)]
    whole = len(text) + sum(len(one) + 1 for one in parameters)
    problems = [f"the command {warning}" for warning in warnings]
    if whole > limit or review.command.get("cut"):
        problems.append("not all of the command is shown here")
    if whole <= limit:
        return Wording(text, tuple(parameters), tuple(warnings), tuple(problems))
    left = cut("\n".join(parameters), limit // 4) if parameters else ""
    return Wording(cut(text, limit - len(left)), (left,) if left else (), tuple(warnings), tuple(problems))


def _parameters(review: Review) -> list[str]:
    found: Any = review.command.get("parameters", [])
    return [str(one["shown"]) for one in found]
