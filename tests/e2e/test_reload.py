"""Policies change while the gateway runs: whole, on record, and for the very next command of everybody."""

import hashlib
import signal
import threading

import psycopg
import pytest

DENIES_ORDERS = "  - {name: closed, when: \"'public.orders' in command.reads\", action: deny, message: orders are closed}\n"
ASKED = "SELECT status FROM orders WHERE id = {}"
REPEATS = 40


@pytest.fixture
def running(make_gateway):
    return make_gateway()


def write(gateway, text):
    (gateway.folder / "policy.yaml").write_text(text)


def read(gateway):
    return (gateway.folder / "policy.yaml").read_text()


def with_rule(policy, rule):
    return policy.replace("rules:\n", "rules:\n" + rule)


def changes(gateway):
    return list(reversed(gateway.audit("policy.changed")))


def reloaded(gateway, eventually, number=1):
    """Have the policies loaded now, and return the record of that."""
    gateway.process.send_signal(signal.SIGHUP)
    return eventually(lambda: (found := changes(gateway)) and len(found) == number and found, "policy.changed")[-1]["body"]


def refused(gateway, eventually, part):
    """Have them loaded, and return why they are not taken up."""
    gateway.process.send_signal(signal.SIGHUP)
    found = eventually(lambda: part in (s := gateway.json("policy", "status"))["problem"] and s, part)
    assert not changes(gateway)
    return found


def settle(connection):
    """Ask the same until the session is surely with the relay's thread."""
    for number in range(REPEATS):
        assert connection.execute(ASKED.format(number + 1)).fetchall() in ([("open",)], [("held",)])  # other tests change it


def test_a_rule_that_is_added_denies_the_next_command_of_a_session_in_its_lane_and_removed_lets_it_go_on(
    running, eventually, audit_schema
):
    before = read(running)
    with running.connect() as plain, running.connect() as extended:
        settle(plain)
        for number in range(REPEATS):
            extended.execute("SELECT status FROM orders WHERE id = %s", [number + 1], prepare=True)
        write(running, with_rule(before, DENIES_ORDERS))
        body = reloaded(running, eventually)
        with pytest.raises(psycopg.Error, match="orders are closed"):
            plain.execute(ASKED.format(1))
        with pytest.raises(psycopg.Error, match="orders are closed"):
            extended.execute("SELECT status FROM orders WHERE id = %s", [1], prepare=True)
        write(running, before)
        again = reloaded(running, eventually, 2)
        settle(plain)
    file = str(running.folder / "policy.yaml")
    digests = {one["file"]: one["digest"] for one in body["after"]["policies"]}
    assert digests[file] == hashlib.sha256(with_rule(before, DENIES_ORDERS).encode()).hexdigest()
    assert body["by"] == "SIGHUP" and again["after"] == body["before"] != body["after"] == again["before"]
    assert running.json("policy", "status")["digest"] == again["after"]["policy_digest"]
    assert not [p for record in changes(running) for p in audit_schema.problems(record["kind"], record["body"])]
    running.cli("audit", "verify")


def test_a_file_that_changes_or_comes_is_seen_without_being_told(running, eventually):
    policy = read(running)
    running.config.write_text(running.config.read_text().replace("[policy.yaml]", "['policy*.yaml']"))
    [first] = eventually(lambda: changes(running), "the other globs")
    assert (
        first["body"]["by"] == "file change" and first["body"]["before"]["policy_digest"] == first["body"]["after"]["policy_digest"]
    )
    (running.folder / "policy2.yaml").write_text("rules:\n" + DENIES_ORDERS)
    eventually(lambda: len(changes(running)) == 2, "the new file")
    with running.connect() as connection, pytest.raises(psycopg.Error, match="orders are closed"):
        connection.execute(ASKED.format(1))
    (running.folder / "policy2.yaml").unlink()
    eventually(lambda: len(changes(running)) == 3, "that it has gone")
    assert policy == read(running)
    with running.connect() as connection:
        connection.execute(ASKED.format(1))


