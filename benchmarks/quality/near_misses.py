"""What looks like sensitive data and is none. A family takes randomness and Faker, and gives one text."""

import base64
import datetime
import json
import string
from collections.abc import Callable
from random import Random

from faker import Faker

from quality import checksums
from quality.identifiers import IDENTIFIERS, WITHOUT_CHECKSUM, digits
from quality.secrets import BASE62, STANDARD, random_text

Family = Callable[[Random, Faker], str]

HEX = string.hexdigits[:16]


def hexadecimal(rng: Random, length: int) -> str:
    """Lower-case digits of base 16."""
    return random_text(rng, HEX, length)


def _moment(rng: Random) -> datetime.datetime:
    return datetime.datetime(2015, 1, 1) + datetime.timedelta(seconds=rng.randrange(380_000_000), microseconds=rng.randrange(10**6))


def _pick(rng: Random, *forms: str, **values: object) -> str:
    """One of the forms, filled in."""
    return rng.choice(forms).format(**values)


def _order(rng: Random, _: Faker) -> str:
    n, year = rng.randrange(10**4, 10**8), rng.randrange(2015, 2027)
    return _pick(
        rng,
        "ORD-{y}-{n:08d}",
        "#{n}",
        "PO-45{n:08d}",
        "SO{n}-3",
        "order no. {n}",
        "Bestellung {y}/{n}",
        "commande n° {n}",
        n=n,
        y=year,
    )


def _invoice(rng: Random, _: Faker) -> str:
    return _pick(
        rng,
        "INV-{y}/{n:04d}",
        "RE{y}{n:06d}",
        "Rechnung Nr. {y}-{n:05d}",
        "FAC {n:06d}",
        "invoice {n:010d}",
        y=rng.randrange(2015, 2027),
        n=rng.randrange(10**5),
    )


def _version(rng: Random, _: Faker) -> str:
    a, b, c, d = (rng.randrange(limit) for limit in (20, 30, 40, 7000))
    return _pick(
        rng, "v{a}.{b}.{c}", "{a}.{b}.{c}-rc.{b}", "openssl {a}.{b}.{c}-1~deb12u{b}", "10.0.{e}.{d}", "{a}.{b}.0-{c}-generic", "=={a}.{b}.{c}",
        "version {a}.{b}.{c}.{b}", "release {a}.{b}.{c}.{a}", "Firmware v{a}.{b}.{c}.{b}", a=a, b=b, c=c, d=d, e=rng.randrange(17000, 23000),
    )  # fmt: skip


def _timestamp(rng: Random, _: Faker) -> str:
    moment = _moment(rng)
    epoch = int(moment.timestamp())
    return rng.choice((
        moment.isoformat(), moment.isoformat() + "Z", f"{moment:%Y-%m-%d %H:%M:%S}+02", str(epoch), f"{epoch}{rng.randrange(1000):03d}",
        f"{epoch}{rng.randrange(10**6):06d}", f"{moment:%a, %d %b %Y %H:%M:%S} +0000", f"{moment:%Y%m%dT%H%M%SZ}", f"{moment:%Y%m%d%H%M%S}", f"{epoch}.{rng.randrange(10**6):06d}",
    ))  # fmt: skip


def _date(rng: Random, _: Faker) -> str:
    day, other = _moment(rng), _moment(rng)
    return rng.choice((
        f"due {day:%Y-%m-%d}", f"{day:%d.%m.%Y}", f"{day:%m/%d/%Y} - {other:%m/%d/%Y}", f"{day:%d-%m-%Y}", f"valid until {day:%d/%m/%Y}", f"{day:%Y-%m-%d}/{other:%Y-%m-%d}",
        f"Lieferung am {day:%d.%m.%Y}", f"{day.year}-{day.year + 4}", f"{day:%Y%m%d}", f"created_at: {day:%Y-%m-%d}", f"livré le {day:%d/%m/%Y}", f"{day:%Y-%m-%d}-{rng.randrange(10**4):04d}",
    ))  # fmt: skip


def _hash(rng: Random, _: Faker) -> str:
    return _pick(
        rng,
        "{h}",
        "md5:{h}",
        "sha256:{h}{h}",
        "{h}{s}",
        'ETag: "{h}"',
        "checksum {h}",
        h=hexadecimal(rng, 32),
        s=hexadecimal(rng, 8),
    )


