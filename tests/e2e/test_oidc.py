"""People sign in with a real OpenID Connect provider, in a real browser."""

import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

CLIENTS = Path(__file__).parent / "clients" / "node"
SECRET = "a secret/of + the client"
POLICY = "rules:\n  - {name: writes, effects: [write], action: review, review: {reviewers: {groups: [dba]}}}\n"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENTS / "node_modules" / "oidc-provider").is_dir(),
    reason="node or oidc-provider is missing",
)


@pytest.fixture(scope="module")
def gateway(gateway_class, database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("oidc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret = tmp_path_factory.mktemp("secrets") / "client"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    running = gateway_class(
        folder,
        database.port,
        database.password,
        policy=POLICY,
        more=f"identity:\n  oidc:\n    - name: example\n      issuer: http://127.0.0.1:{port}\n      client_id: countersign\n"
        f"      client_secret: file:{secret}\n      groups: {{dba: dba, platform: administrators}}\n",
    )
    command = ["node", str(CLIENTS / "provider.mjs"), str(port), "countersign", SECRET, running.console]
    provider = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert provider.stdout is not None
    assert "ready" in (line.strip() for line in provider.stdout)
    yield running
    provider.kill()
    provider.wait()
    provider.stdout.close()
    running.stop()


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def sign_in(browser, gateway, name):
    page = browser.new_context().new_page()
    page.goto(gateway.console)
    page.get_by_test_id("provider-example").click()
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    return page


def test_a_reviewer_signs_in_decides_and_signs_out(browser, gateway, in_background):
    with gateway.connect() as crew:
        held = in_background(crew, "UPDATE orders SET status = 'approved by ann' WHERE id = 1")
        review = gateway.pending()
        page = sign_in(browser, gateway, "ann+dba+administrators")
        expect(page.locator(".who")).to_have_text("ann@example.com")
        page.get_by_test_id(f"review-row-{review['id']}").click()
        page.get_by_test_id("approve").click()
        page.get_by_test_id("approve-confirm").click()
        assert held.join().rows == 1
    (decision,) = gateway.review(review["id"])["decisions"]
    assert (decision["reviewer"], decision["authentication"]) == ("ann@example.com", "oidc")
    signed_in = gateway.audit("console.signed_in")[0]["body"]
    assert (signed_in["by"], signed_in["authentication"]) == ("ann@example.com", "oidc")
    assert page.evaluate("fetch('/api/v1/keys').then(answer => answer.status)") == 403  # a claim names no role by itself
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_test_id("provider-example")).to_be_visible()
    assert page.evaluate("fetch('/api/v1/me').then(answer => answer.status)") == 401
    assert SECRET not in gateway.everything_kept()


def test_groups_come_from_claims_as_they_are_mapped(browser, gateway):
    page = sign_in(browser, gateway, "pat+platform+staff")
    expect(page.locator(".who")).to_have_text("pat@example.com")
    me = page.evaluate("fetch('/api/v1/me').then(answer => answer.json())")
    assert me["identity"]["groups"] == ["administrators"]
    page.context.close()


def test_i7_somebody_without_the_group_decides_nothing(browser, gateway, in_background):
    with gateway.connect() as crew:
        held = in_background(crew, "UPDATE orders SET status = 'no' WHERE id = 2")
        review = gateway.pending()
        page = sign_in(browser, gateway, "eve+staff")
        page.get_by_test_id(f"review-row-{review['id']}").click()
        expect(page.get_by_text(review["digest"][:12]).first).to_be_visible()
        expect(page.get_by_test_id("approve")).to_have_count(0)
        page.context.close()
        gateway.cli("reviews", "deny", review["id"], "--reason", "no", ok=False)
        crew.cancel()
        held.join()


def test_an_address_that_nobody_has_verified_is_no_name(browser, gateway):
    page = sign_in(browser, gateway, "newcomer+dba")
    expect(page.get_by_role("status")).to_have_text("the provider has not verified this e-mail address")
    page.context.close()
    assert gateway.audit("authentication.failed")[0]["body"]["code"] == "email_unverified"


def test_what_was_not_begun_in_this_browser_signs_nobody_in(gateway):
    with httpx.Client(base_url=gateway.console, trust_env=False) as http:
        begun = http.get("/api/v1/sign-in/begin/example")
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        assert begun.status_code == 303 and asked["code_challenge_method"] == ["S256"]
        (state,) = asked["state"]
        cookie = begun.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
    with httpx.Client(base_url=gateway.console, trust_env=False) as other:  # somebody is sent the attacker's link
        for query in (f"state={state}&code=x", "state=&code=x", "code=x", f"state={state}"):
            answer = other.get(f"/api/v1/sign-in/callback?{query}")
            assert "problem=" in answer.headers["location"] and "countersign_session" not in str(answer.headers)
    with httpx.Client(base_url=gateway.console, trust_env=False, cookies={"countersign_sign_in": state}) as http:
        refused = http.get(f"/api/v1/sign-in/callback?state={state}&code=made-up")
        assert refused.headers["location"].endswith("problem=code_refused")
        again = http.get(f"/api/v1/sign-in/callback?state={state}&code=made-up")
        assert again.headers["location"].endswith("problem=wrong_secret")
        assert "problem=" in http.get("/api/v1/sign-in/begin/nobody").headers["location"]


def test_an_address_that_anybody_can_make_brings_no_words_of_its_own(browser, gateway):
    page = browser.new_context().new_page()
    page.goto(f"{gateway.console}/#/sign-in?problem=call_555_0100")
    expect(page.get_by_role("status")).to_have_text("the provider's answer proves nothing: nobody was signed in")
    page.goto("about:blank")
    page.goto(f"{gateway.console}/#/sign-in?problem=call%20555")
    expect(page.get_by_test_id("provider-example")).to_be_visible()
    assert "555" not in page.locator("body").inner_text()
    page.context.close()
