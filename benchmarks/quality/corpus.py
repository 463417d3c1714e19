"""The labelled corpus: sensitive values and near misses, by themselves, beside labels, in sentences of many languages, JSON, CSV, SQL.

Nothing in it is made from the detectors' own patterns: values come from Faker, from the numbering plans of ``phonenumbers`` and from
``identifiers`` and ``secrets``, with check digits of ``checksums``. The same seed gives the same corpus.
"""

import datetime
import ipaddress
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

import phonenumbers
from faker import Faker

from quality import checksums
from quality.identifiers import IDENTIFIERS, Identifier, birth, digits
from quality.near_misses import FAMILIES
from quality.secrets import SECRETS, Secret

LOCALES = (
    "en_US",
    "en_GB",
    "de_DE",
    "fr_FR",
    "es_ES",
    "it_IT",
    "nl_NL",
    "pl_PL",
    "pt_BR",
    "sv_SE",
    "cs_CZ",
    "tr_TR",
    "ja_JP",
    "ru_RU",
    "zh_CN",
    "ar_AE",
)
STREET_LOCALES = LOCALES[:10]
IBAN_LOCALES = ("de_DE", "fr_FR", "en_GB", "es_ES", "it_IT", "nl_NL", "pl_PL", "pt_PT", "fi_FI", "no_NO", "de_AT", "de_CH", "tr_TR")
CARD_TYPES = (*("visa16", "mastercard") * 4, *("amex",) * 2, "discover", "diners", "jcb16", "maestro")
REGIONS = ("US", "CA", "GB", "DE", "FR", "ES", "IT", "NL", "PL", "BR", "IN", "AU", "JP", "CN")
REGIONS_ABROAD = (*REGIONS, "AT", "CH", "BE", "SE", "NO", "DK", "FI", "PT", "IE", "CZ", "RO", "GR", "TR", "IL", "ZA", "MX", "AR", "CL", "KR", "SG", "NZ", "UA", "EG", "NG", "KE", "TH")  # fmt: skip

SENTENCES = (
    "Please check {} before Friday.", "Bitte {} bis Montag prüfen.", "Merci de vérifier {} avant lundi.", "Por favor, revise {} antes del viernes.", "Controlla {} entro lunedì, grazie.",
    "Sprawdź {} do piątku.", "Kontrollera {} innan fredag.", "Graag {} voor vrijdag nakijken.", "Проверьте {} до пятницы.", "请在周五前核对{}。", "{} を確認してください。", "Favor conferir {} até sexta-feira.",
    "يرجى مراجعة {} قبل الجمعة", "({})", "'{}'", "note: {}; done", "[{}]", "First line.\n{}\nLast line.", "before\t{}\tafter", "see {}, then call back", "<li>{}</li>",
)  # fmt: skip
BESIDE_A_WORD = (
    "{w}: {v}", "{w} {v}", "{w}:{v}", "{w} = {v}", "{w} – {v}", "{w} ({v})", "My {w} is {v}.", "{w} lautet {v}.", "Mon {w} est le {v}.", "Mi {w} es {v}, gracias.", "Moje {w} to {v}.", "Il mio {w} è {v}.",
    "- {w}: {v}\n- Status: ok", "Customer 17, {w} {v}, paid", "{w}\t{v}", "{w} | {v} |", "Update the {w} to {v} please",
)  # fmt: skip
NAMES_OF_PEOPLE = (
    "The report was written by {} on Monday.",
    "{} asked for a refund.",
    "Please call {} about the contract.",
    "Met {} in the office today.",
    "Signed: {}",
)