def _unique_id(rng: Random, fake: Faker) -> str:
    return rng.choice((
        fake.uuid4(), fake.uuid4().upper(), fake.uuid4().replace("-", ""), random_text(rng, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26), hexadecimal(rng, 24), random_text(rng, BASE62, 21),
        f"urn:uuid:{fake.uuid4()}", str(rng.getrandbits(63)), f"{{{fake.uuid4()}}}", f"usr_{random_text(rng, BASE62, 16)}",
    ))  # fmt: skip


def _place(rng: Random, _: Faker) -> str:
    north, east = rng.uniform(-90, 90), rng.uniform(-180, 180)
    return rng.choice((
        f"{north:.4f}, {east:.4f}", f"POINT({east:.6f} {north:.6f})", f"{abs(north):.0f}°{rng.randrange(60)}′{rng.randrange(60)}″N", f'{{"lat": {north:.7f}, "lon": {east:.7f}}}',
        f"geo:{north:.5f},{east:.5f}", f"{abs(east):.0f} {rng.randrange(60)} {rng.uniform(0, 60):.3f}", f"{north:.8f} {east:.8f}",
    ))  # fmt: skip


def _trade_number(rng: Random, _: Faker) -> str:
    body = rng.choice(("978", "979", "400", "501", "301", "544", "590", "690"))
    ean = body + digits(rng, 9)
    ean += checksums.ean_digit(ean)
    ten = digits(rng, 9)
    last = -checksums.weighted(ten, range(10, 1, -1)) % 11
    upc = digits(rng, 11)
    return rng.choice((
        ean, f"EAN {ean}", f"ISBN {ean[:3]}-{ean[3]}-{ean[4:8]}-{ean[8:12]}-{ean[12]}", f"ISBN-10: {ten}{'X' if last == 10 else last}", upc + checksums.ean_digit(upc),
        f"GTIN {'1' + ean[:12] + checksums.ean_digit('1' + ean[:12])}", f"ean={ean}", f"B0{random_text(rng, string.ascii_uppercase + string.digits, 8)}",
    ))  # fmt: skip


def _tracking(rng: Random, _: Faker) -> str:
    item = digits(rng, 8)
    check = 11 - checksums.weighted(item, (8, 6, 4, 2, 3, 5, 9, 7)) % 11
    return rng.choice((
        f"1Z{random_text(rng, string.ascii_uppercase + string.digits, 16)}", digits(rng, 12), f"tracking {digits(rng, 15)}", f"9400{digits(rng, 18)}", f"JJD{digits(rng, 18)}",
        f"RR{item}{ {10: 0, 11: 5}.get(check, check)}DE", f"Sendungsnummer {digits(rng, 20)}", f"DHL {digits(rng, 10)}", f"AWB {digits(rng, 3)}-{digits(rng, 8)}",
    ))  # fmt: skip


def _colour(rng: Random, fake: Faker) -> str:
    return rng.choice(
        (
            fake.hex_color(),
            f"color: {fake.hex_color()};",
            f"rgb({rng.randrange(256)}, {rng.randrange(256)}, {rng.randrange(256)})",
            f"rgba({rng.randrange(256)},{rng.randrange(256)},0,.5)",
        )
    )


def _commit(rng: Random, fake: Faker) -> str:
    sha = hexadecimal(rng, 40)
    return rng.choice(
        (
            sha,
            sha[:7],
            f"commit {sha}",
            f"{sha[:7]} {fake.sentence()}",
            f"Merge {sha[:8]}..{sha[8:16]}",
            f"git+https://git.example.com/a/b.git@{sha}",
        )
    )


def _blob(rng: Random, _: Faker) -> str:
    data = base64.b64encode(rng.randbytes(rng.choice((24, 48, 90, 300)))).decode()
    return rng.choice(
        (data, f"data:image/png;base64,{data}", f"nonce={data[:22]}==", f'"payload": "{data}"', f'ETag: W/"{data[:27]}"')
    )


def _price(rng: Random, _: Faker) -> str:
    euro, cent = rng.randrange(1, 10**6), rng.randrange(100)
    return rng.choice(
        (
            f"${euro:,}.{cent:02d}",
            f"{euro:,}".replace(",", ".") + f",{cent:02d} €",
            f"USD {euro}.{cent:02d}",
            f"CHF {euro:,}".replace(",", "'") + f".{cent:02d}",
            f"{euro}.{cent:02d}",
            f"-{euro}.{cent}0 EUR",
            f"Rs. {euro:,}/-",
        )
    )


