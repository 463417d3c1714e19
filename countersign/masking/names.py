"""What the name of a column lets one expect. A name alone proves nothing: values that were seen must look the part."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """How a column holds its values, as far as that matters here."""

    TEXT = "text"
    JSON = "json"
    NUMBER = "number"
    DATE = "date"
    NETWORK = "network"
    BYTES = "bytes"
    UUID = "uuid"


@dataclass(frozen=True, slots=True)
class Hint:
    """A kind of sensitive data, the names it goes by, the forms it comes in, and what a value of it looks like."""

    kind: str
    names: frozenset[str]
    forms: frozenset[Form]
    looks: re.Pattern[str]


def _hint(kind: str, names: str, looks: str, *forms: Form) -> Hint:
    return Hint(kind, frozenset(names.split()), frozenset(forms or {Form.TEXT}), re.compile(looks, re.DOTALL))


HINTS = (
    _hint("email", "email e_mail mail_address email_address emailaddress mail", r"[^@\s]+@[^@\s]+"),
    _hint(
        "ip_address", "ip ip_address ipaddress ip_addr ipaddr remote_addr", r"\d{1,3}(\.\d{1,3}){3}(/\d+)?|[\da-fA-F.]*:[\da-fA-F:./]+",
        Form.TEXT, Form.NETWORK,
    ),
    _hint(
        "us_ssn", "ssn social_security social_security_number socialsecurity social_security_no", r"\d{9}|\d{3}[- ]\d{2}[- ]\d{4}",
        Form.TEXT, Form.NUMBER,
    ),
    _hint("iban", "iban iban_number", r"[A-Za-z]{2}\d{2}[A-Za-z0-9 ]{8,40}"),
    _hint(
        "payment_card", "card_number cardnumber card_no credit_card creditcard cc_number ccnumber pan", r"\d[\d -]{10,22}\d",
        Form.TEXT, Form.NUMBER,
    ),
    _hint("card_code", "cvv cvv2 cvc cvc2 card_security_code", r"\d{3,4}", Form.TEXT, Form.NUMBER),
    _hint(
        "phone", "phone phone_number phonenumber phone_no telephone mobile mobile_number cellphone cell_phone tel fax fax_number msisdn",
        r"(?=(\D*\d){7,15}\D*$)[+\d ().x/-]+", Form.TEXT, Form.NUMBER,
    ),
    _hint(
        "national_id", "national_id nationalid national_insurance_number nino tax_id taxid tax_number personal_number personnummer passport "
        "passport_number passport_no driving_licence driving_license driver_license drivers_license nhs_number cpf curp pesel bsn aadhaar "
        "codice_fiscale steuer_id steuernummer dni nie", r"(?=(.*\d){4})[A-Za-z0-9 ./-]{6,24}", Form.TEXT, Form.NUMBER,
    ),
    _hint("password", "password passwd pwd passphrase passcode password_hash passwordhash", r".{4,}", Form.TEXT, Form.BYTES),
    _hint(
        "secret", "secret token api_key apikey access_key secret_key private_key client_secret access_token refresh_token auth_token "
        "session_token bearer credential credentials otp_secret totp_secret", r"\S{12,}|-----BEGIN.*", Form.TEXT, Form.BYTES, Form.UUID,
    ),
    _hint(
        "date_of_birth", "dob date_of_birth dateofbirth birth_date birthdate birthday born_on", r"\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}.*",
        Form.TEXT, Form.DATE,
    ),
    _hint("postcode", "postcode post_code postal_code postalcode zip zip_code zipcode plz", r"(?=.*\d)[A-Za-z0-9 -]{3,10}", Form.TEXT, Form.NUMBER),
    _hint("address", "address street street_address streetaddress addr address_line address1 address2", r"(?=.*[^\W\d_]{2})(?=.*\s).{6,200}"),
    _hint(
        "person_name", "first_name firstname last_name lastname surname given_name givenname family_name familyname full_name fullname "
        "middle_name maiden_name forename", r"[^\W\d_][^\d]{0,80}",
    ),
)  # fmt: skip
"""The first that fits counts: ``email_address`` and ``ip_address`` are no places."""

OTHERWISE = frozenset(
    "count counts number_of type kind verified valid enabled sent status flag is has opt optin template subject length size format policy "
    "required attempts expires expiry expired updated created changed at id ids url uri limit total price name_type confirmed usage scope "
    "mac web wallet memory issuer bounce bounced version".split()
)
"""Words beside the name of a thing that make it something about that thing: ``email_verified``, ``token_count``, ``address_id``."""

WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
LONGEST_LOOK = 512


def hint_of(name: str, form: Form) -> Hint | None:
    """What a column of this name and form is expected to hold; None for nothing that is known."""
    words = [word.lower() for word in WORDS.findall(name)]
    for hint in HINTS:
        if form not in hint.forms:
            continue
        for first in range(len(words)):
            for behind in range(len(words), first, -1):
                if "_".join(words[first:behind]) in hint.names or "".join(words[first:behind]) in hint.names:
                    return None if OTHERWISE.intersection(words[:first] + words[behind:]) else hint
    return None


def looks_like(hint: Hint, value: str) -> bool:
    """Whether a value has the form that the hint expects; what is too long for any of them has not."""
    return len(value) <= LONGEST_LOOK and hint.looks.fullmatch(value.strip()) is not None
