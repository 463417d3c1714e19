"""Reviews as lines for a terminal: everything escaped, nothing cut. Pure."""

from collections.abc import Sequence
from typing import Any

from countersign.reviews.preview import terminal_safe


def review_lines(review: dict[str, Any], reach: Sequence[str] = ()) -> list[str]:
    """All of a review, what its command would touch, and the command last, so that nothing behind it is taken for our words."""
    command = review["command"]
    whose = f" on behalf of {review['on_behalf_of']}" if review["on_behalf_of"] else ""
    head = [
        f"review    {review['id']}: {review['state']}{' - ' + review['outcome'] if review['outcome'] else ''}",
        f"asked by  {review['identity']}{whose}, from {review['client_address']} ({review['application'] or 'unnamed client'})",
        f"target    {review['target']}, database {review['database']}",
        *[f"claim     {name}: {value}" for name, value in review["claims"].items()],
        f"effects   {', '.join(command['effects'])}",
        *[f"reading   {s['summary']}{' (' + '; '.join(s['reasons']) + ')' if s['reasons'] else ''}" for s in command["statements"]],
        f"rule      {review['rule']}, expires {review['expires_at']}",
        *[_step_line(number, step) for number, step in enumerate(review["steps"], 1)],
        f"digest    {review['digest']}",
        *[f"WARNING   the command {warning}" for warning in review["spoofing"]],
        *(["WARNING   the command asks for the real values of what is masked"] if command.get("asks_unmasked") else []),
        *[f"not bound {part}" for part in command["not_bound"]],
        *[f"decision  {d['kind']} by {d['reviewer']} at {d['decided_at']} {d['reason']}" for d in review["decisions"]],
    ]
    lines = [terminal_safe(line).replace("\n", "\\n") for line in head]
    lines += [*reach, "command"]
    lines += [f"  {terminal_safe(line)}" for line in command["text"].split("\n")]
    lines += [
        f"  ${number} = {terminal_safe(one['shown'])}".replace("\n", "\\n") for number, one in enumerate(command["parameters"], 1)
    ]
    if review["shape"] and review["shape"]["literals"]:
        lines += ["shape, for a grant", f"  {terminal_safe(review['shape']['text'])}"]
    return lines


def _step_line(number: int, step: dict[str, Any]) -> str:
    whose = " or ".join(step["reviewers"]) or "any administrator or reviewer"
    by = f" by {', '.join(step['approved_by'])}" if step["approved_by"] else ""
    escalates = f"; from {step['escalates_at']} also {' or '.join(step['escalate_to'])}" if step["escalates_at"] else ""
    return f"step {number}    {whose}: {len(step['approved_by'])} of {step['approvals']} approvals{by}{escalates}"


def reach_lines(reach: dict[str, Any]) -> list[str]:
    """What a command would touch."""
    if "problem" in reach:
        return [terminal_safe(f"touches   not known: {reach['problem']}")]
    word = "exactly" if reach["is_exact"] else "about"
    lines: list[str] = []
    for statement in reach["statements"]:
        lines.append(f"touches   {word} {statement['rows']:,} rows ({statement['kind']})")
        lines += [f"          {one['how']} on {one['relation']}: {one['rows']:,} rows" for one in statement["touched"]]
        if statement["sample"] is not None:
            lines += _sample_lines(statement["sample"], statement["rows"])
    lines += [f"          note: {note}" for note in reach["notes"]]
    return [terminal_safe(line) for line in lines]


def _sample_lines(sample: dict[str, Any], rows: int) -> list[str]:
    """Each row's columns; of those that change, what stood there before."""
    lines = [f"          {len(sample['rows']):,} of these {rows:,} rows:"]
    for row in sample["rows"]:
        before, after = row["before"], row["after"]
        told = []
        for number, (column, masked) in enumerate(zip(sample["columns"], sample["masked"], strict=True)):
            was, becomes = (None if values is None else _shown_value(values[number]) for values in (before, after))
            value = f"{was} -> {becomes}" if was is not None and becomes is not None and was != becomes else was or becomes or ""
            told.append(f"{column} {value}{' (masked)' if masked else ''}")
        lines.append(f"          {'+' if before is None else '-' if after is None else '~'} {', '.join(told)}")
    return lines


def _shown_value(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"