def _sku(rng: Random, _: Faker) -> str:
    letters = random_text(rng, string.ascii_uppercase, 2)
    tail = random_text(rng, string.ascii_uppercase + string.digits, rng.randrange(11, 24))
    return rng.choice(
        (
            f"{letters}{digits(rng, 2)}{tail}",
            f"DE{digits(rng, 20)}",
            f"GB{digits(rng, 2)} {tail[:4]} {tail[4:8]} {digits(rng, 4)}",
            f"{letters}-{digits(rng, 4)}-{tail[:4]}",
            f"SKU: {letters}{digits(rng, 6)}",
            f"FR{digits(rng, 2)} {digits(rng, 9)}",
        )
    )


def _log_line(rng: Random, fake: Faker) -> str:
    moment = _moment(rng)
    return rng.choice((
        f"{moment:%b %d %H:%M:%S} node{rng.randrange(9)} kubelet[{rng.randrange(10**5)}]: pod web-{hexadecimal(rng, 10)}-{random_text(rng, 'bcdfghjklmnpqrstvwxz2456789', 5)} started",
        f'{moment.isoformat()} INFO [main-{rng.randrange(99)}] request_id={fake.uuid4()} took {rng.randrange(9000)}ms',
        f"[{moment:%d/%b/%Y:%H:%M:%S} +0000] \"GET /orders/{rng.randrange(10**9)} HTTP/1.1\" 200 {rng.randrange(10**6)}",
        f"E{moment:%m%d %H:%M:%S.%f} {rng.randrange(10**6):7d} controller.go:{rng.randrange(999)}] retry in {rng.random():.6f}s",
        f"level=warn ts={moment.timestamp():.3f} span={hexadecimal(rng, 16)} trace={hexadecimal(rng, 32)} n={rng.randrange(10**10)}",
        f"Thread-{rng.randrange(99)} 0x{hexadecimal(rng, 16)} {rng.randrange(10**12)} bytes, {rng.random() * 100:.2f}%",
    ))  # fmt: skip


def _csv_line(rng: Random, fake: Faker) -> str:
    return ",".join(
        (
            str(rng.randrange(10**6)),
            f"{_moment(rng):%Y-%m-%d}",
            fake.word(),
            f"{rng.uniform(0, 10**5):.2f}",
            str(rng.randrange(10**9)),
            rng.choice(("true", "false")),
            hexadecimal(rng, 12),
        )
    )


def _document(rng: Random, fake: Faker) -> str:
    return json.dumps(
        {
            "id": rng.randrange(10**12),
            "ref": fake.uuid4(),
            "total": round(rng.uniform(0, 10**4), 2),
            "items": [rng.randrange(10**6) for _ in range(3)],
            "at": _moment(rng).isoformat(),
            "note": fake.sentence(),
        },
        ensure_ascii=False,
    )


def _statement(rng: Random, fake: Faker) -> str:
    return _pick(
        rng, "SELECT * FROM orders WHERE id = {n} AND created_at > '{d}'", "UPDATE stock SET amount = amount - {m} WHERE sku = '{s}'", "DELETE FROM {w} WHERE batch = {n}",
        "INSERT INTO logs (id, body) VALUES ({n}, '{w}')", "SELECT count(*) FROM {w} GROUP BY date_trunc('month', paid_at) LIMIT {m}", "SET statement_timeout = {m}",
        n=rng.randrange(10**9), m=rng.randrange(1000), d=f"{_moment(rng):%Y-%m-%d %H:%M:%S}", s=f"A{digits(rng, 7)}", w=fake.word(),
    )  # fmt: skip


def _octets(rng: Random, _: Faker) -> str:
    pairs = [hexadecimal(rng, 2) for _ in range(20)]
    return rng.choice(
        (
            ":".join(pairs[:16]),
            ":".join(pairs[:20]).upper(),
            ":".join(pairs[:5]),
            ":".join(pairs[:8]),
            " ".join(pairs),
            f"12:{rng.randrange(60):02d}:{rng.randrange(60):02d}:{rng.randrange(30):02d}",
            f"MD5:{':'.join(pairs[:16])}",
            "-".join(pairs[:8]),
        )
    )


