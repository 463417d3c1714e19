import pytest

from countersign.model import Command, Effect, Statement
from countersign.reviews.records import not_bound


def command(kind, *effects, **more):
    return Command("postgres", b"", "", frozenset(effects), (Statement(kind, frozenset(effects), **more),))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (command("UPDATE", Effect.WRITE), []),
        (command("SELECT", Effect.UNKNOWN, reasons=("cannot be read",)), []),
        (command("SELECT", Effect.UNKNOWN, functions=("f",), reasons=("calls f",)), ["what it sets going: calls f"]),
        (command("CALL", Effect.EXEC, reasons=("runs p",)), ["what it sets going: runs p"]),
        (command("UPDATE", Effect.EXEC, Effect.WRITE, triggers=("public.log",)), ["the trigger function public.log"]),
        (command("COPY", Effect.EXEC, copy="program", reasons=("x",)), ["what the program does"]),
        (command("COPY", Effect.WRITE, copy="file"), ["what is in the file"]),
        (command("COPY", Effect.WRITE, copy="stdin"), ["the rows that the client sends"]),
        (command("COPY", Effect.READ, copy="stdout"), []),
    ],
)
def test_what_an_approval_does_not_bind_is_named(asked, said):
    assert not_bound(asked) == said
