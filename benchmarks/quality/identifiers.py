"""Identity numbers that countries give to people, each with its check digits and the words that people write beside it.

A maker takes the source of randomness and gives one number in the ways it is written. The first ``telling`` of them are told from
other numbers by their form alone, so they should be found without a word beside them; a plain row of digits should not.
"""

import datetime
import string
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from quality import checksums

Maker = Callable[[Random], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Identifier:
    """A kind of number: how it is made and what stands beside it in labels, sentences and the names of columns."""

    kind: str
    make: Maker
    words: tuple[str, ...]
    column: str
    telling: int


def digits(rng: Random, count: int, first: str = string.digits) -> str:
    """Random digits, the first of them out of ``first``."""
    return rng.choice(first) + "".join(rng.choices(string.digits, k=count - 1))


def birth(rng: Random, since: int = 1940, until: int = 2008) -> datetime.date:
    """A day on which somebody may have been born."""
    return datetime.date(since, 1, 1) + datetime.timedelta(days=rng.randrange(365 * (until - since)))


def _until(rng: Random, make: Callable[[Random], str | None]) -> str:
    """Some numbers have no check digit and are never given out."""
    while (made := make(rng)) is None:
        pass
    return made


def _grouped(text: str, *sizes: int, by: str = " ") -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return by.join(part for part in [*parts, text[at:]] if part)


def _luhn(body: str) -> str:
    return body + checksums.luhn_digit(body)


# -- Europe
def _de_tax_id(rng: Random) -> tuple[str, ...]:
    """Section 139b AO: of the first ten digits one is there twice or three times, but never three in a row, and the first is not 0."""

    def body(rng: Random) -> str | None:
        times = rng.choice((2, 3))
        chosen = rng.sample(string.digits, 11 - times)
        text = rng.sample(chosen + chosen[:1] * (times - 1), 10)
        made = "".join(text)
        return None if made[0] == "0" or chosen[0] * 3 in made else made

    number = _until(rng, body)
    number += checksums.mod_11_10_digit(number)
    return number, _grouped(number, 2, 3, 3)


def _fr_nir(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    department = rng.choice([*(f"{n:02d}" for n in range(1, 96) if n != 20), "2A", "2B"])
    body = f"{rng.choice('12')}{born:%y%m}{department}{rng.randrange(1, 700):03d}{rng.randrange(1, 999):03d}"
    key = 97 - int(body.replace("2A", "19").replace("2B", "18")) % 97
    return f"{body}{key:02d}", f"{_grouped(body, 1, 2, 2, 2, 3)} {key:02d}"


def _dni_letter(number: int) -> str:
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]


def _es_dni(rng: Random) -> tuple[str, ...]:
    number = digits(rng, 8)
    return number + _dni_letter(int(number)), f"{number}-{_dni_letter(int(number))}"


def _es_nie(rng: Random) -> tuple[str, ...]:
    first, number = rng.randrange(3), digits(rng, 7)
    letter = _dni_letter(int(f"{first}{number}"))
    return f"{'XYZ'[first]}{number}{letter}", f"{'XYZ'[first]}-{number}-{letter}"


def _it_codice_fiscale(rng: Random) -> tuple[str, ...]:
    """Three letters of the surname and three of the name: consonants, then vowels, then X."""
    born = birth(rng)
    shapes = ("ccc", "ccc", "ccv", "cvv", "cvX")
    letters = {"c": "BCDFGLMNPRSTVZ", "v": "AEIO", "X": "X"}
    names = "".join(rng.choice(letters[place]) for place in rng.choice(shapes[:4]) + rng.choice(shapes))
    day = born.day + 40 * rng.randrange(2)
    body = f"{names}{born:%y}{'ABCDEHLMPRST'[born.month - 1]}{day:02d}{rng.choice('ABCDEFGHL')}{rng.randrange(1, 990):03d}"
    return (body + checksums.codice_fiscale_letter(body),)


def _nl_bsn(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        body = digits(rng, 8)
        rest = checksums.weighted(body, range(9, 1, -1)) % 11
        return None if rest == 10 or body.startswith("00") else f"{body}{rest}"

    number = _until(rng, make)
    return number, _grouped(number, 4, 2, by=".")


def _be_rrn(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    body = f"{born:%y%m%d}{rng.randrange(1, 998):03d}"
    check = 97 - int(("2" if born.year >= 2000 else "") + body) % 97
    return f"{born:%y.%m.%d}-{body[6:]}.{check:02d}", f"{body}{check:02d}"


def _pl_pesel(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    body = f"{born:%y}{born.month + 20 * (born.year >= 2000):02d}{born:%d}{digits(rng, 4)}"
    return (f"{body}{-checksums.weighted(body, (1, 3, 7, 9) * 3) % 10}",)


def _se_personnummer(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    number = _luhn(f"{born:%y%m%d}{rng.randrange(1, 999):03d}")
    return f"{number[:6]}-{number[6:]}", f"{born:%Y%m%d}-{number[6:]}", f"{born:%Y%m%d}{number[6:]}"


def _no_fodselsnummer(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        born = birth(rng)
        body = f"{born:%d%m%y}{rng.randrange(500, 999) if born.year >= 2000 else rng.randrange(500):03d}"
        first = -checksums.weighted(body, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
        second = -checksums.weighted(f"{body}{first}", (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11 if first < 10 else 10
        return None if second == 10 else f"{body}{first}{second}"

    number = _until(rng, make)
    return number, _grouped(number, 6)


def _fi_hetu(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    serial = rng.randrange(2, 900)
    mark = rng.choice("-YXWVU") if born.year < 2000 else rng.choice("ABCDEF")
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(f"{born:%d%m%y}{serial:03d}") % 31]
    return (f"{born:%d%m%y}{mark}{serial:03d}{check}",)


def _dk_cpr(rng: Random) -> tuple[str, ...]:
    """With the check digit that numbers had until 2007 and most have."""

    def make(rng: Random) -> str | None:
        born = birth(rng)
        body = f"{born:%d%m%y}{digits(rng, 3, '01234' if born.year < 2000 else '4567')}"
        check = -checksums.weighted(body, (4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        return None if check == 10 else f"{body}{check}"

    number = _until(rng, make)
    return f"{number[:6]}-{number[6:]}", number


def _pt_nif(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 8, "123")
    check = -checksums.weighted(body, range(9, 1, -1)) % 11
    number = f"{body}{0 if check == 10 else check}"
    return number, _grouped(number, 3, 3)


def _ro_cnp(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    sex = rng.choice("12" if born.year < 2000 else "56")
    body = f"{sex}{born:%y%m%d}{rng.choice((*range(1, 47), 51, 52)):02d}{rng.randrange(1, 1000):03d}"
    return (f"{body}{(1 if (rest := checksums.weighted(body, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11) == 10 else rest)}",)


def _bg_egn(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    body = f"{born:%y}{born.month + 40 * (born.year >= 2000):02d}{born:%d}{digits(rng, 3)}"
    return (f"{body}{checksums.weighted(body, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10}",)


def _cz_rodne_cislo(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        born = birth(rng, since=1955)
        body = f"{born:%y}{born.month + 50 * rng.randrange(2):02d}{born:%d}{digits(rng, 3)}"
        check = -int(body) * 10 % 11
        return None if check == 10 else f"{body}{check}"

    number = _until(rng, make)
    return f"{number[:6]}/{number[6:]}", number


def _ch_ahv(rng: Random) -> tuple[str, ...]:
    body = "756" + digits(rng, 9)
    number = body + checksums.ean_digit(body)
    return _grouped(number, 3, 4, 4, by="."), number


def _hr_oib(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 10)
    return (body + checksums.mod_11_10_digit(body),)


def _ee_isikukood(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    body = f"{rng.choice('34' if born.year < 2000 else '56')}{born:%y%m%d}{digits(rng, 3)}"
    rest = checksums.weighted(body, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if rest == 10:
        rest = checksums.weighted(body, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return (f"{body}{rest}",)


def _uk_nhs(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        body = digits(rng, 9, "4679")
        check = -checksums.weighted(body, range(10, 1, -1)) % 11
        return None if check == 10 else f"{body}{check}"

    number = _until(rng, make)
    return _grouped(number, 3, 3), number


def _uk_nino(rng: Random) -> tuple[str, ...]:
    def prefix(rng: Random) -> str | None:
        made = rng.choice("ABCEGHJKLMNPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
        return None if made in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ") else made

    first, number, last = _until(rng, prefix), digits(rng, 6), rng.choice("ABCD")
    return f"{first}{number}{last}", f"{first} {_grouped(number, 2, 2)} {last}"


def _uk_driving_licence(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    surname = "".join(rng.choices("ABCDEGHILMNOPRSTW", k=rng.randrange(3, 6))).ljust(5, "9")
    month = born.month + 50 * rng.randrange(2)
    middle = f"{born:%y}"[0] + f"{month:02d}{born:%d}" + f"{born:%y}"[1]
    initials = rng.choice(string.ascii_uppercase) + rng.choice(string.ascii_uppercase + "9")
    return (f"{surname}{middle}{initials}{rng.choice('123456789')}{''.join(rng.choices(string.ascii_uppercase, k=2))}",)


# -- America
def _us_ssn(rng: Random) -> tuple[str, ...]:
    area = rng.choice([number for number in range(1, 900) if number != 666])
    number = f"{area:03d}-{rng.randrange(1, 100):02d}-{rng.randrange(1, 10000):04d}"
    return number, number.replace("-", " ")


def _us_itin(rng: Random) -> tuple[str, ...]:
    group = rng.choice([*range(50, 66), *range(70, 89), 90, 91, 92, *range(94, 100)])
    number = f"9{digits(rng, 2)}-{group}-{digits(rng, 4)}"
    return number, number.replace("-", " ")


def _br_cpf(rng: Random) -> tuple[str, ...]:
    number = digits(rng, 9)
    for length in (10, 11):
        rest = checksums.weighted(number, range(length, 1, -1)) * 10 % 11 % 10
        number += str(rest)
    return f"{_grouped(number[:9], 3, 3, by='.')}-{number[9:]}", number


def _br_cnpj(rng: Random) -> tuple[str, ...]:
    number = digits(rng, 8) + "0001"
    for weights in ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)):
        rest = checksums.weighted(number, weights) % 11
        number += str(0 if rest < 2 else 11 - rest)
    return f"{_grouped(number[:8], 2, 3, by='.')}/{number[8:12]}-{number[12:]}", number


def _cl_rut(rng: Random) -> tuple[str, ...]:
    body = str(rng.randrange(5_000_000, 26_000_000))
    rest = -checksums.weighted(body[::-1], (2, 3, 4, 5, 6, 7, 2, 3)) % 11
    check = "K" if rest == 10 else str(rest)
    return f"{int(body):,}".replace(",", ".") + f"-{check}", f"{body}-{check}"


def _mx_curp(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    consonants = "BCDFGHJKLMNPQRSTVWXYZ"
    name = rng.choice(consonants) + rng.choice("AEIOU") + rng.choice(consonants) + rng.choice(string.ascii_uppercase)
    state = rng.choice("AS BC BS CC CL CM CS CH DF DG GT GR HG JC MC MN MS NT NL OC PL QT QR SP SL SR TC TS TL VZ YN ZS NE".split())
    mark = rng.choice("ABCDEF") if born.year >= 2000 else rng.choice(string.digits)
    body = f"{name}{born:%y%m%d}{rng.choice('HM')}{state}{''.join(rng.choices(consonants, k=3))}{mark}"
    alphabet = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    rest = sum(alphabet.index(letter) * (18 - index) for index, letter in enumerate(body)) % 10
    return (f"{body}{-rest % 10}",)


def _ca_sin(rng: Random) -> tuple[str, ...]:
    number = _luhn(digits(rng, 8, "1234567"))
    return _grouped(number, 3, 3), _grouped(number, 3, 3, by="-"), number


# -- Asia, Africa, Australia
def _cn_resident_id(rng: Random) -> tuple[str, ...]:
    area = rng.choice("110101 310104 440305 500103 330106 510107 420106 610113 350203 370202".split())
    body = f"{area}{birth(rng):%Y%m%d}{rng.randrange(1, 1000):03d}"
    rest = checksums.weighted(body, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
    return (body + "10X98765432"[rest],)


def _kr_rrn(rng: Random) -> tuple[str, ...]:
    born = birth(rng)
    body = f"{born:%y%m%d}{rng.choice('12' if born.year < 2000 else '34')}{digits(rng, 5)}"
    number = f"{body}{(11 - checksums.weighted(body, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10}"
    return (f"{number[:6]}-{number[6:]}",)


def _tw_id(rng: Random) -> tuple[str, ...]:
    letter = rng.choice(string.ascii_uppercase)
    value = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter)
    body = digits(rng, 8, "12")
    total = value // 10 + value % 10 * 9 + checksums.weighted(body, range(8, 0, -1))
    return (f"{letter}{body}{-total % 10}",)


def _in_aadhaar(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 11, "23456789")
    number = body + checksums.verhoeff_digit(body)
    return _grouped(number, 4, 4), number


def _za_id(rng: Random) -> tuple[str, ...]:
    return (_luhn(f"{birth(rng):%y%m%d}{digits(rng, 4)}{rng.choice('01')}8"),)


def _tr_tckn(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 9, "123456789")
    values = [int(digit) for digit in body]
    tenth = (7 * sum(values[::2]) - sum(values[1::2])) % 10
    return (f"{body}{tenth}{(sum(values) + tenth) % 10}",)


def _il_id(rng: Random) -> tuple[str, ...]:
    return (_luhn(digits(rng, 8, "0123")),)


def _au_tfn(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        number = digits(rng, 9, "123456789")
        return number if checksums.weighted(number, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0 else None

    number = _until(rng, make)
    return _grouped(number, 3, 3), number


def _au_medicare(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 8, "23456")
    number = f"{body}{checksums.weighted(body, (1, 3, 7, 9, 1, 3, 7, 9)) % 10}{rng.choice('123')}"
    return f"{number[:4]} {number[4:9]} {number[9]}", number


def _th_id(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 12, "12345")
    number = f"{body}{(11 - checksums.weighted(body, range(13, 1, -1)) % 11) % 10}"
    return f"{number[0]}-{number[1:5]}-{number[5:10]}-{number[10:12]}-{number[12]}", number


def _sg_nric(rng: Random) -> tuple[str, ...]:
    first, number = rng.choice("STFG"), digits(rng, 7)
    total = checksums.weighted(number, (2, 7, 6, 5, 4, 3, 2)) + (4 if first in "TG" else 0)
    return (f"{first}{number}{('JZIHGFEDCBA' if first in 'ST' else 'XWUTRQPNMLK')[total % 11]}",)


def _aba_routing(rng: Random) -> tuple[str, ...]:
    body = f"{rng.choice([*range(1, 13), *range(21, 33)]):02d}{digits(rng, 6)}"
    return (f"{body}{-checksums.weighted(body, (3, 7, 1) * 3) % 10}",)


def _passport_mrz(rng: Random) -> tuple[str, ...]:
    """ICAO Doc 9303-4: the second line of a passport, alone and behind the first one."""
    country, born = rng.choice("D<< NLD FRA GBR USA ESP ITA SWE AUS CAN UTO".split()), birth(rng)
    expires = datetime.date(2027, 1, 1) + datetime.timedelta(days=rng.randrange(3000))
    number = "".join(rng.choices("CFGHJKLMNPRTVWXYZ0123456789", k=9))
    personal = "<" * 14
    parts = [number, f"{born:%y%m%d}", f"{expires:%y%m%d}", personal]
    checked = [part + checksums.mrz_digit(part) for part in parts]
    if rng.random() < 0.5:
        checked[3] = personal + "<"
    line = checked[0] + country + checked[1] + rng.choice("MF<") + checked[2] + checked[3]
    line += checksums.mrz_digit("".join(checked))
    name = "".join(rng.choices("ABEHILMNORST", k=7)) + "<<" + "".join(rng.choices("AEILMNOR", k=5))
    return line, f"P<{country}{name.ljust(39, '<')}\n{line}"


# -- and some more
def _ar_cuit(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        body = rng.choice(("20", "23", "24", "27", "30")) + digits(rng, 8)
        check = -checksums.weighted(body, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        return None if check == 10 else f"{body}{check}"

    number = _until(rng, make)
    return f"{number[:2]}-{number[2:10]}-{number[10]}", number


def _co_nit(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 9, "89")
    rest = checksums.weighted(body, (41, 37, 29, 23, 19, 17, 13, 7, 3)) % 11
    check = rest if rest < 2 else 11 - rest
    return f"{_grouped(body, 3, 3, by='.')}-{check}", f"{body}-{check}"


def _ec_cedula(rng: Random) -> tuple[str, ...]:
    return (_luhn(f"{rng.randrange(1, 25):02d}{digits(rng, 7, '012345')}"),)


def _do_cedula(rng: Random) -> tuple[str, ...]:
    number = _luhn(f"{rng.randrange(1, 120):03d}{digits(rng, 7)}")
    return f"{number[:3]}-{number[3:10]}-{number[10]}", number


def _in_pan(rng: Random) -> tuple[str, ...]:
    letters = "".join(rng.choices(string.ascii_uppercase, k=3))
    return (
        f"{letters}{rng.choice('PCHFT')}{rng.choice(string.ascii_uppercase)}{digits(rng, 4)}{rng.choice(string.ascii_uppercase)}",
    )


def _hk_id(rng: Random) -> tuple[str, ...]:
    """A single letter counts as if a space, worth 36, stood ahead of it."""
    letter, body = rng.choice(string.ascii_uppercase), digits(rng, 6)
    rest = -(36 * 9 + (ord(letter) - ord("A") + 10) * 8 + checksums.weighted(body, range(7, 1, -1))) % 11
    check = "A" if rest == 10 else str(rest)
    return f"{letter}{body}({check})", f"{letter}{body}{check}"


def _jp_my_number(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 11)
    rest = checksums.weighted(body, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    number = f"{body}{0 if rest < 2 else 11 - rest}"
    return number, _grouped(number, 4, 4)


def _my_nric(rng: Random) -> tuple[str, ...]:
    number = f"{birth(rng):%y%m%d}-{rng.randrange(1, 17):02d}-{digits(rng, 4)}"
    return number, number.replace("-", "")


def _ru_inn(rng: Random) -> tuple[str, ...]:
    """Of a person: twelve digits, two of which check."""
    number = f"{rng.randrange(1, 93):02d}{digits(rng, 8)}"
    for weights in ((7, 2, 4, 10, 3, 5, 9, 4, 6, 8), (3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)):
        number += str(checksums.weighted(number, weights) % 11 % 10)
    return (number,)


def _ru_snils(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 9, "123456789")
    number = f"{body}{checksums.weighted(body, range(9, 0, -1)) % 101 % 100:02d}"
    return f"{_grouped(number[:9], 3, 3, by='-')} {number[9:]}", number


def _ua_rnokpp(rng: Random) -> tuple[str, ...]:
    """The first five digits are the day of birth, counted from the end of 1899."""
    body = f"{(birth(rng) - datetime.date(1899, 12, 31)).days:05d}{digits(rng, 4)}"
    return (f"{body}{checksums.weighted(body, (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10}",)


def _ae_emirates_id(rng: Random) -> tuple[str, ...]:
    number = _luhn(f"784{birth(rng):%Y}{digits(rng, 7)}")
    return f"{number[:3]}-{number[3:7]}-{number[7:14]}-{number[14]}", number


def _ie_pps(rng: Random) -> tuple[str, ...]:
    body, second = digits(rng, 7), rng.choice(("", "A"))
    letter = "WABCDEFGHIJKLMNOPQRSTUV"[(checksums.weighted(body, range(8, 1, -1)) + 9 * len(second)) % 23]
    return (f"{body}{letter}{second}",)


def _at_svnr(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        serial, born = digits(rng, 3, "123456789"), f"{birth(rng):%d%m%y}"
        check = checksums.weighted(serial + born, (3, 7, 9, 5, 8, 4, 2, 1, 6)) % 11
        return None if check == 10 else f"{serial}{check}{born}"

    number = _until(rng, make)
    return _grouped(number, 4), number


def _is_kennitala(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        born = birth(rng)
        body = f"{born:%d%m%y}{rng.randrange(20, 100)}"
        check = -checksums.weighted(body, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
        return None if check == 10 else f"{body}{check}{'9' if born.year < 2000 else '0'}"

    number = _until(rng, make)
    return f"{number[:6]}-{number[6:]}", number


def _lv_personal_code(rng: Random) -> tuple[str, ...]:
    """As given out until 2017, with the day of birth."""

    def make(rng: Random) -> str | None:
        born = birth(rng)
        body = f"{born:%d%m%y}{1 if born.year < 2000 else 2}{digits(rng, 3)}"
        check = (1101 - checksums.weighted(body, (1, 6, 3, 7, 9, 10, 5, 8, 4, 2))) % 11
        return None if check == 10 else f"{body}{check}"

    number = _until(rng, make)
    return f"{number[:6]}-{number[6:]}", number


def _hu_taj(rng: Random) -> tuple[str, ...]:
    body = digits(rng, 8)
    number = f"{body}{checksums.weighted(body, (3, 7) * 4) % 10}"
    return _grouped(number, 3, 3), number


def _jmbg(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        born = birth(rng)
        body = f"{born:%d%m}{born.year % 1000:03d}{rng.choice('0123478')}{digits(rng, 4)}"
        check = -checksums.weighted(body, (7, 6, 5, 4, 3, 2) * 2) % 11
        return None if check == 10 else f"{body}{check}"

    return (_until(rng, make),)


def _gr_amka(rng: Random) -> tuple[str, ...]:
    return (_luhn(f"{birth(rng):%d%m%y}{digits(rng, 4)}"),)


def _nz_ird(rng: Random) -> tuple[str, ...]:
    def make(rng: Random) -> str | None:
        body = f"{rng.randrange(1_000_000, 14_999_999):08d}"
        checks = (-checksums.weighted(body, weights) % 11 for weights in ((3, 2, 7, 6, 5, 4, 3, 2), (7, 4, 3, 2, 5, 2, 7, 6)))
        check = next((check for check in checks if check < 10), None)
        return None if check is None else f"{body.removeprefix('0')}{check}"

    number = _until(rng, make)
    return f"{number[:-6]}-{number[-6:-3]}-{number[-3:]}", number


WITHOUT_CHECKSUM = frozenset({"us_ssn", "us_itin", "uk_nino", "uk_driving_licence", "in_pan", "my_nric", "dk_cpr"})

IDENTIFIERS = (
    Identifier("us_ssn", _us_ssn, ("SSN", "Social Security Number", "social security no.", "SS#"), "ssn", telling=2),
    Identifier("us_itin", _us_itin, ("ITIN", "Individual Taxpayer Identification Number", "taxpayer ID"), "itin", telling=2),
    Identifier(
        "de_tax_id",
        _de_tax_id,
        ("Steuer-ID", "Steuerliche Identifikationsnummer", "IdNr.", "Steueridentifikationsnummer", "German tax ID"),
        "steuer_id",
        telling=0,
    ),
    Identifier("fr_nir", _fr_nir, ("NIR", "Numéro de sécurité sociale", "n° de sécu", "N° SS"), "nir", telling=2),
    Identifier("es_dni", _es_dni, ("DNI", "NIF", "documento nacional de identidad", "DNI/NIF"), "dni", telling=2),
    Identifier("es_nie", _es_nie, ("NIE", "número de identidad de extranjero"), "nie", telling=2),
    Identifier(
        "it_codice_fiscale", _it_codice_fiscale, ("Codice fiscale", "C.F.", "CF", "codice_fiscale"), "codice_fiscale", telling=1
    ),
    Identifier("nl_bsn", _nl_bsn, ("BSN", "Burgerservicenummer", "sofinummer"), "bsn", telling=0),
    Identifier(
        "be_rrn", _be_rrn, ("Rijksregisternummer", "Numéro de registre national", "INSZ", "NISS"), "rijksregisternummer", telling=1
    ),
    Identifier("pl_pesel", _pl_pesel, ("PESEL", "nr PESEL", "numer PESEL"), "pesel", telling=0),
    Identifier(
        "se_personnummer", _se_personnummer, ("Personnummer", "Pnr", "personal identity number (SE)"), "personnummer", telling=2
    ),
    Identifier("no_fodselsnummer", _no_fodselsnummer, ("Fødselsnummer", "Fnr", "personnummer (NO)"), "fodselsnummer", telling=0),
    Identifier("fi_hetu", _fi_hetu, ("Henkilötunnus", "HETU", "personbeteckning"), "hetu", telling=1),
    Identifier("dk_cpr", _dk_cpr, ("CPR-nummer", "CPR", "personnummer (DK)"), "cpr", telling=0),
    Identifier("pt_nif", _pt_nif, ("NIF", "Contribuinte", "número de contribuinte"), "nif", telling=0),
    Identifier("ro_cnp", _ro_cnp, ("CNP", "Cod numeric personal"), "cnp", telling=0),
    Identifier("bg_egn", _bg_egn, ("ЕГН", "EGN", "единен граждански номер"), "egn", telling=0),
    Identifier("cz_rodne_cislo", _cz_rodne_cislo, ("Rodné číslo", "r. č.", "rodne cislo", "RČ"), "rodne_cislo", telling=1),
    Identifier("ch_ahv", _ch_ahv, ("AHV-Nummer", "AHV-Nr.", "Numéro AVS", "OASI number"), "ahv", telling=1),
    Identifier("hr_oib", _hr_oib, ("OIB", "osobni identifikacijski broj"), "oib", telling=0),
    Identifier("ee_isikukood", _ee_isikukood, ("isikukood", "asmens kodas"), "isikukood", telling=0),
    Identifier("uk_nhs", _uk_nhs, ("NHS number", "NHS No", "NHS no."), "nhs_number", telling=0),
    Identifier("uk_nino", _uk_nino, ("National Insurance number", "NINO", "NI number"), "nino", telling=2),
    Identifier(
        "uk_driving_licence",
        _uk_driving_licence,
        ("Driving licence", "driver number", "DVLA licence no."),
        "driving_licence",
        telling=1,
    ),
    Identifier("br_cpf", _br_cpf, ("CPF", "CPF nº", "cadastro de pessoa física"), "cpf", telling=1),
    Identifier("br_cnpj", _br_cnpj, ("CNPJ", "CNPJ nº"), "cnpj", telling=1),
    Identifier("cl_rut", _cl_rut, ("RUT", "RUN", "rol único tributario"), "rut", telling=1),
    Identifier("mx_curp", _mx_curp, ("CURP", "Clave Única de Registro de Población"), "curp", telling=1),
    Identifier("ca_sin", _ca_sin, ("SIN", "Social Insurance Number", "NAS", "numéro d'assurance sociale"), "sin", telling=0),
    Identifier("cn_resident_id", _cn_resident_id, ("身份证号", "居民身份证", "ID card no."), "id_card", telling=1),
    Identifier("kr_rrn", _kr_rrn, ("주민등록번호", "RRN", "resident registration number"), "rrn", telling=1),
    Identifier("tw_id", _tw_id, ("身分證字號", "身分證", "Taiwan ID"), "national_id", telling=1),
    Identifier("in_aadhaar", _in_aadhaar, ("Aadhaar", "Aadhaar number", "आधार", "UIDAI"), "aadhaar", telling=0),
    Identifier("za_id", _za_id, ("ID number", "South African ID", "RSA ID"), "za_id", telling=0),
    Identifier("tr_tckn", _tr_tckn, ("T.C. Kimlik No", "TCKN", "kimlik numarası"), "tckn", telling=0),
    Identifier("il_id", _il_id, ("תעודת זהות", "Teudat Zehut", "ת.ז."), "teudat_zehut", telling=0),
    Identifier("au_tfn", _au_tfn, ("TFN", "Tax File Number"), "tfn", telling=0),
    Identifier("au_medicare", _au_medicare, ("Medicare", "Medicare number", "Medicare card no."), "medicare", telling=0),
    Identifier("th_id", _th_id, ("เลขประจำตัวประชาชน", "Thai national ID"), "thai_id", telling=1),
    Identifier("sg_nric", _sg_nric, ("NRIC", "FIN", "NRIC/FIN no."), "nric", telling=1),
    Identifier("aba_routing", _aba_routing, ("Routing number", "ABA", "ABA routing no.", "RTN"), "routing_number", telling=0),
    Identifier("passport_mrz", _passport_mrz, ("MRZ", "machine-readable zone"), "mrz", telling=2),
    Identifier("ar_cuit", _ar_cuit, ("CUIT", "CUIL", "CUIT/CUIL"), "cuit", telling=1),
    Identifier("co_nit", _co_nit, ("NIT", "NIT no."), "nit", telling=0),
    Identifier("ec_cedula", _ec_cedula, ("cédula", "Cédula de identidad", "cédula de ciudadanía"), "cedula", telling=0),
    Identifier("do_cedula", _do_cedula, ("cédula", "Cédula de identidad y electoral"), "cedula", telling=0),
    Identifier("in_pan", _in_pan, ("PAN", "PAN card", "Permanent Account Number"), "pan_number", telling=0),
    Identifier("hk_id", _hk_id, ("HKID", "Hong Kong ID", "身份證號碼"), "hkid", telling=1),
    Identifier("jp_my_number", _jp_my_number, ("マイナンバー", "My Number", "個人番号"), "my_number", telling=0),
    Identifier("my_nric", _my_nric, ("MyKad", "NRIC", "No. kad pengenalan"), "mykad", telling=1),
    Identifier("ru_inn", _ru_inn, ("ИНН", "INN"), "inn", telling=0),
    Identifier("ru_snils", _ru_snils, ("СНИЛС", "SNILS"), "snils", telling=1),
    Identifier("ua_rnokpp", _ua_rnokpp, ("РНОКПП", "ІПН", "RNOKPP"), "rnokpp", telling=0),
    Identifier("ae_emirates_id", _ae_emirates_id, ("Emirates ID", "رقم الهوية"), "emirates_id", telling=1),
    Identifier("ie_pps", _ie_pps, ("PPS", "PPSN", "PPS number"), "ppsn", telling=0),
    Identifier("at_svnr", _at_svnr, ("SVNR", "Sozialversicherungsnummer", "SV-Nummer"), "svnr", telling=0),
    Identifier("is_kennitala", _is_kennitala, ("Kennitala", "kt."), "kennitala", telling=0),
    Identifier("lv_personal_code", _lv_personal_code, ("Personas kods", "personal code (LV)"), "personas_kods", telling=0),
    Identifier("hu_taj", _hu_taj, ("TAJ", "TAJ szám", "TAJ-szám"), "taj", telling=0),
    Identifier("jmbg", _jmbg, ("JMBG", "ЈМБГ", "EMŠO"), "jmbg", telling=0),
    Identifier("gr_amka", _gr_amka, ("ΑΜΚΑ", "AMKA"), "amka", telling=0),
    Identifier("nz_ird", _nz_ird, ("IRD number", "IRD"), "ird_number", telling=0),
)
