"""Names and places in free text, found by Presidio on a spaCy model: the optional extra ``presidio``.

A pattern can't know a name. A model can, for the price of milliseconds a value and with errors in both directions (BENCHMARKS.md has
the numbers), so nothing here is on the way of rows: it runs where somebody asks for it, on text that they give.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")
"""Tried in this order where none is named."""

KINDS = {"PERSON": "person", "LOCATION": "place", "NRP": "group"}
"""What is asked for, in Presidio's words and in ours; a group is a nationality, a religion or a political one."""


REDACTED = "[redacted]"

GRAMMAR = ("parser", "tagger", "attribute_ruler", "lemmatizer", "morphologizer", "senter")
"""Parts of a pipeline that finding names does not need; without them it takes half the time."""


class FreeTextUnavailable(Exception):
    """The extra or a model is missing; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A name or place in a text, in characters."""

    kind: str
    start: int
    end: int


class FreeText:
    """Finds names and places with one model, a name of an installed package or the path of a folder. None is ever fetched.

    Loading takes seconds. Raises ``FreeTextUnavailable``.
    """

    def __init__(self, model: str = "") -> None:
        engine, self._language = nlp_engine(model, exclude=GRAMMAR)
        self._analyzer = _names_only(engine, self._language)

    def find(self, text: str) -> tuple[Mention, ...]:
        """In order, without overlaps."""
        found = self._analyzer.analyze(text, language=self._language, entities=list(KINDS))
        mentions: list[Mention] = []
        for result in sorted(found, key=lambda result: (result.start, -result.end)):
            if not mentions or result.start >= mentions[-1].end:
                mentions.append(Mention(KINDS[result.entity_type], result.start, result.end))
        return tuple(mentions)


def without_names(text: str, names: FreeText) -> tuple[str, tuple[str, ...]]:
    """The text with names and places redacted, and the kinds of what was there, each once. What is redacted already stays so."""
    parts: list[str] = []
    kinds: dict[str, None] = {}
    at = 0
    for mention in names.find(text):
        if REDACTED.strip("[]") in text[mention.start : mention.end]:
            continue
        parts += [text[at : mention.start], REDACTED]
        kinds[mention.kind] = None
        at = mention.end
    return "".join([*parts, text[at:]]), tuple(kinds)


def nlp_engine(model: str = "", exclude: Sequence[str] = ()) -> tuple["SpacyNlpEngine", str]:
    """Presidio's engine and its language, without some parts of the model's pipeline. The model is loaded here, for Presidio would
    download one that is missing. Raises ``FreeTextUnavailable``."""
    try:
        import spacy
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
    except ImportError as error:
        raise FreeTextUnavailable(f"{error.name} is not installed: pip install 'countersign[presidio]'") from error
    reason = ""
    for name in [model] if model else MODELS:
        try:
            loaded = spacy.load(name, exclude=exclude)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            continue
        engine = SpacyNlpEngine(models=[{"lang_code": loaded.lang, "model_name": name}])
        engine.nlp = {loaded.lang: loaded}
        return engine, loaded.lang
    raise FreeTextUnavailable(f"no spaCy model to find names with ({reason}): install one, such as {MODELS[0]}, or name another")


def _names_only(engine: "SpacyNlpEngine", language: str) -> "AnalyzerEngine":
    """Without Presidio's patterns: the core has its own, and some of Presidio's ask the network for lists."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    registry = RecognizerRegistry(supported_languages=[language])
    registry.add_recognizer(SpacyRecognizer(supported_language=language, supported_entities=list(KINDS)))
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])
