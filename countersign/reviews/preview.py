"""Text as a reviewer may see it: nothing hidden, nothing that reorders, nothing that pretends (I10). Pure."""

import re
import unicodedata
from dataclasses import dataclass

SPACES = 200
NEWLINES = 20
LONG = 20_000
CLAIMS = re.compile(r"(?:--|/\*)[^\n]*\b(?:approved|pre-approved|safe|ok(?:ay)?ed|reviewed|authori[sz]ed)\b", re.IGNORECASE)
RUNS = re.compile(rf"[ \t]{{{SPACES},}}|\n{{{NEWLINES},}}")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text; with ``mark``, one that stands for something invisible and names it."""

    text: str
    mark: str = ""


def shown(text: str) -> list[Segment]:
    """The text in segments that are safe to show one behind the other; nothing is left out without a mark."""
    segments: list[Segment] = []
    at = 0
    for run in RUNS.finditer(text):
        segments.extend(_marked(text[at : run.start()]))
        word = "line breaks" if run[0][0] == "\n" else "spaces"
        segments.append(Segment("", f"{len(run[0]):,} {word}"))
        at = run.end()
    segments.extend(_marked(text[at:]))
    return segments


def _marked(text: str) -> list[Segment]:
    segments: list[Segment] = []
    plain: list[str] = []
    for letter in text:
        if not is_hidden(letter):
            plain.append(letter)
            continue
        if plain:
            segments.append(Segment("".join(plain)))
            plain = []
        segments.append(Segment("", _name(letter)))
    if plain:
        segments.append(Segment("".join(plain)))
    return segments


def is_hidden(letter: str) -> bool:
    """True for control, format (bidi, zero-width), private and unassigned characters, and spaces that are not plain ones."""
    if letter in "\n\t ":
        return False
    category = unicodedata.category(letter)
    return category[0] in "C" or category in ("Zl", "Zp", "Zs") or letter in "\u115f\u1160\u3164\uffa0"


def _name(letter: str) -> str:
    return f"U+{ord(letter):04X} {unicodedata.name(letter, 'CONTROL')}"


def spoofing(text: str) -> list[str]:
    """Warnings for the reviewer."""
    warnings = []
    hidden = sorted({_name(letter) for letter in text if is_hidden(letter)})
    if hidden:
        warnings.append(f"holds invisible characters: {', '.join(hidden[:5])}{' and more' if len(hidden) > 5 else ''}")
    mixed = [word for word in re.findall(r"\w+", text) if _mixes_alphabets(word)]
    if mixed:
        warnings.append(f"mixes alphabets within a word, which may imitate another: {terminal_safe(', '.join(mixed[:5]))}")
    if CLAIMS.search(text):
        warnings.append("holds a comment that claims approval or safety; nobody but a reviewer can give it")
    if RUNS.search(text):
        warnings.append("holds a long run of spaces or line breaks, behind which something may hide")
    if len(text) > LONG:
        warnings.append(f"is {len(text):,} characters long: read it to its end")
    return warnings


def _mixes_alphabets(word: str) -> bool:
    alphabets = {unicodedata.name(letter, "?").split()[0] for letter in word if letter.isalpha()}
    return "LATIN" in alphabets and len(alphabets) > 1


def terminal_safe(text: str) -> str:
    """The text with everything hidden written as an escape; newlines and tabs stay."""
    return "".join(f"\\u{ord(letter):04x}" if is_hidden(letter) else letter for letter in text)


def one_line(text: str, width: int) -> str:
    """The text on one line, cut with a mark that says how much is missing."""
    line = " ".join(terminal_safe(text).split())
    return line if len(line) <= width else f"{line[: width - 1]}… ({len(line) - width + 1:,} more)"
