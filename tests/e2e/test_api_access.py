"""Who may reach what over HTTP."""

import httpx
import pytest

OPEN = {
    ("GET", "/healthz"),
    ("POST", "/api/v1/console-session"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/sign-in"),
    ("GET", "/api/v1/sign-in/begin/{provider}"),
    ("GET", "/api/v1/sign-in/callback"),
}
"""What somebody needs who is about to sign in, and what says nothing worth knowing."""


@pytest.fixture
def browser_like(gateway):
    """A signed-in console, with its cookie."""
    with httpx.Client(base_url=gateway.console) as client:
        token = gateway.cli("login").stdout.strip().split("token=")[1]
        answer = client.post("/api/v1/console-session", json={"token": token}, headers={"X-Countersign": "console"})
        assert answer.status_code == 200
        yield client


def routes(gateway):
    with httpx.Client(base_url=gateway.console) as client:
        paths = client.get("/api/v1/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def test_every_route_but_the_open_ones_answers_401_to_strangers_and_to_agents_keys(gateway):
    closed = [route for route in routes(gateway) if route not in OPEN]
    assert len(closed) > 10
    with httpx.Client(base_url=gateway.console) as client:
        for method, path in closed:
            for headers in ({}, {"Authorization": f"Bearer {gateway.key}"}, {"Cookie": f"countersign_session={gateway.key}"}):
                answer = client.request(method, path.replace("{", "").replace("}", ""), headers=headers)
                assert answer.status_code == 401, (method, path, answer.text)


def test_a_change_without_the_consoles_header_or_from_another_origin_is_refused(browser_like):
    for headers in ({}, {"X-Countersign": "console", "Origin": "http://evil.example"}):
        answer = browser_like.post("/api/v1/keys", json={"name": "evil"}, headers=headers)
        assert answer.status_code == 403


def test_another_host_name_is_refused(gateway):
    answer = httpx.get(f"{gateway.console}/healthz", headers={"Host": "evil.example"})
    assert answer.status_code == 421


def test_links_are_not_made_over_the_network(browser_like):
    assert browser_like.post("/api/v1/console-links", headers={"X-Countersign": "console"}).status_code == 403


def test_errors_have_one_shape_with_an_id(browser_like):
    error = browser_like.get("/api/v1/reviews/rv-nothing").json()["error"]
    assert error["code"] == "not_found"
    assert error["id"].startswith("err-")


def test_a_console_session_is_the_administrator_who_made_its_link(browser_like):
    assert browser_like.get("/api/v1/me").json()["identity"]["groups"] == ["administrators"]


def test_the_admin_socket_is_for_its_owner_only(gateway):
    assert (gateway.folder / "countersign.sock").stat().st_mode & 0o777 == 0o600
    assert (gateway.folder / "countersign.db").stat().st_mode & 0o777 == 0o600