@dataclass(frozen=True, slots=True)
class Label:
    """A value that must be covered, from ``start`` to ``end``; a hit anywhere from ``outer_start`` to ``outer_end`` is no false one.
    ``kinds`` are what it may rightly be called, its own kind first. All offsets are of characters."""

    start: int
    end: int
    outer_start: int
    outer_end: int
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One text of the corpus. ``column`` is the name of the column that holds it, where one is given; ``family`` says where it is from,
    and ``way`` how the value stands in the text."""

    text: str
    labels: tuple[Label, ...]
    family: str
    way: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """A sensitive value: the text that holds it, where in it, what it is, the words beside it and the name of a column for it."""

    text: str
    sensitive: str
    kinds: tuple[str, ...]
    words: tuple[str, ...] = ()
    column: str = ""
    telling: bool = True


@cache
def _faker(locale: str) -> Faker:
    fake = Faker(locale)
    fake.seed_instance(f"corpus {locale}")
    return fake


def build(count: int, seed: int) -> list[Item]:
    """About ``count`` texts, a good half of them near misses."""
    rng = Random(seed)
    _faker.cache_clear()
    kinds = list(_kinds())
    each = max(1, count // 2 // len(kinds))
    items = [_placed(rng, make(rng)) for make in kinds for _ in range(each)]
    each = max(1, -(-(count - len(items)) // len(FAMILIES)))
    for name, family in FAMILIES.items():
        items += [Item(family(rng, _any_faker(rng)), (), name, "near miss") for _ in range(each)]
    return items


def bare_numbers(count: int, seed: int) -> list[Item]:
    """Numbers of identity whose form tells nothing, with no word beside them: nobody can tell them from others."""
    rng = Random(seed + 1)
    weak = [one for one in IDENTIFIERS if len(one.make(Random(0))) > one.telling]
    values = (_identity(rng, rng.choice(weak), bare=True) for _ in range(count))
    return [_wrap(rng, value, "{}", "alone") for value in values]


def people(count: int, seed: int) -> list[Item]:
    """Names of people in English sentences."""
    rng = Random(seed + 2)
    _faker.cache_clear()
    values = (Value(name, name, ("person",)) for name in (_faker(rng.choice(LOCALES[:8])).name() for _ in range(count)))
    return [_wrap(rng, value, rng.choice(NAMES_OF_PEOPLE), "sentence") for value in values]


def _any_faker(rng: Random) -> Faker:
    """Mostly of Latin script. Providers that a locale lacks fall back to English ones."""
    return _faker(rng.choice(LOCALES))


# -- how a value stands in a text
def _placed(rng: Random, value: Value) -> Item:
    ways: list[Callable[[Random, Value], Item]] = []
    if value.telling:
        ways += [_alone, _in_a_sentence, _in_a_sentence, _in_json]
    if value.words:
        ways += [_beside_a_word] * 3
    if value.column:
        ways += [_named, _named, _in_column]
    return rng.choice(ways)(rng, value)


def _alone(rng: Random, value: Value) -> Item:
    return _wrap(rng, value, "{}", "alone")


def _in_a_sentence(rng: Random, value: Value) -> Item:
    return _wrap(rng, value, rng.choice(SENTENCES), "sentence")


def _in_json(rng: Random, value: Value) -> Item:
    if json.dumps(value.text, ensure_ascii=False) != f'"{value.text}"':
        return _alone(rng, value)
    return _wrap(rng, value, f'{{"id": {rng.randrange(10**6)}, "data": "{{}}", "ok": true}}', "JSON")


def _beside_a_word(rng: Random, value: Value) -> Item:
    form = rng.choice(BESIDE_A_WORD).replace("{w}", rng.choice(value.words)).replace("{v}", "{}")
    return _wrap(rng, value, form, "word beside it")


def _named(rng: Random, value: Value) -> Item:
    name, number = value.column, rng.randrange(10**4)
    form = rng.choice(
        (
            f'{{"id": {number}, "{name}": "{{}}"}}',
            f"UPDATE people SET {name} = '{{}}' WHERE id = {number}",
            f"2026-01-12T10:00:00Z INFO changed {name}={{}} by job {number}",
            f"<{name}>{{}}</{name}>",
            f"id;{name}\n{number};{{}}",
        )
    )
    return _wrap(rng, value, form, "named in code")


def _in_column(rng: Random, value: Value) -> Item:
    return _wrap(rng, value, "{}", "column", column=value.column)


def _wrap(rng: Random, value: Value, form: str, way: str, column: str = "") -> Item:
    before, after = form.split("{}", 1)
    outer = len(before)
    start = outer + value.text.index(value.sensitive)
    label = Label(start, start + len(value.sensitive), outer, outer + len(value.text), value.kinds)
    return Item(before + value.text + after, (label,), value.kinds[0], way, column)


# -- the values
def _kinds() -> Iterator[Callable[[Random], Value]]:
    yield from (
        _email,
        _email,
        _card,
        _card,
        _iban,
        _iban,
        _phone_abroad,
        _phone_abroad,
        _phone_at_home,
        _phone_at_home,
        _ipv4,
        _ipv6,
        _mac,
        _street,
        _born,
    )
    yield from (lambda rng, one=one: _identity(rng, one) for one in IDENTIFIERS)
    yield from (lambda rng, one=one: _secret(rng, one) for one in SECRETS)


def _identity(rng: Random, one: Identifier, bare: bool = False) -> Value:
    forms = one.make(rng)
    index = rng.randrange(one.telling, len(forms)) if bare else rng.randrange(len(forms))
    kinds = (one.kind, "us_ssn", "us_itin") if one.kind in ("us_ssn", "us_itin") else (one.kind,)
    return Value(forms[index], forms[index], kinds, one.words, one.column, index < one.telling)


def _secret(rng: Random, one: Secret) -> Value:
    text, sensitive = one.make(rng)
    return Value(text, sensitive, (one.kind, *one.also))


def _email(rng: Random) -> Value:
    fake = _faker(rng.choice(LOCALES))
    text = rng.choice((fake.email, fake.company_email, fake.ascii_free_email))()
    if not text.isascii():
        text = fake.ascii_safe_email()
    user, host = text.split("@")
    text = rng.choice((text, text, f"{user}+{fake.random_number(3)}@{host}", f"{user}@mail.{host}", text.upper()))
    return Value(text, text, ("email",), ("E-mail", "Email", "Correo", "Courriel", "mailto"), "email")


def _card(rng: Random) -> Value:
    fake = _faker("en_US")
    while True:
        body = "62" + digits(rng, 13)
        number = (
            body + checksums.luhn_digit(body) if rng.random() < 0.1 else fake.credit_card_number(card_type=rng.choice(CARD_TYPES))
        )
        if checksums.is_luhn(number) and _is_given_out(number):
            break
    groups = (4, 6, 5) if len(number) in (14, 15) else (4, 4, 4, 4)
    parts, at = [], 0
    for size in groups:
        parts.append(number[at : at + size])
        at += size
    written = (
        rng.choice((number, number, " ".join(filter(None, parts)), "-".join(filter(None, parts)))) if at >= len(number) else number
    )
    return Value(
        written, written, ("payment_card",), ("Card", "Kreditkarte", "Carte bancaire", "Tarjeta", "PAN", "Visa"), "card_number"
    )


def _is_given_out(number: str) -> bool:
    """Faker begins some JCB and Maestro cards with digits that they do not have."""
    return "3528" <= number[:4] <= "3589" if number.startswith("35") else number[0] != "0"


def _iban(rng: Random) -> Value:
    text = _faker(rng.choice(IBAN_LOCALES)).iban()
    if not checksums.iban_is_sound(text):
        raise RuntimeError(f"Faker made an IBAN with a wrong check: {text}")
    text = rng.choice((text, " ".join(text[at : at + 4] for at in range(0, len(text), 4))))
    return Value(text, text, ("iban",), ("IBAN", "Konto", "account"), "iban")


def _phone_number(rng: Random, region: str) -> phonenumbers.PhoneNumber:
    """A number that the region's plan has: an example with other last digits."""
    kind = rng.choice((phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE))
    example = phonenumbers.example_number_for_type(region, kind)
    while True:
        number = phonenumbers.PhoneNumber()
        number.merge_from(example)
        text = str(example.national_number)
        number.national_number = int(text[:-6] + digits(rng, 6))
        if phonenumbers.is_valid_number(number):
            return number