def _code(rng: Random, fake: Faker) -> str:
    a, b = fake.word(), fake.word()
    return rng.choice(
        (
            f"std::{a}::{b}",
            f"use crate::{a}::{{{b}, Self}};",
            f"{a}::{b}::new(0)",
            f"@app.{a}('/{b}')",
            f"{a}@{rng.randrange(9)}.{rng.randrange(20)}.{rng.randrange(20)}",
            f"@types/{a}@18.{rng.randrange(20)}.0",
            f"fe::{b}()",
            f"{a} @ {b}",
            f"git clone {a}@localhost:{b}",
            f"x = {a}[{rng.randrange(99)}:{rng.randrange(99)}]",
        )
    )


def _address_of_page(rng: Random, fake: Faker) -> str:
    return rng.choice(
        (
            fake.url(),
            f"{fake.url()}orders/{rng.randrange(10**10)}?page={rng.randrange(99)}",
            f"https://example.com/{fake.uri_path()}#{hexadecimal(rng, 8)}",
            f"s3://bucket/{_moment(rng):%Y/%m/%d}/{hexadecimal(rng, 16)}.parquet",
            fake.image_url(),
        )
    )


def _file_name(rng: Random, fake: Faker) -> str:
    moment = _moment(rng)
    return rng.choice(
        (
            f"IMG_{moment:%Y%m%d_%H%M%S}.jpg",
            fake.file_name(),
            f"Screenshot {moment:%Y-%m-%d} at {moment:%H.%M.%S}.png",
            f"backup-{moment:%Y%m%d%H%M}.tar.gz",
            fake.file_path(depth=3),
            f"scan_{digits(rng, 10)}.pdf",
        )
    )


def _spoilt_card(rng: Random, fake: Faker) -> str:
    card = fake.credit_card_number()
    spoilt = card[:-1] + str((int(card[-1]) + rng.randrange(1, 10)) % 10)
    return rng.choice((spoilt, f"ref {spoilt}", " ".join(spoilt[at : at + 4] for at in range(0, len(spoilt), 4))))


def _spoilt_iban(rng: Random, fake: Faker) -> str:
    iban = fake.iban()
    return iban[:3] + str((int(iban[3]) + rng.randrange(1, 10)) % 10) + iban[4:]


def _never_an_ssn(rng: Random, _: Faker) -> str:
    return rng.choice(
        (
            f"000-{digits(rng, 2)}-{digits(rng, 4)}",
            f"666-{digits(rng, 2)}-{digits(rng, 4)}",
            f"{digits(rng, 3)}-00-{digits(rng, 4)}",
            f"9{digits(rng, 2)}-{rng.randrange(10, 50)}-{digits(rng, 4)}",
            f"{digits(rng, 3)}-{digits(rng, 2)}-{digits(rng, 3)}",
            f"AB{digits(rng, 3)}-{digits(rng, 2)}-{digits(rng, 4)}",
            f"{digits(rng, 3)}-{digits(rng, 2)}-{digits(rng, 5)}",
        )
    )


def _spoilt_identifier(rng: Random, _: Faker) -> str:
    """A number whose check digit is wrong, without a word beside it: it is none."""
    chosen = rng.choice([one for one in IDENTIFIERS if one.telling and one.kind not in WITHOUT_CHECKSUM | {"passport_mrz"}])
    text = chosen.make(rng)[0]
    last = text[-1]
    others = string.digits if last.isdigit() else string.ascii_uppercase
    return text[:-1] + rng.choice(others.replace(last, ""))


def _number(rng: Random, _: Faker) -> str:
    return rng.choice(
        (
            digits(rng, rng.randrange(5, 20), "123456789"),
            str(rng.randrange(1, 10**7)),
            f"{rng.randrange(10**9):,}",
            f"{rng.random() * 10 ** rng.randrange(1, 9):.{rng.randrange(2, 12)}f}",
            f"{rng.random():.6e}",
            f"-{rng.randrange(10**10)}",
        )
    )


