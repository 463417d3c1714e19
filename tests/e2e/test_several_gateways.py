"""Gateways on one store in PostgreSQL: what one holds, another decides."""

import contextlib
import json
import subprocess
import threading
import time

import psycopg
import pytest

from countersign.demo.database import DemoDatabase

LINES = "store: {{postgresql: {{host: 127.0.0.1, port: {port}, database: {database}, user: app, password: {password}}}}}\n"


def settings_of(place):
    return LINES.format(port=place.port, database=place.database, password=f"file:{place.password.reference}")


def two_gateways(gateway_class, database, folder, place, more=""):
    """Two gateways on a store, which sign its log with the same key. The second knows the first one's key for the crew."""
    made = []
    for number in (1, 2):
        home = folder / f"gateway{number}"
        home.mkdir()
        if made:
            (home / "audit.key").write_bytes((made[0].folder / "audit.key").read_bytes())
            (home / "audit.key").chmod(0o600)
        made.append(
            gateway_class(home, database.port, database.password, more=settings_of(place) + more, key=made[0].key if made else "")
        )
    return made


@pytest.fixture(scope="module")
def gateways(gateway_class, database, make_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("several")
    with make_store(folder) as place:
        made = two_gateways(gateway_class, database, folder, place)
        yield made
        for one in made:
            one.stop()


@pytest.fixture
def store(gateways):
    """A connection to the database of the store."""
    text = (gateways[0].folder / "countersign.yaml").read_text()
    name = text.split("database: ")[1].split(",")[0]
    port = int(text.split("port: ")[-1].split(",")[0])
    password = (gateways[0].folder.parent / "store.password").read_text()
    with psycopg.connect(host="127.0.0.1", port=port, dbname=name, user="app", password=password, autocommit=True) as connection:
        yield connection


def test_what_one_gateway_holds_another_decides_and_the_client_goes_on_at_once(gateways, direct, in_background):
    here, there = gateways
    ids, waited_s = [], 0.0
    for decision, happens in (("approve", True), ("deny", False)):
        direct.execute("UPDATE orders SET status = 'open' WHERE id = 1")
        with here.connect() as crew:
            held = in_background(crew, "UPDATE orders SET status = 'changed' WHERE id = 1")
            review = there.pending()
            there.cli("reviews", decision, review["id"], "--reason", "as agreed", *(["--yes"] if decision == "approve" else []))
            start = time.monotonic()
            held.join()
            waited_s += time.monotonic() - start
            ids.append(review["id"])
        assert (held.rows == 1) is happens and (held.error is None) is happens
        (status,) = direct.execute("SELECT status FROM orders WHERE id = 1").fetchone()
        assert (status == "changed") is happens
    assert waited_s < 1  # told, not found by looking again every two seconds
    assert [here.review(one)["state"] for one in ids] == ["executed", "denied"]
    assert here.json("sessions", "list") == there.json("sessions", "list")


def test_i2_decided_on_both_at_once_it_counts_once_and_runs_once(gateways, direct, in_background):
    direct.execute("CREATE TABLE IF NOT EXISTS marks (at int)")
    for _ in range(3):
        direct.execute("TRUNCATE marks")
        with gateways[0].connect() as crew:
            held = in_background(crew, "INSERT INTO marks VALUES (1)")
            review = gateways[1].pending()
            approving = [
                subprocess.Popen(
                    one.command("reviews", "approve", review["id"], "--yes"),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=one.environment,
                    text=True,
                )
                for one in gateways
            ]
            said = [process.communicate(timeout=30) for process in approving]
            held.join()
        assert sorted(process.returncode for process in approving) == [0, 1], said
        assert held.rows == 1
        assert direct.execute("SELECT count(*) FROM marks").fetchone() == (1,)
        assert len(gateways[0].review(review["id"])["decisions"]) == 1
    direct.execute("DROP TABLE marks")


def test_a_gateway_that_hears_nothing_looks_again(gateways, store, direct, in_background):
    """Connections that wait for news are cut, as by a pooler that gives none."""
    here, there = gateways
    with here.connect() as crew:
        held = in_background(crew, "UPDATE orders SET status = 'looked again' WHERE id = 2")
        review = there.pending()
        cut, ends = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE %s",
            threading.Event(),
        )

        def keep_cutting():
            while not ends.wait(0.02):
                for text in ("LISTEN%", "SELECT pg_catalog.pg_try%", "SELECT 1"):
                    store.execute(cut, (text,))

        cutting = threading.Thread(target=keep_cutting)
        cutting.start()
        try:
            there.cli("reviews", "approve", review["id"], "--yes")
            assert held.join().rows == 1
        finally:
            ends.set()
            cutting.join()


