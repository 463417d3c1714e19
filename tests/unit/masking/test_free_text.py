"""Names in free text, by a real spaCy pipeline and Presidio. The model is a small one of our own, which knows the words given here."""

import sys

import pytest

from countersign import _core
from countersign.masking.free_text import FreeText, FreeTextUnavailable, Mention
from countersign.masking.trial import try_values

spacy = pytest.importorskip("spacy", reason="the extra 'presidio' is not installed")
TEXT = "Anna Schmidt wrote from Berlin, and Anna Schmidt is Danish"
KNOWN = {"PERSON": ["Anna Schmidt", "Bob"], "GPE": ["Berlin"], "NORP": ["Danish"], "DATE": ["Monday"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": label, "pattern": name} for label, names in KNOWN.items() for name in names])
    pipeline.to_disk(folder)
    return str(folder)


@pytest.fixture(scope="module")
def names(model):
    return FreeText(model)


def test_names_places_and_groups_are_found_where_they_stand(names):
    assert names.find(TEXT) == (
        Mention("person", 0, 12),
        Mention("place", 24, 30),
        Mention("person", 36, 48),
        Mention("group", 52, 58),
    )


def test_what_is_no_name_is_left(names):
    assert names.find("nothing to see on Monday, and 4242 4242 4242 4242 is no name") == ()


def test_a_model_of_another_language_is_asked_in_its_language(tmp_path):
    pipeline = spacy.blank("de")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Anna Schmidt"}])
    pipeline.to_disk(tmp_path)
    assert FreeText(str(tmp_path)).find("geschrieben von Anna Schmidt") == (Mention("person", 16, 28),)


def test_what_the_detectors_mask_stays_masked_and_names_are_redacted_besides(names):
    masker = _core.Masker([("email", "mail", '{"redact":{}}')], b"key")
    (tried,) = try_values([b"Bob <bob@example.com> met Anna Schmidt"], 1, masker, [], names)
    assert tried.masked == "[redacted] <[redacted]> met [redacted]"
    assert [name for name, _ in tried.found] == ["email", "person"]
    assert tried.found[1] == ("person", "presidio")


def test_a_model_that_is_not_there_is_never_fetched(monkeypatch):
    import spacy.cli

    monkeypatch.setattr(spacy.cli, "download", lambda *_: pytest.fail("a download was tried"))
    with pytest.raises(FreeTextUnavailable, match="no spaCy model .* install one, such as en_core_web_lg"):
        FreeText("no_such_model")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "presidio_analyzer.nlp_engine", None)
    with pytest.raises(FreeTextUnavailable, match=r"pip install 'countersign\[presidio\]'"):
        FreeText()