def _code_of_things(rng: Random, fake: Faker) -> str:
    return rng.choice(
        (
            fake.license_plate(),
            f"LH{rng.randrange(100, 9999)}",
            fake.postcode(),
            f"{random_text(rng, string.ascii_uppercase, 6)}",
            f"ICD-10 {rng.choice(string.ascii_uppercase)}{digits(rng, 2)}.{digits(rng, 1)}",
            f"CAS {rng.randrange(50, 99999)}-{digits(rng, 2)}-{digits(rng, 1)}",
            fake.vin(),
            f"BIC {random_text(rng, string.ascii_uppercase, 4)}DEFF",
            fake.doi(),
            f"arXiv:{digits(rng, 4)}.{digits(rng, 5)}",
        )
    )


def _sentence_with_numbers(rng: Random, _: Faker) -> str:
    return _pick(
        rng, "Room {a}, case no. {y}-{n:05d}", "ticket INC{n:07d} was closed", "see part no. {b}-{c}-{n:05d} on page {a}", "call it {a} times in {b} minutes", "Die Sitzung {y}/{a} beginnt um {h}:30 Uhr",
        "La référence {n} remplace {m}", "El expediente {y}-{n:06d} sigue abierto", "telephone exchanges built {y}-{z}", "Tel Aviv {y}", "score {a}-{b}, {b}-{a}", "model number {b} {c} {a}{b}", "we sold {n} units, {m} more than in {y}",
        "card game of {a} rounds", "passport photos, {b} copies", "account manager {a} of {b}", "Seriennummer {n:09d}", "serial {n:010d}", "phone case {y}-{a}-{n:04d}", "The SIN wave has {a} samples", "batch {n:09d} of {y}", "Tax for {y}: {n}",
        a=rng.randrange(1, 99), b=rng.randrange(100, 999), c=rng.randrange(10, 99), y=rng.randrange(1990, 2010), z=rng.randrange(2010, 2027), n=rng.randrange(10**5), m=rng.randrange(10**6), h=rng.randrange(8, 20),
    )  # fmt: skip


def _prose(_: Random, fake: Faker) -> str:
    return str(fake.paragraph(nb_sentences=2))


def _work(_: Random, fake: Faker) -> str:
    return f"{fake.company()}, {fake.job()}"


def _agent(_: Random, fake: Faker) -> str:
    return str(fake.user_agent())


def _setting(rng: Random, fake: Faker) -> str:
    return _pick(
        rng, "password: null", "PASSWORD=${{DB_PASSWORD}}", "password = os.environ['DB_PASSWORD']", "api_key: <your-api-key>", "secret: ********", "token: {{{{ vault.token }}}}", "MAX_TOKENS={n}", "password_min_length={m}",
        "secretName: {w}-tls", "tokenizer: {w}", "PWD=/home/{w}/src", "key: {w}", "api_key_file: /run/secrets/{w}", "password_reset_url: https://example.com/reset", "max_password_age = {n}", "next_page_token: null", "auth: token required", "csrf_token = ''",
        n=rng.randrange(10**5), m=rng.randrange(20), w=fake.word(),
    )  # fmt: skip


def _almost_an_address(rng: Random, _: Faker) -> str:
    return rng.choice(
        (
            f"1{random_text(rng, checksums.BASE58, 33)}",
            f"0x{hexadecimal(rng, 64)}",
            f"0x{hexadecimal(rng, 12)}",
            f"bc1q{random_text(rng, checksums.BECH32, 38)}",
            f"0x{hexadecimal(rng, 40)[:39]}",
            f"ipfs://Qm{random_text(rng, checksums.BASE58, 44)}",
        )
    )


def _public_key(rng: Random, _: Faker) -> str:
    data = base64.encodebytes(rng.randbytes(150)).decode()
    return rng.choice(
        (
            f"-----BEGIN CERTIFICATE-----\n{data}-----END CERTIFICATE-----",
            f"-----BEGIN PUBLIC KEY-----\n{data}-----END PUBLIC KEY-----",
            f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{random_text(rng, STANDARD, 43)} build",
            f"pk_live_{random_text(rng, BASE62, 24)}",
            f"SHA256:{random_text(rng, STANDARD, 43)}",
        )
    )


def _harmless_reference(rng: Random, fake: Faker) -> str:
    return rng.choice(
        (
            f"cus_{random_text(rng, BASE62, 14)}",
            f"price_{random_text(rng, BASE62, 24)}",
            f"C{random_text(rng, string.ascii_uppercase + string.digits, 10)}",
            f"arn:aws:s3:::{fake.word()}-{digits(rng, 6)}",
            f"i-{hexadecimal(rng, 17)}",
            f"ami-{hexadecimal(rng, 8)}",
            base64.b64encode(json.dumps({"page": rng.randrange(99), "after": rng.randrange(10**6)}).encode()).decode(),
            f"sk-{fake.word()}-{fake.word()}",
        )
    )


