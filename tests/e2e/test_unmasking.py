"""Who may see what is masked for others: the exempt, and for one query whoever a reviewer lets (I5)."""

import threading

import psycopg
import pytest

SECRETS = ("123-45-6717", "c7@example.com", "4242 4242 4242 4242")
QUERY = "SELECT ssn, email, note FROM customers WHERE id = 7"
ASKED = "SELECT ssn, email, note /* countersign: unmask */ FROM customers WHERE id = 7"
POLICY = """
rules:
  - {name: anything, effects: [read, session, write, ddl], action: allow}
masking:
  - {name: ssn, columns: [public.customers.ssn], exempt: {groups: [dba]}}
  - {name: content, detect: [email, payment_card], exempt: {names: [dana]}}
"""


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(policy=POLICY)


@pytest.fixture
def dana(gateway):
    key = gateway.cli("keys", "create", "dana", "--groups", "dba").stdout.strip()
    with psycopg.connect(gateway.uri(key=key, user="dana"), autocommit=True) as connection:
        yield connection


def no_secret_is_kept(gateway):
    gateway.stop()
    kept = gateway.everything_kept()
    return not [secret for secret in SECRETS if secret in kept]


@pytest.mark.parametrize("prepare", [False, True])
def test_i5_the_exempt_see_what_is_masked_and_nothing_of_it_is_kept(gateway, dana, prepare):
    with gateway.connect() as crew:
        for _ in range(4):  # the shape is known from the second time on
            assert dana.execute(QUERY, prepare=prepare).fetchone() == ("123-45-6717", "c7@example.com", "card 4242 4242 4242 4242")
            assert crew.execute(QUERY, prepare=prepare).fetchone() == ("[redacted]", "[redacted]", "card [redacted]")
    assert no_secret_is_kept(gateway)


def test_i5_the_words_of_the_server_to_the_exempt_are_not_kept(gateway, dana, eventually):
    told = []
    dana.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
    with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="123-45-6717"):
        dana.execute("SELECT ssn::int FROM customers WHERE id = 7")
    with pytest.raises(psycopg.errors.UniqueViolation, match="c8@example.com"):
        dana.execute("UPDATE customers SET email = 'c8@' || 'example.com' WHERE id = 7")
    (session,) = gateway.json("sessions", "list")
    replayed = eventually(
        lambda: "23505" in (told := gateway.cli("replay", session["id"], ok=False).stdout) and told, "the recording"
    )
    assert "22P02" in replayed and "123-45" not in replayed
    gateway.stop()
    kept = gateway.everything_kept()
    assert "123-45-6717" not in kept and "c8@example.com" not in kept


def test_exempt_from_one_rule_is_not_exempt_from_another(gateway):
    key = gateway.cli("keys", "create", "erin", "--groups", "dba").stdout.strip()
    with psycopg.connect(gateway.uri(key=key, user="erin")) as erin:
        assert erin.execute(QUERY).fetchone() == ("123-45-6717", "[redacted]", "card [redacted]")
        assert erin.execute("SELECT reverse(reverse(ssn)) FROM customers WHERE id = 7").fetchone() == ("123-45-6717",)


@pytest.mark.parametrize("prepare", [False, True])
def test_real_values_of_one_query_are_shown_when_a_reviewer_lets_them(gateway, prepare):
    """The comment asks; the rule that allows everything does not answer it."""
    rows = []
    with gateway.connect() as crew:
        asking = threading.Thread(target=lambda: rows.extend(crew.execute(ASKED, prepare=prepare).fetchall()))
        asking.start()
        review = gateway.pending()
        shown = gateway.review(review["id"])
        assert shown["rule"] == "built-in: unmasking"
        assert shown["command"]["statements"][0]["summary"].startswith("shows the real values of what is masked: ")
        gateway.cli("reviews", "approve", review["id"])
        asking.join(20)
        assert rows == [("123-45-6717", "c7@example.com", "card 4242 4242 4242 4242")]
        assert crew.execute(QUERY, prepare=prepare).fetchone() == ("[redacted]", "[redacted]", "card [redacted]")
    assert no_secret_is_kept(gateway)


def test_i5_denied_real_values_are_not_shown(gateway, in_background):
    with gateway.connect() as crew:
        asking = in_background(crew, ASKED)
        gateway.cli("reviews", "deny", gateway.pending()["id"], "--reason", "no need")
        assert isinstance(asking.join().error, psycopg.errors.InsufficientPrivilege)
    assert no_secret_is_kept(gateway)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT ssn FROM customers /* countersign: unmask */) TO STDOUT",
        "SELECT 1; SELECT ssn FROM customers /*COUNTERSIGN:UNMASK*/",
        "SELECT '/* countersign: unmask */', ssn FROM customers",
        "DECLARE c CURSOR WITH HOLD FOR SELECT ssn /* countersign: unmask */ FROM customers",
    ],
)
def test_every_spelling_of_the_request_is_held(gateway, in_background, sql):
    with gateway.connect() as crew:
        asking = in_background(crew, sql)
        gateway.cli("reviews", "deny", gateway.pending()["id"], "--reason", "no")
        assert asking.join().error is not None


def test_i5_a_cursor_that_was_asked_for_gives_masked_rows(gateway, in_background):
    """What was approved is the DECLARE; each FETCH is a command of its own."""
    with gateway.connect() as crew:
        asking = in_background(
            crew, "DECLARE c CURSOR WITH HOLD FOR SELECT ssn /* countersign: unmask */ FROM customers WHERE id = 7"
        )
        gateway.cli("reviews", "approve", gateway.pending()["id"])
        assert asking.join().error is None
        assert crew.execute("FETCH c").fetchone() == ("[redacted]",)
        crew.execute("PREPARE p AS SELECT ssn FROM customers WHERE id = 7")
        assert crew.execute("EXECUTE p").fetchone() == ("[redacted]",)


def test_a_rule_can_forbid_real_values(make_gateway):
    policy = POLICY.replace("rules:", 'rules:\n  - {name: never, when: command.asks_unmasked, action: deny, message: "not here"}')
    with make_gateway(policy=policy).connect() as crew, pytest.raises(psycopg.errors.InsufficientPrivilege, match="not here"):
        crew.execute(ASKED)
