"""Columns that a target's configuration labels are masked by the rules that name the label."""

POLICY = "masking:\n  - {name: personal, labels: [pii], operator: {partial: {keep_last: 2}}}\n"


def test_i5_what_is_labelled_is_masked_and_what_is_not_is_shown(make_gateway):
    gateway = make_gateway(target="columns: {pii: [public.customers.ssn, '*.customers.em*']}", policy=POLICY)
    with gateway.connect() as connection:
        row = connection.execute(
            "SELECT ssn, email AS name, note, (SELECT max(ssn) FROM customers) FROM customers WHERE id = 1"
        ).fetchone()
    assert row == ("***-**-**11", "**@*******.*om", "card 4242 4242 4242 4242", "[redacted]")
    assert "mask rules" in gateway.cli("check").stdout


def test_check_names_the_line_of_a_label_that_nothing_carries(make_gateway):
    gateway = make_gateway(target="columns: {pii: [public.customers.ssn]}", policy=POLICY)
    (gateway.folder / "policy.yaml").write_text(POLICY.replace("[pii]", "[pi]"))
    checked = gateway.cli("check", ok=False)
    assert checked.returncode == 1
    assert "policy.yaml:2: no target of mask rule 'personal' labels a column 'pi' (hint: known: pii)" in checked.stderr