def _no_password_in_it(rng: Random, fake: Faker) -> str:
    return _pick(
        rng,
        "postgres://localhost:5432/{w}",
        "redis://cache:6379/{n}",
        "jdbc:postgresql://db.internal/{w}",
        "mongodb://db{n}.internal:27017/{w}",
        "Server=db;Database={w};Integrated Security=true",
        "amqp://queue:5672/{w}",
        "postgresql://app@db/{w}",
        w=fake.word(),
        n=rng.randrange(9),
    )


def _words_of_secrets(rng: Random, _: Faker) -> str:
    return rng.choice((
        "Basic authentication is required.", "the bearer of this letter", "Bearer token missing", "WWW-Authenticate: Basic realm=\"shop\"", "Please enter your SSN and date of birth.", "phone: n/a", "email: none", "IBAN fehlt",
        "The passport number is printed on page two.", "password must have 12 characters", "Your card was declined.", "Aadhaar is not accepted here.", "Date of birth: unknown", "Address: see above", "CPF não informado", "Tel.: auf Anfrage", "geboren in Wien",
        "SSN: ***-**-****", "card ending in 4242", "Authorization: none", "IP address unknown", "Routing number pending", "token expired", "secret santa list", "bring your ID card", "driver's license required",
    ))  # fmt: skip


def _vat(rng: Random, _: Faker) -> str:
    body = digits(rng, 8, "123456789")
    return rng.choice(
        (
            f"USt-IdNr. DE{body}{checksums.mod_11_10_digit(body)}",
            f"VAT NL{digits(rng, 9)}B{digits(rng, 2)}",
            f"TVA FR{digits(rng, 2)}{digits(rng, 9)}",
            f"EIN {digits(rng, 2)}-{digits(rng, 7)}",
            f"HRB {digits(rng, 5)}",
        )
    )


def _measure(rng: Random, _: Faker) -> str:
    return _pick(
        rng,
        "{a}x{b}",
        "{a} x {b} x {c} mm",
        "{n:,} rows in {c}.{a} s",
        "{a}/{b}",
        "{c}%",
        "{a}:{b}",
        "{a}.{b}.{c}",
        "p99={a}.{b}ms",
        "1e-{c}",
        "{a}-{b}-{c}",
        a=rng.randrange(1, 4000),
        b=rng.randrange(1, 3000),
        c=rng.randrange(1, 99),
        n=rng.randrange(10**8),
    )


def _mention(rng: Random, fake: Faker) -> str:
    return rng.choice(
        (
            f"@{fake.user_name()}",
            "user@localhost",
            f"#{fake.word()}",
            f"{fake.user_name()} at example dot com",
            f"cc @{fake.user_name()} re #{rng.randrange(9999)}",
            f"{fake.first_name()} <no mail>",
        )
    )


FAMILIES: dict[str, Family] = {
    "order numbers": _order, "invoices": _invoice, "versions": _version, "timestamps": _timestamp, "dates": _date, "hashes": _hash, "UUIDs and other ids": _unique_id,
    "coordinates": _place, "ISBN, EAN, UPC": _trade_number, "tracking numbers": _tracking, "colours": _colour, "git": _commit, "base64": _blob, "prices": _price, "SKUs": _sku,
    "log lines": _log_line, "CSV lines": _csv_line, "JSON": _document, "SQL": _statement, "octets in hex": _octets, "code": _code, "URLs": _address_of_page, "file names": _file_name,
    "cards with a wrong digit": _spoilt_card, "IBANs with a wrong digit": _spoilt_iban, "never an SSN": _never_an_ssn, "ids with a wrong digit": _spoilt_identifier, "numbers": _number,
    "plates, VINs, codes": _code_of_things, "sentences with numbers": _sentence_with_numbers, "prose": _prose, "companies and jobs": _work, "user agents": _agent, "settings": _setting,
    "almost an address": _almost_an_address, "public keys": _public_key, "references": _harmless_reference, "no password in it": _no_password_in_it, "words without a value": _words_of_secrets,
    "VAT and register numbers": _vat, "measures": _measure, "mentions": _mention,
}  # fmt: skip
