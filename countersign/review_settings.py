"""The settings that keep reviewers from being worn out."""

from dataclasses import dataclass

from countersign.yaml_lines import Section

MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """Made-up reviews, which nobody asked for and which must be denied: about one in so many, each with one of these texts."""

    one_in: int
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReviewLimits:
    """For each identity: commands held ``at_once``, reviews ``opened`` in ten minutes, and ``denials`` in ten minutes before it has to pause.
    0 is no limit."""

    at_once: int = 200
    opened: int = 300
    denials: int = 10
    canaries: CanarySettings | None = None


def take_reviews(section: Section) -> ReviewLimits:
    """What ``reviews`` says."""
    inner = section.section("reviews")
    if inner is None:
        return ReviewLimits()
    limits = ReviewLimits(
        _number(inner, "at_once", ReviewLimits().at_once),
        _number(inner, "opened_in_10m", ReviewLimits().opened),
        _number(inner, "denials_in_10m", ReviewLimits().denials),
        _canaries(inner),
    )
    inner.finish()
    return limits


def _canaries(section: Section) -> CanarySettings | None:
    inner = section.section("canaries")
    if inner is None:
        return None
    one_in: int = inner.take("one_in", int, 0, required=True)
    if one_in and not 2 <= one_in <= MOST:
        inner.complain("one_in", f"'one_in' is {one_in}", f"a number from 2 to {MOST:,}, such as 200")
    commands = tuple(inner.texts("commands"))
    inner.finish()
    return CanarySettings(one_in, commands) if one_in > 1 and commands else None


def _number(section: Section, key: str, default: int) -> int:
    number: int = section.take(key, int, default)
    if not 0 <= number <= MOST:
        section.complain(key, f"{key!r} is {number}", f"a number up to {MOST}; 0 is no limit")
        return default
    return number
