import random
import re

import psycopg
import pytest

from countersign.demo.database import DemoDatabase
from countersign.demo.shop import CUSTOMERS, DESTRUCTIVE_SQL, ORDERS, cancelled_orders, card_number, create_shop, secrets_of


@pytest.fixture(scope="module")
def uri():
    with DemoDatabase() as database:
        create_shop(database.uri)
        yield database.uri


def passes_luhn(number):
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def test_card_numbers_are_plausible_and_the_same_every_time():
    numbers = [card_number(random.Random(seed)) for seed in range(50)]
    assert all(len(number) == 16 and number.startswith(("424242", "555555")) and passes_luhn(number) for number in numbers)
    assert numbers == [card_number(random.Random(seed)) for seed in range(50)]


def test_the_shop_has_what_the_story_needs(uri):
    with psycopg.connect(uri) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (CUSTOMERS,)
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (ORDERS,)
        for (ssn,) in connection.execute("SELECT ssn FROM customers"):
            assert re.fullmatch(r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}", ssn)


def test_the_first_page_of_customers_holds_every_kind_of_secret_in_free_text(uri):
    with psycopg.connect(uri) as connection:
        rows = connection.execute("SELECT notes, email, phone, card_number, ssn FROM customers ORDER BY id LIMIT 8").fetchall()
    for kind in range(1, 5):
        assert any(row[kind] in row[0] for row in rows)
        assert all(row[kind] in secrets_of(uri) for row in rows)


def test_the_destructive_statement_is_visible_in_the_count(uri):
    assert cancelled_orders(uri) > 0
    with psycopg.connect(uri) as connection:
        connection.execute(DESTRUCTIVE_SQL)
        left = connection.execute("SELECT count(*) FROM orders WHERE status = 'cancelled'").fetchone()
        connection.rollback()
    assert left == (0,)