def _phone_abroad(rng: Random) -> Value:
    number = _phone_number(rng, rng.choice(REGIONS_ABROAD))
    form = rng.choice((phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164))
    text = phonenumbers.format_number(number, form)
    return Value(text, text, ("phone",), ("Phone", "Tel.", "Mobile", "Téléphone", "Telefon", "WhatsApp"), "phone")


def _phone_at_home(rng: Random) -> Value:
    region = rng.choice(REGIONS)
    text = phonenumbers.format_number(_phone_number(rng, region), phonenumbers.PhoneNumberFormat.NATIONAL)
    words = {
        "DE": ("Telefon", "Tel.", "Mobil", "Rufnummer"), "FR": ("Téléphone", "Tél.", "Portable"), "ES": ("Teléfono", "Tel.", "Móvil"), "IT": ("Telefono", "Tel.", "Cellulare"), "NL": ("Telefoon", "Tel.", "Mobiel"),
        "PL": ("Telefon", "tel.", "komórka"), "BR": ("Telefone", "Tel.", "Celular"), "JP": ("電話番号", "電話", "TEL"), "CN": ("电话", "手机", "联系电话"),
    }.get(region, ("Phone", "Tel", "Mobile", "Telephone", "Cell", "phone number", "fax"))  # fmt: skip
    return Value(text, text, ("phone",), words, rng.choice(("phone", "mobile", "telephone")), telling=False)