def test_what_is_unsound_or_needs_a_restart_changes_nothing_and_says_why(running, eventually):
    policy, config = read(running), running.config.read_text()
    digest = running.json("policy", "status")["digest"]
    write(running, with_rule(policy, '  - {name: broken, when: "command.nonsense == 1", action: deny}\n'))
    assert refused(running, eventually, "nonsense")["digest"] == digest
    write(running, with_rule(policy, DENIES_ORDERS).replace("public.customers.salary", "public.customers.note"))
    refused(running, eventually, "mask rules changed: restart needed")
    write(running, with_rule(policy, DENIES_ORDERS))
    running.config.write_text(config.replace("user: app", "user: other"))
    found = refused(running, eventually, "more than the policies changed in countersign.yaml: restart needed")
    assert found["digest"] == digest
    with running.connect() as connection:
        connection.execute(ASKED.format(1))
        assert connection.execute("SELECT salary FROM customers WHERE id = 1").fetchone() != (1001,)
    running.config.write_text(config)
    reloaded(running, eventually)
    status = running.json("policy", "status")
    assert status["problem"] == "" and status["digest"] != digest
    for reason in ("nonsense", "mask rules changed", "more than the policies"):
        assert len([line for line in running.log if "policy_not_changed" in line and reason in line]) == 1


def test_under_load_nothing_behind_the_record_of_a_change_was_judged_by_the_policy_before(running, eventually):
    policy, over, failures, rounds = read(running), threading.Event(), [], {True: 0, False: 0}

    def ask(prepare):
        with running.connect() as connection:
            while not over.is_set():
                for number in range(1, 50):
                    try:
                        connection.execute("SELECT status FROM orders WHERE id = %s", [number], prepare=prepare)
                    except psycopg.Error as error:
                        failures.append(error)
                rounds[prepare] += 1
                over.wait(0.02)

    threads = [threading.Thread(target=ask, args=(prepare,)) for prepare in (True, False)]
    for thread in threads:
        thread.start()
    try:
        for number in range(5):
            before = dict(rounds)
            eventually(lambda before=before: all(rounds[one] > before[one] + 1 for one in rounds), "more rounds")
            if number < 4:
                write(running, policy + f"# {number}\n")
                reloaded(running, eventually, number + 1)
    finally:
        over.set()
        for thread in threads:
            thread.join(20)
    assert not failures
    running.stop()
    found = running.json("audit", "search", "--all")
    in_force, judged = "", {}
    for record in sorted(found, key=lambda one: one["seq"]):
        if record["kind"] == "gateway.started":
            in_force = record["body"]["policy_digest"]
        elif record["kind"] == "policy.changed":
            assert record["body"]["before"]["policy_digest"] == in_force
            in_force = record["body"]["after"]["policy_digest"]
        elif record["kind"] == "command":
            # Between the change and its record commands may be judged by the new one already, and none behind it by the old one.
            judged.setdefault(in_force, []).append(record["body"]["policy_digest"])
    order = list(judged)
    assert len(order) == 5
    for position, digests in enumerate(judged.values()):
        assert set(digests) <= set(order[position : position + 2]), position


def test_what_is_held_keeps_its_terms(running, eventually, in_background):
    policy = read(running)
    with running.connect() as connection:
        held = in_background(connection, "DELETE FROM orders WHERE id = -1")
        review = running.pending()
        denied = "  - {name: no-deletes, when: \"'DELETE' in command.kinds\", action: deny, message: nothing is deleted}\n"
        write(running, with_rule(policy, denied))
        reloaded(running, eventually)
        running.cli("reviews", "approve", review["id"])
        assert held.join().error is None
        with pytest.raises(psycopg.Error, match="nothing is deleted"):
            connection.execute("DELETE FROM orders WHERE id = -1")


def test_a_portal_is_not_read_on_when_a_rule_has_closed_what_it_reads(running, eventually, wire):
    from countersign.protocols.postgres import messages

    policy = read(running)
    with running.connect() as connection:
        raw = wire(connection)
        raw.send(messages.query(b"BEGIN"))
        raw.until_ready()
        raw.send(messages.parse(b"", b"SELECT status FROM orders") + messages.bind_texts(b"p", b"", []))
        raw.send(_execute(b"p", 1) + messages.SYNC)
        assert "D" in [kind for kind, _ in raw.until_ready()]
        write(running, policy + "# the same rules\n")
        reloaded(running, eventually)
        raw.send(_execute(b"p", 1) + messages.SYNC)
        assert "D" in [kind for kind, _ in raw.until_ready()]
        write(running, with_rule(policy, DENIES_ORDERS))
        reloaded(running, eventually, 2)
        raw.send(_execute(b"p", 1) + messages.SYNC)
        answer = raw.until_ready()
        assert [kind for kind, _ in answer] == ["E", "Z"] and b"the policy has changed since this was bound" in answer[0][1]
        raw.close()


def _execute(portal, rows):
    body = portal + b"\0" + rows.to_bytes(4, "big")
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body
