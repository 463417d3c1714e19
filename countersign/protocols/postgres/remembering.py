"""Functions of a SQL text that remember what they answered, but for long texts: memory is bounded whatever a client asks. Pure."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

LONGEST_REMEMBERED = 16 << 10
"""Characters of a text."""

P = ParamSpec("P")
R = TypeVar("R")


def remembered(
    answers: int, longest: int = LONGEST_REMEMBERED
) -> Callable[[Callable[Concatenate[str, P], R]], Callable[Concatenate[str, P], R]]:
    """Keep so many answers for texts of at most ``longest`` characters. The function must be pure, its arguments hashable."""

    def decorate(function: Callable[Concatenate[str, P], R]) -> Callable[Concatenate[str, P], R]:
        kept = cast("Callable[Concatenate[str, P], R]", lru_cache(maxsize=answers)(function))

        @wraps(function)
        def answer(sql: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
            answering = function if len(sql) > longest else kept
            return answering(sql, *args, **kwargs)

        return answer

    return decorate