def _ipv4(rng: Random) -> Value:
    fake = _faker("en_US")
    text = rng.choice((fake.ipv4_public, fake.ipv4_private))()
    return Value(
        rng.choice((text, text, f"{text}:{rng.randrange(1024, 65536)}", f"http://{text}/")),
        text,
        ("ipv4",),
        ("IP", "client", "host", "remote_addr"),
        "ip_address",
    )


def _ipv6(rng: Random) -> Value:
    text = _faker("en_US").ipv6()
    if rng.random() < 0.5:
        parts = text.split(":")
        first = rng.randrange(1, 5)
        text = str(ipaddress.IPv6Address(":".join(parts[:first] + ["0"] * 3 + parts[first + 3 :])))
    return Value(text, text, ("ipv6",), ("IP", "IPv6", "client", "remote_addr"), "ip_address")


def _mac(rng: Random) -> Value:
    text = _faker("en_US").mac_address()
    plain = text.replace(":", "")
    text = rng.choice((text, text.upper(), text.replace(":", "-").upper(), f"{plain[:4]}.{plain[4:8]}.{plain[8:]}"))
    return Value(text, text, ("mac",), ("MAC", "HWaddr", "ether", "MAC address"), "mac_address")


def _street(rng: Random) -> Value:
    locale = rng.choice(STREET_LOCALES)
    fake = _faker(locale)
    street = " ".join(fake.street_address().split())
    words = {"de": ("Adresse", "Anschrift", "Wohnhaft"), "fr": ("Adresse", "Domicile", "Adresse de livraison"), "es": ("Dirección", "Domicilio"), "it": ("Indirizzo", "Residenza"), "nl": ("Adres", "Woonadres"), "pl": ("Adres", "Adres zamieszkania"), "pt": ("Endereço", "Morada"), "sv": ("Adress", "Gatuadress")}  # fmt: skip
    town = "Torino" if locale == "it_IT" else fake.city()  # Faker's Italian towns are in a set, in another order each time
    text = rng.choice((street, f"{street}, {fake.postcode()} {town}"))
    return Value(
        text,
        street,
        ("street_address",),
        words.get(locale[:2], ("Address", "Street address", "Shipping address", "Home address")),
        rng.choice(("address", "street", "street_address")),
        telling=False,
    )


def _born(rng: Random) -> Value:
    day: datetime.date = birth(rng)
    form, words = rng.choice(
        (
            (f"{day:%Y-%m-%d}", ("Date of birth", "DOB", "Birth date", "birthday", "born")),
            (f"{day:%m/%d/%Y}", ("Date of birth", "DOB", "Born", "birthdate")),
            (
                f"{day:%d/%m/%Y}",
                (
                    "Date of birth",
                    "Né le",
                    "Née le",
                    "Date de naissance",
                    "Fecha de nacimiento",
                    "Data di nascita",
                    "Data de nascimento",
                ),
            ),
            (f"{day:%d.%m.%Y}", ("Geburtsdatum", "geboren am", "geb.", "Data urodzenia", "Дата рождения", "Datum narození")),
            (f"{day:%d-%m-%Y}", ("Geboortedatum", "geboren op", "Date of birth")),
            (f"{day:%d} {day:%B} {day:%Y}", ("Date of birth", "DOB", "born on")),
            (f"{day:%B} {day.day}, {day:%Y}", ("Date of birth", "born")),
            (f"{day:%Y}年{day.month}月{day.day}日", ("出生日期", "生年月日")),
        )
    )
    return Value(
        form, form, ("date_of_birth",), words, rng.choice(("date_of_birth", "dob", "birth_date", "birthday")), telling=False
    )
