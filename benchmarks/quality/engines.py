"""The engines that are compared: the core's detectors, and Presidio with its predefined recognisers."""

import inspect
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from countersign._core import DETECTOR_NAMES, Masker
from countersign.masking.free_text import nlp_engine
from quality.corpus import Item
from quality.scoring import Hit

REDACT = '{"redact":{}}'

# The core's detectors that the corpus calls otherwise.
KIND_OF_DETECTOR = {
    "mac_address": "mac",
    "us_routing": "aba_routing",
    "bitcoin_address": "bitcoin",
    "ethereum_address": "ethereum",
    "short_card": "payment_card",
    "uk_nhs_number": "uk_nhs",
    "be_national_number": "be_rrn",
    "baltic_personal_code": "ee_isikukood",
    "cz_sk_birth_number": "cz_rodne_cislo",
    "tr_kimlik": "tr_tckn",
}

# Presidio's names. What it finds beside these is of no kind that the corpus has.
KIND_OF_ENTITY = {
    "EMAIL_ADDRESS": "email", "CREDIT_CARD": "payment_card", "IBAN_CODE": "iban", "PHONE_NUMBER": "phone", "ZA_MOBILE_NUMBER": "phone", "ZA_TELEPHONE_NUMBER": "phone", "MAC_ADDRESS": "mac",
    "US_SSN": "us_ssn", "US_ITIN": "us_itin", "DE_TAX_ID": "de_tax_id", "ES_NIF": "es_dni", "ES_NIE": "es_nie", "IT_FISCAL_CODE": "it_codice_fiscale", "PL_PESEL": "pl_pesel",
    "SE_PERSONNUMMER": "se_personnummer", "FI_PERSONAL_IDENTITY_CODE": "fi_hetu", "UK_NHS": "uk_nhs", "UK_NINO": "uk_nino", "UK_DRIVING_LICENCE": "uk_driving_licence", "CA_SIN": "ca_sin",
    "KR_RRN": "kr_rrn", "IN_AADHAAR": "in_aadhaar",
    "IN_PAN": "in_pan", "ZA_ID_NUMBER": "za_id", "TR_NATIONAL_ID": "tr_tckn", "AU_TFN": "au_tfn", "AU_MEDICARE": "au_medicare", "TH_TNIN": "th_id", "SG_NRIC_FIN": "sg_nric",
    "ABA_ROUTING_NUMBER": "aba_routing", "CRYPTO": "bitcoin", "LOCATION": "street_address", "DATE_TIME": "date_of_birth", "PERSON": "person",
}  # fmt: skip

KINDS_OF_PRESIDIO = frozenset(KIND_OF_ENTITY.values()) | {"ipv4", "ipv6"}

# Broader than any kind of the corpus, or right about what the corpus calls a near miss: these are never counted as false.
NEVER_FALSE = frozenset(
    "street_address date_of_birth person NRP ORGANIZATION URL UUID CA_POSTAL_CODE UK_POSTCODE DE_PLZ DE_KFZ DE_VAT_ID DE_HANDELSREGISTER IT_VAT_CODE ZA_VAT_NUMBER ZA_LICENSE_PLATE "
    "TR_LICENSE_PLATE UK_VEHICLE_REGISTRATION IN_VEHICLE_REGISTRATION NG_VEHICLE_REGISTRATION US_PROVIDER_TAX_ID".split()
)


def core_alone() -> Callable[[Item], Iterator[Hit]]:
    """Each detector by itself, so that none hides behind another."""
    maskers = [Masker([(name, name, REDACT)], b"key") for name in DETECTOR_NAMES]

    def hits(item: Item) -> Iterator[Hit]:
        for masker in maskers:
            yield from _core_hits(masker, item)

    return hits


def core_together() -> Callable[[Item], Iterator[Hit]]:
    """All detectors in one masker, as a rule that names them all."""
    masker = Masker([(name, name, REDACT) for name in DETECTOR_NAMES], b"key")
    return lambda item: _core_hits(masker, item)


def _core_hits(masker: Masker, item: Item) -> Iterator[Hit]:
    text = item.text.encode()
    for name, start, end in masker.explain(text, item.column.encode()):
        before = len(text[:start].decode())
        found = text[start:end].decode(errors="replace")
        yield Hit(_kind_of_detector(name, found), before, before + len(found))


def _kind_of_detector(name: str, text: str) -> str:
    if name == "es_dni" and text[0] in "XYZxyz":
        return "es_nie"
    return KIND_OF_DETECTOR.get(name, name)


class Presidio:
    """Presidio's analyzer for English: as it is shipped, or with every recogniser it has for numbers and addresses, whatever the language."""

    def __init__(self, model: str, everything: bool) -> None:
        import tldextract
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry

        # It would fetch the list of public suffixes at the first address; the package holds one.
        tldextract.tldextract.TLD_EXTRACTOR = tldextract.TLDExtract(suffix_list_urls=())
        engine = model_of(model)
        registry = RecognizerRegistry(supported_languages=["en"])
        registry.load_predefined_recognizers(languages=["en"], nlp_engine=engine)
        if everything:
            for recogniser in _others(registry.get_supported_entities()):
                registry.add_recognizer(recogniser)
        self.recognisers = len(registry.recognizers)
        self.analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])

    def found(self, item: Item) -> list[tuple[Hit, float]]:
        """The hits of a text and their scores. The name of the column is given as context."""
        context = item.column.replace("_", " ").split() or None
        results = self.analyzer.analyze(item.text, language="en", context=context)
        return [
            (Hit(_kind_of(result.entity_type, item.text[result.start : result.end]), result.start, result.end), result.score)
            for result in results
        ]


def model_of(name: str) -> Any:
    """Presidio's engine with a spaCy model; ``blank`` splits English words and knows no names."""
    if name != "blank":
        return nlp_engine(name)[0]
    import spacy

    with tempfile.TemporaryDirectory() as folder:
        spacy.blank("en").to_disk(folder)
        return nlp_engine(folder)[0]


def _others(known: Iterable[str]) -> Iterator[Any]:
    """The predefined recognisers of patterns for other entities than the known ones, set to English so that they are asked."""
    import presidio_analyzer.predefined_recognizers as predefined
    from presidio_analyzer import PatternRecognizer

    for _, recogniser in inspect.getmembers(predefined, inspect.isclass):
        if issubclass(recogniser, PatternRecognizer) and "supported_language" in inspect.signature(recogniser).parameters:
            made = recogniser(supported_language="en")
            if not set(made.supported_entities) <= set(known):
                yield made


def _kind_of(entity: str, text: str) -> str:
    if entity == "IP_ADDRESS":
        return "ipv6" if ":" in text else "ipv4"
    return KIND_OF_ENTITY.get(entity, entity)
