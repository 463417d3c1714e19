import pytest

from countersign.masking.names import Form, hint_of, looks_like


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("email", "email"),
        ("customer_email", "email"),
        ("EmailAddress", "email"),
        ("e_mail", "email"),
        ("shippingAddress", "address"),
        ("street", "address"),
        ("client_ip", "ip_address"),
        ("ip_address", "ip_address"),
        ("IPAddress", "ip_address"),
        ("ssn", "us_ssn"),
        ("SSN", "us_ssn"),
        ("customerSSN", "us_ssn"),
        ("iban", "iban"),
        ("creditCardNumber", "payment_card"),
        ("phone_number", "phone"),
        ("mobile2", "phone"),
        ("password_hash", "password"),
        ("pwd", "password"),
        ("api_key", "secret"),
        ("stripeSecretKey", "secret"),
        ("dob", "date_of_birth"),
        ("DateOfBirth", "date_of_birth"),
        ("zip_code", "postcode"),
        ("last_name", "person_name"),
        ("passport_number", "national_id"),
    ],
)
def test_names_that_tell(name, kind):
    assert hint_of(name, Form.TEXT).kind == kind


@pytest.mark.parametrize(
    "name",
    ["id", "name", "note", "email_verified", "email_id", "emailCount", "address_id", "mac_address", "token_count", "is_secret", "phone_type",
     "tokenized", "expansion", "compass", "zipper", "description", "ip_count", "password_updated_at", "", "__", "日本"],
)  # fmt: skip
def test_names_that_do_not(name):
    assert hint_of(name, Form.TEXT) is None


def test_a_form_that_cannot_hold_it_is_no_hint():
    assert hint_of("email", Form.NUMBER) is None
    assert hint_of("dob", Form.DATE).kind == "date_of_birth"
    assert hint_of("address", Form.BYTES) is None


@pytest.mark.parametrize(
    ("name", "values", "others"),
    [
        ("email", ["a@b"], ["none", "daily", "a b@c"]),
        ("ssn", ["123456789", "123-45-6789"], ["n/a", "12345", "1234567890"]),
        ("phone", ["+49 (0)30 901820", "4155552671"], ["mobile", "12", "1234567890123456"]),
        ("ip", ["10.0.0.1", "::1", "fe80::1/64"], ["version 1", "1.2"]),
        ("dob", ["1990-01-31", "31.1.90", "1/2/2003 10:00"], ["unknown", "42"]),
        ("token", ["f3c9a0b1d2e4f5a6"], ["USD", "a token that is prose"]),
        ("password", ["$2b$12$abc"], ["x" * 600]),
        ("street", ["10 Downing Street"], ["east", "10"]),
        ("surname", ["Müller", "O'Neil"], ["42", "x9"]),
        ("zip", ["10115", "SW1A 1AA"], ["zip", "none"]),
    ],
)
def test_values_look_the_part_or_do_not(name, values, others):
    hint = hint_of(name, Form.TEXT)
    assert [value for value in values if not looks_like(hint, value)] == []
    assert [value for value in others if looks_like(hint, value)] == []
