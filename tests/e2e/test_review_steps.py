"""Steps, breaking the glass, taking back and what happens when nobody decides, through a gateway as its users see them."""

import psycopg
import pytest

POLICY = """
rules:
  - {name: appends, action: allow, effects: [write, read], when: "command.writes == ['public.log']"}
  - name: two-steps
    action: review
    effects: [ddl]
    review:
      steps:
        - {reviewers: {groups: [administrators]}}
        - {reviewers: {groups: [leads]}, escalate_after: 1s, escalate_to: {groups: [directors]}}
      break_glass: {groups: [administrators]}
  - name: for-leads
    action: review
    when: "command.text.contains('for leads')"
    review: {reviewers: {groups: [leads]}}
  - name: quick
    action: review
    effects: [write]
    review: {timeout: 1s, on_timeout: safe_subset, safe_subset: [appends]}
  - {name: outside, action: deny, when: "command.text.contains('outside') && !session.transaction_open"}
  - {name: inside, action: deny, when: "command.text.contains('within') && session.transaction_open"}
  - name: patient
    action: review
    when: "command.text.contains('patiently')"
    review: {timeout: 500ms, on_timeout: keep_waiting}
"""


@pytest.fixture(scope="module")
def gateway(database, gateway_class, tmp_path_factory):
    running = gateway_class(tmp_path_factory.mktemp("gateway"), database.port, database.password, policy=POLICY)
    yield running
    running.stop()


def kinds(gateway, review):
    found = gateway.json("audit", "story", review["id"])
    return [record["kind"] for record in found if record["kind"].startswith("review.")]


def test_a_review_of_two_steps_is_taken_back_escalates_and_is_forced_past_its_second(gateway, in_background, eventually):
    with gateway.connect() as connection:
        held = in_background(connection, "CREATE TABLE made_in_steps (id int)")
        review = gateway.pending()
        assert "pending" in gateway.cli("reviews", "approve", review["id"]).stdout
        assert held.error is None and held.rows == -1
        assert "group leads" in gateway.cli("reviews", "show", review["id"]).stdout
        refused = gateway.cli("reviews", "approve", review["id"], ok=False)
        assert refused.returncode == 1 and "other reviewers" in refused.stderr
        eventually(lambda: "review.escalated" in kinds(gateway, review), "the escalation")
        gateway.cli("reviews", "take-back", review["id"])
        assert [step["is_done"] for step in gateway.review(review["id"])["steps"]] == [False, False]
        refused = gateway.cli("reviews", "force", review["id"], "--reason", " ", ok=False)
        assert refused.returncode == 1 and "needs a reason" in refused.stderr
        gateway.cli("reviews", "force", review["id"], "--reason", "the site is down")
        assert held.join().error is None
    told = gateway.cli("audit", "story", review["id"]).stdout
    assert "THE GLASS WAS BROKEN" in told and "the site is down" in told
    assert kinds(gateway, review)[-4:] == ["review.forced", "review.approved", "review.released", "review.executed"]


def test_i7_an_administrator_decides_nothing_that_is_for_others(gateway, in_background):
    with gateway.connect() as connection:
        held = in_background(connection, "SELECT 1 /* for leads */")
        review = gateway.pending()
        for words in (["approve"], ["deny", "--reason", "no"], ["force", "--reason", "now"], ["take-back"]):
            refused = gateway.cli("reviews", words[0], review["id"], *words[1:], ok=False)
            assert refused.returncode == 1, words
        assert gateway.review(review["id"])["state"] == "pending"
        connection.cancel()
        assert isinstance(held.join().error, psycopg.errors.QueryCanceled)


def test_the_safe_subset_runs_when_nobody_decides_and_nothing_else_does(gateway, direct):
    with gateway.connect() as connection:
        connection.execute("INSERT INTO log VALUES ('nobody was there')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="nobody approved"):
            connection.execute("UPDATE orders SET status = 'unseen' WHERE id = 1")
    assert direct.execute("SELECT count(*) FROM log WHERE line = 'nobody was there'").fetchone() == (1,)
    assert direct.execute("SELECT status FROM orders WHERE id = 1").fetchone() == ("open",)
    approved = gateway.audit("review.approved")[0]["body"]
    assert "rule 'appends' lets it run" in approved["outcome"]


def test_kept_waiting_a_command_still_runs_when_it_is_late(gateway, in_background, eventually):
    with gateway.connect() as connection:
        held = in_background(connection, "SELECT 'patiently'")
        review = gateway.pending()
        eventually(lambda: "review.overdue" in kinds(gateway, review), "that it is late")
        gateway.cli("reviews", "approve", review["id"])
        assert held.join().rows == 1


def test_a_client_that_asks_again_over_a_new_connection_waits_with_its_first_review(gateway, in_background, eventually, direct):
    sql = "SELECT 'for both', 'patiently'"
    with gateway.connect() as first, gateway.connect() as second, gateway.connect() as third:
        held = in_background(first, sql)
        review = gateway.pending()
        again = in_background(second, sql)
        eventually(lambda: "review.joined" in kinds(gateway, review), "the second joins")
        assert gateway.pending()["id"] == review["id"]
        third.execute("BEGIN")
        third.execute("SELECT count(*) FROM orders")
        elsewhere = in_background(third, sql)  # in a transaction it could see other things
        eventually(lambda: len(gateway.json("reviews", "list")) == 2, "a review of its own")
        gateway.cli("reviews", "approve", review["id"])
        assert again.join().rows == 1
        assert "that one is run" in str(held.join().error)
        own = gateway.pending()
        assert own["id"] != review["id"]
        gateway.cli("reviews", "deny", own["id"], "--reason", "over")
        elsewhere.join()


def test_commands_on_record_are_put_to_a_changed_policy(gateway, tmp_path):
    changed = tmp_path / "changed.yaml"
    changed.write_text("rules:\n  - {name: no-writes, action: deny, effects: [write], message: nothing is written}\n")
    found = gateway.json("policy", "simulate", "--policies", str(changed), "--since", "1h")
    assert found["commands"] > 3 and found["not_judged"] == []
    assert {"was": "review", "now": "deny", "count": 2} in found["moves"]
    told = gateway.cli("policy", "simulate", "--policies", str(changed)).stdout
    assert "review -> deny" in told and "INSERT INTO log VALUES ('nobody was there')" in told and "reviews a day" in told
    refused = gateway.cli("policy", "simulate", "--policies", str(tmp_path / "none.yaml"), ok=False)
    assert refused.returncode == 1 and "cannot be read" in refused.stderr


def test_rules_see_whether_a_transaction_is_open(gateway):
    with gateway.connect() as connection:
        assert connection.execute("SELECT 'within'").fetchone() == ("within",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT 'outside'")
        with connection.transaction():
            assert connection.execute("SELECT 'outside'").fetchone() == ("outside",)
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute("SELECT 'within'")
