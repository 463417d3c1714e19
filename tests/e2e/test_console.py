"""The console in real Chromium, against a real gateway."""

import shutil
import signal

import psycopg
import pytest
from playwright.sync_api import Page, expect, sync_playwright

EVIL = "DELETE FROM orders /* \u202e approved by DBA \u200b */ WHERE id = %s"


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, gateway):
    context = browser.new_context()
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security Policy" in line.text else None)
    page.goto(gateway.cli("login").stdout.strip())
    expect(page.get_by_test_id("connection")).to_have_text("live")
    yield page
    context.close()
    assert problems == []


def test_a_held_command_appears_and_is_approved(page: Page, gateway, direct, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = %s", (60,))
        review = gateway.pending()
        page.get_by_test_id(f"review-row-{review['id']}").click()
        expect(page.get_by_test_id("command-text")).to_contain_text("DELETE FROM orders WHERE id = $1")
        page.get_by_test_id("approve").click()
        page.get_by_test_id("approve-confirm").click()
        assert held.join().rows == 1
        expect(page.get_by_test_id("review-state")).to_have_text("executed")
    assert gateway.review(review["id"])["decisions"][0]["authentication"] == "console_link"


def test_a_denial_needs_a_reason_which_reaches_the_client(page: Page, gateway, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, "DROP TABLE orders")
        page.get_by_test_id(f"review-row-{gateway.pending()['id']}").click()
        page.get_by_test_id("deny").click()
        expect(page.get_by_test_id("deny-confirm")).to_be_disabled()
        page.get_by_test_id("deny-reason").fill("not on a Friday")
        page.get_by_test_id("deny-confirm").click()
        error = held.join().error
        assert isinstance(error, psycopg.errors.InsufficientPrivilege)
        assert "not on a Friday" in error.diag.message_primary


def test_a_reviewer_sees_what_a_command_would_touch_and_counts_it(page: Page, gateway, direct, in_background):
    direct.execute("INSERT INTO orders VALUES (971, 'open'), (972, 'open'), (973, 'open')")
    direct.execute("ANALYZE orders")
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id IN (971, 972, 973)")
        review = gateway.pending()
        page.get_by_test_id(f"review-row-{review['id']}").click()
        radius = page.get_by_test_id("blast-radius")
        expect(radius).to_contain_text("DELETE: about 3 rows")
        expect(radius).to_contain_text("Delete on orders")
        radius.get_by_test_id("dry-run").click()
        expect(radius).to_contain_text("DELETE: exactly 3 rows")
        expect(radius.get_by_test_id("sample").get_by_role("row")).to_have_count(4)
        expect(radius.get_by_test_id("sample")).to_contain_text("before971open")
        assert direct.execute("SELECT count(*) FROM orders WHERE id > 970").fetchone() == (3,)
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()
    direct.execute("DELETE FROM orders WHERE id > 970")


def test_i10_hidden_characters_are_shown_as_marks_and_warned_of(page: Page, gateway, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, EVIL, (61,))
        review = gateway.pending()
        page.get_by_test_id(f"review-row-{review['id']}").click()
        text = page.get_by_test_id("command-text")
        expect(text.locator("mark").first).to_contain_text("U+202E")
        assert "\u202e" not in text.inner_text()
        expect(page.get_by_role("alert").first).to_contain_text("invisible characters")
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()


def test_i10_a_long_command_must_be_read_to_its_end_before_it_is_approved(page: Page, gateway, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id IN (" + ",\n".join(map(str, range(500, 900))) + ")")
        review = gateway.pending()
        page.get_by_test_id(f"review-row-{review['id']}").click()
        expect(page.get_by_test_id("approve")).to_be_disabled()
        page.get_by_test_id("command-text").evaluate("box => box.scrollTo(0, box.scrollHeight)")
        expect(page.get_by_test_id("approve")).to_be_enabled()
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
        held.join()


def test_a_recording_is_played_with_what_was_held_and_what_is_masked(page: Page, gateway, in_background):
    with gateway.connect() as connection:
        connection.execute("SELECT ssn, 'shown in the player' FROM customers WHERE id = 7")
        held = in_background(connection, "DELETE FROM orders WHERE id = 80 /* in the player */")
        review = gateway.pending()
        gateway.cli("reviews", "deny", review["id"], "--reason", "not played")
        held.join()
        session = review["session_id"]
        page.get_by_role("link", name="Sessions").click()
        page.get_by_test_id(f"session-row-{session}").click()
        replay = page.get_by_test_id("replay")
        expect(replay).to_contain_text("DELETE FROM orders WHERE id = 80", timeout=15_000)
        expect(replay).to_contain_text("***-**-6717")
        expect(replay.locator("th.masked").first).to_have_text("ssn")
        expect(replay).to_contain_text("not played")
        connection.execute("SELECT 'while it is watched'")
        expect(replay).to_contain_text("while it is watched", timeout=15_000)
    expect(replay).to_contain_text("closed", timeout=15_000)
    page.get_by_test_id("seek").fill("0")
    expect(replay).not_to_contain_text("DELETE FROM orders")
    page.get_by_label("search").fill("while it is")
    page.get_by_test_id("seek").press("End")
    expect(replay.locator("li")).to_have_count(2)
    page.get_by_role("link", name="all sessions").click()
    page.get_by_label("filter sessions").fill("no such session")
    expect(page.get_by_text("There is no such session")).to_be_visible()


def test_a_sign_in_link_works_once(browser, gateway):
    link = gateway.cli("login").stdout.strip()
    first, second = browser.new_context(), browser.new_context()
    page = first.new_page()
    page.goto(link)
    expect(page.get_by_test_id("connection")).to_have_text("live")
    assert "token" not in page.url
    again = second.new_page()
    again.goto(link)
    expect(again.get_by_text("used or has expired")).to_be_visible()
    first.close()
    second.close()


def test_i8_the_console_says_that_nothing_is_let_through_and_why(page: Page, gateway, eventually):
    store = gateway.folder / "countersign.db"
    expect(page.get_by_test_id("connection")).to_have_text("live")
    store.rename(store.with_name("moved.db"))
    try:
        gateway.cli("keys", "create", "other", ok=False)  # whoever writes finds out
        expect(page.get_by_test_id("trouble")).to_contain_text("the audit log cannot be written now", timeout=30_000)
    finally:
        store.with_name("moved.db").rename(store)
    eventually(lambda: gateway.cli("keys", "create", "other", ok=False).returncode == 0, "the store is written again")
    expect(page.get_by_test_id("trouble")).to_have_count(0, timeout=30_000)


def test_the_console_says_that_changed_policies_are_not_in_force(page: Page, gateway):
    file = gateway.folder / "policy.yaml"
    before = file.read_text()
    try:
        file.write_text("rules: [{name: broken, when: 'nothing(', action: allow}]\n")
        gateway.process.send_signal(signal.SIGHUP)
        expect(page.get_by_test_id("policy-problem")).to_contain_text("policy.yaml:1", timeout=30_000)
    finally:
        file.write_text(before)
        gateway.process.send_signal(signal.SIGHUP)
    expect(page.get_by_test_id("policy-problem")).to_have_count(0, timeout=30_000)


def test_alike_reviews_are_one_line_of_the_inbox(page: Page, gateway, in_background, eventually):
    sql = "UPDATE orders SET status = 'alike' WHERE id = {}"
    connections = [gateway.connect() for _ in range(3)]
    held = [in_background(connection, sql.format(number)) for number, connection in enumerate(connections)]
    reviews = eventually(lambda: len(found := gateway.json("reviews", "list")) == 3 and found, "three reviews")
    first = page.locator("main > .inbox > li")
    expect(first).to_have_count(1)
    expect(first).to_contain_text("and 2 alike, each to be decided by itself")
    for review in reviews:
        gateway.cli("reviews", "deny", review["id"], "--reason", "no")
    for one, connection in zip(held, connections, strict=True):
        one.join()
        connection.close()


def test_an_approval_is_bounded_by_the_rows_that_a_dry_run_counted(page: Page, gateway, in_background, direct):
    with gateway.connect() as connection:
        held = in_background(connection, "UPDATE orders SET status = 'bounded' WHERE id IN (41, 42)")
        page.get_by_test_id(f"review-row-{gateway.pending()['id']}").click()
        page.get_by_test_id("dry-run").click()
        expect(page.get_by_text("exactly")).to_be_visible(timeout=15_000)
        page.get_by_test_id("approve").click()
        page.get_by_role("button", name="as counted").click()
        expect(page.get_by_test_id("at-most-rows")).to_have_value("2")
        page.get_by_test_id("at-most-rows").fill("1")
        page.get_by_test_id("approve-confirm").click()
        assert "it changed 2 rows, and was approved for at most 1" in str(held.join().error)
    assert direct.execute("SELECT count(*) FROM orders WHERE status = 'bounded'").fetchone() == (0,)


def test_an_approval_grants_its_shape_and_the_grant_is_revoked(page: Page, gateway, in_background):
    sql = "UPDATE orders SET status = 'granted' WHERE id = {}"
    with gateway.connect() as connection:
        held = in_background(connection, sql.format(90))
        review = gateway.pending()
        page.get_by_test_id(f"review-row-{review['id']}").click()
        expect(page.get_by_test_id("steps")).to_contain_text("0 of 1, by any administrator or reviewer")
        page.get_by_test_id("approve").click()
        page.get_by_test_id("grant").check()
        page.get_by_test_id("grant-literal-2").fill("90..99")
        page.get_by_test_id("approve-confirm").click()
        assert held.join().rows == 1
        expect(page.get_by_test_id("review-state")).to_have_text("executed")
        assert connection.execute(sql.format(99)).rowcount == 1
        page.get_by_role("link", name="Grants").click()
        expect(page.get_by_text("used 1 of 10")).to_be_visible()
        expect(page.get_by_text("a whole number from 90 to 99")).to_be_visible()
        page.get_by_role("button", name="Revoke").click()
        expect(page.get_by_text("used 1 of 10")).not_to_be_visible()
        held = in_background(connection, sql.format(99))
        gateway.cli("reviews", "deny", gateway.pending()["id"], "--reason", "revoked")
        assert held.join().error is not None