def test_both_write_one_log_that_verifies(gateways, store):
    def work(gateway):
        with gateway.connect() as crew:
            for number in range(150):
                crew.execute("SELECT count(*) FROM orders WHERE id > %s", (number,))

    working = [threading.Thread(target=work, args=(one,)) for one in gateways]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    for one in gateways:
        one.cli("audit", "checkpoint")
    found = gateways[1].cli("audit", "verify")
    assert found.stdout.startswith("sound: "), found.stdout
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        store.execute("TRUNCATE audit_batches")
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        store.execute("DELETE FROM decisions")


def test_a_gateway_with_a_log_key_of_its_own_does_not_start(gateways, tmp_path):
    text = (gateways[0].folder / "countersign.yaml").read_text()
    (tmp_path / "countersign.yaml").write_text(text)
    (tmp_path / "policy.yaml").write_text("rules: []\n")
    refused = subprocess.run(
        [*gateways[0].command("serve")[:2], "--config", str(tmp_path / "countersign.yaml")],
        capture_output=True,
        text=True,
        env=gateways[0].environment,
        timeout=60,
    )
    assert refused.returncode == 1 and "signed with a key that is not in" in refused.stderr


def test_i4_what_a_killed_gateway_held_is_cancelled_by_another_and_never_runs(
    gateway_class, database, make_store, direct, tmp_path, in_background, eventually
):
    with make_store(tmp_path) as place:
        dying, living = two_gateways(gateway_class, database, tmp_path, place)
        try:
            crew = dying.connect()
            held = in_background(crew, "UPDATE orders SET status = 'never' WHERE id = 3")
            review = living.pending()
            dying.kill()
            assert held.join().error is not None
            eventually(lambda: living.review(review["id"])["state"] == "cancelled", "the review is cancelled", 40)
            assert living.cli("reviews", "approve", review["id"], "--yes", ok=False).returncode == 1
            assert direct.execute("SELECT count(*) FROM orders WHERE status = 'never'").fetchone() == (0,)
        finally:
            living.stop()


def test_i8_while_the_store_is_away_nothing_runs_and_what_is_held_stays_held(
    gateway_class, database, tmp_path, direct, in_background, eventually
):
    with DemoDatabase() as server:
        password = tmp_path / "store.password"
        password.touch(0o600)
        password.write_text(server.password)
        lines = LINES.format(port=server.port, database="shop", password=f"file:{password}")
        gateway = gateway_class(tmp_path, database.port, database.password, more=lines)
        try:
            with gateway.connect() as crew, gateway.connect() as other:
                held = in_background(crew, "UPDATE orders SET status = 'patient' WHERE id = 4")
                review = gateway.pending()
                server.stop()
                with pytest.raises(psycopg.Error, match="could not|store|record"):
                    for _ in range(200):  # reads that were taken at once are written when it is back
                        other.execute("SELECT count(*) FROM orders")
                server.start()

                def reads():
                    with contextlib.suppress(psycopg.Error):
                        return other.execute("SELECT 1").fetchone() == (1,)

                eventually(reads, "commands are taken again")
                gateway.cli("reviews", "approve", review["id"], "--yes")
                assert held.join().rows == 1
            gateway.cli("audit", "checkpoint")
            assert json.loads(gateway.cli("audit", "verify", "--json").stdout)["ok"]
        finally:
            gateway.stop()


def test_one_of_them_exports_and_another_takes_over(gateway_class, database, make_store, tmp_path, eventually):
    """To one file, so that a record that two send would stand there twice."""
    out = tmp_path / "out.jsonl"
    with make_store(tmp_path) as place:
        exports = f"audit:\n  exports:\n    - {{name: all, to: 'file://{out}'}}\n"
        leading, following = two_gateways(gateway_class, database, tmp_path, place, exports)

        def exported():
            return [json.loads(line)["seq"] for line in out.read_text().splitlines()] if out.exists() else []

        def all_of_it():
            numbers, last = exported(), following.json("audit", "search", "--limit", "1")[0]["seq"]
            return numbers and numbers[-1] >= last - 1 and numbers

        try:
            for one in (leading, following):
                with one.connect() as crew:
                    crew.execute("SELECT 1")
            numbers = eventually(all_of_it, "everything is exported")
            assert numbers == list(range(numbers[0], numbers[-1] + 1))
            leading.kill()
            with following.connect() as crew:
                crew.execute("SELECT 2")
            numbers = eventually(lambda: (found := all_of_it()) and found[-1] > numbers[-1] + 2 and found, "another goes on", 30)
            assert set(numbers) == set(range(numbers[0], numbers[-1] + 1))
        finally:
            start = time.monotonic()
            following.stop()
            assert time.monotonic() - start < 8


def test_a_gateway_that_does_not_lead_stops_at_once(gateway_class, database, make_store, tmp_path):
    with make_store(tmp_path) as place:
        exports = f"audit:\n  exports:\n    - {{name: all, to: 'file://{tmp_path / 'out.jsonl'}'}}\n"
        leading, following = two_gateways(gateway_class, database, tmp_path, place, exports)
        start = time.monotonic()
        following.stop()
        assert time.monotonic() - start < 5
        leading.stop()
