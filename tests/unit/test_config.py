import hashlib
import os
from datetime import timedelta

import pytest

from countersign.audit_settings import FilePlace, WebhookPlace
from countersign.config import ConfigError, Listen, Upstream, load_config
from countersign.model.identity import Person
from countersign.recording_settings import RecordingSettings
from countersign.review_settings import CanarySettings, ReviewLimits
from countersign.settings import is_loopback

TARGET = """targets:
  - name: shop
    type: postgres
    listen: 127.0.0.1:6432
    upstream:
      host: db.internal
      user: app
"""
HUNTER = "hunter2-literal"


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "from-the-environment")
    monkeypatch.delenv("NOT_SET", raising=False)

    def load(text):
        (tmp_path / "countersign.yaml").write_text(text)
        return load_config(tmp_path / "countersign.yaml")

    return load


@pytest.fixture
def refused(load, tmp_path):
    def refused(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return str(caught.value).replace(f"{tmp_path}/", "").replace("countersign.yaml:", "")

    return refused


def test_the_least_configuration_and_its_defaults(load, tmp_path):
    config = load(TARGET)
    assert config.store.path == tmp_path / "countersign.db"
    assert config.recordings == RecordingSettings(tmp_path / "recordings", 200, 30)
    assert config.admin_socket == tmp_path / "countersign.sock"
    assert config.console == Listen("127.0.0.1", 8420)
    assert config.targets[0].upstream == Upstream("db.internal", 5432, "app", None, "verify-full", None)
    assert config.targets[0].tls is None
    assert [rule.name for rule in config.policy.defaults] == ["default-moves-masked", "default-reads", "default-review"]
    assert config.policy.rules == ()
    assert config.warnings == ()
    assert config.config_digest == hashlib.sha256((tmp_path / "countersign.yaml").read_bytes()).hexdigest()


def test_people_are_accounts_with_a_name_each(load):
    people = "people:\n  - {account: ann, name: alice, groups: [dba, leads]}\n  - {account: bob}\n"
    assert load(people + TARGET).people == (Person("ann", "alice", ("dba", "leads")), Person("bob", "os:bob"))


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ("{account: ann}\n  - {account: ann, name: x}", "3: the account 'ann' stands here twice: a person counts once"),
        ("{account: ann, name: x}\n  - {account: bob, name: x}", "3: another person is named 'x'"),
        ("{account: ann, name: 'os:root'}", "2: 'os:root' is how another account is called that has no name"),
        ("{account: ann, groups: [DBA]}", "2: 'DBA' is no name of a group"),
        ("{name: ann}", "2: "),
        ("{account: ann, role: dba}", "2: unknown key 'role'"),
    ],
)
def test_people_that_could_be_mistaken_are_refused(refused, people, told):
    assert refused(f"people:\n  - {people}\n{TARGET}").startswith(told)


@pytest.mark.parametrize(
    ("reviews", "told"),
    [("{at_once: -1}", "1: 'at_once' is -1"), ("{at_once: many}", "1: 'at_once' must be"), ("{each: 1}", "1: unknown key 'each'")],
)
def test_limits_of_reviews_are_numbers(refused, load, reviews, told):
    assert refused(f"reviews: {reviews}\n{TARGET}").startswith(told)
    assert load(f"reviews: {{denials_in_10m: 0}}\n{TARGET}").reviews == ReviewLimits(denials=0)
    canaries = load(f"reviews: {{canaries: {{one_in: 5, commands: [DROP TABLE t]}}}}\n{TARGET}").reviews.canaries
    assert canaries == CanarySettings(5, ("DROP TABLE t",))


def test_the_policies_warnings_are_the_configurations(load, tmp_path):
    (tmp_path / "a.yaml").write_text("rules: [{name: a, action: deny, when: \"'log' in command.tables\"}]")
    (warning,) = load(TARGET + "policies: [a.yaml]\n").warnings
    assert warning.startswith(f"{tmp_path}/a.yaml:1: rule 'a' compares command.tables with 'log'")


def test_a_store_may_be_a_postgresql_that_gateways_share(load, monkeypatch):
    monkeypatch.setenv("STORE_PASSWORD", "hunter2-literal")
    config = load("store: {postgresql: {host: db.internal, password: env:STORE_PASSWORD}}\npolicies: []\n" + TARGET)
    place = config.store.place
    assert (place.host, place.port, place.database, place.user, place.tls) == (
        "db.internal",
        5432,
        "countersign",
        "countersign",
        "verify-full",
    )
    assert "hunter2" not in repr(config) and place.password.reveal() == "hunter2-literal"
    assert load("store: {postgresql: {host: localhost}}\npolicies: []\n" + TARGET).store.place.tls == "disable"


def test_everything_is_relative_to_the_file_and_not_to_where_one_stands(load, tmp_path, monkeypatch):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text("rules: [{name: a, action: deny}]")
    (tmp_path / "policies" / "b.yaml").write_text("rules: [{name: b, action: deny}]")
    (tmp_path / "policies" / "b.test.yaml").write_text("tests: []")
    monkeypatch.chdir("/")
    config = load(
        "store: sqlite:///data/x.db\nrecordings: file:///var/rec\nadmin_socket: run/s\npolicies: [policies/*.yaml, policies/a.yaml]\n"
        + TARGET
    )
    assert config.store.path == tmp_path / "data/x.db"
    assert str(config.recordings.place) == "/var/rec"
    assert config.admin_socket == tmp_path / "run/s"
    assert [rule.name for rule in config.policy.rules] == ["a", "b"]
    assert load("store: sqlite:////var/x.db\npolicies: []\n" + TARGET).store.path.as_posix() == "/var/x.db"
    assert len(load(f"policies: ['{tmp_path}/policies/*.yaml']\n" + TARGET).policy.rules) == 2


@pytest.mark.parametrize(
    ("host", "tls"),
    [
        ("localhost", "disable"),
        ("127.0.0.1", "disable"),
        ("'::1'", "disable"),
        ("/run/postgresql", "disable"),
        ("127.evil.example", "verify-full"),
        ("10.0.0.1", "verify-full"),
    ],
)
def test_tls_to_the_server_is_left_out_on_this_machine_only(load, host, tls):
    assert load(TARGET.replace("db.internal", host)).targets[0].upstream.tls == tls


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("/run/x", True),
        ("127.0.0.1.example", False),
        ("127.", False),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("*", False),
    ],
)
def test_loopback_is_an_address_and_not_how_a_name_begins(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("binding", ["prefer", "require", "disable"])
def test_channel_binding_is_as_libpq_s(load, binding):
    assert load(with_upstream(f"channel_binding: {binding}")).targets[0].upstream.channel_binding == binding


def test_a_target_may_have_several_hosts(load):
    upstream = load(TARGET.replace("db.internal", "[one.internal, localhost]")).targets[0].upstream
    assert (upstream.host, upstream.more_hosts, upstream.tls) == ("one.internal", ("localhost",), "verify-full")
    assert load(TARGET.replace("db.internal", "[localhost, '::1']")).targets[0].upstream.tls == "disable"


def with_tokens(lines):
    return TARGET + "identity:\n  tokens:\n    - " + lines + "\n"


def with_upstream(line):
    return TARGET + f"      {line}\n"


def with_target(line):
    return TARGET + f"    {line}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1: the configuration is a mapping"),
        (TARGET + "    tls: {client_certs: accept}\n", "8: 'client_certs' needs 'client_ca_file'"),
        (TARGET + "    tls: {client_ca_file: none.pem}\n", "8: there is no file none.pem"),
        (TARGET + "    tls: {client_certs: maybe}\n", "8: 'client_certs' is 'maybe' (hint: one of accept, require)"),
        (TARGET + "    tls: {client_name: nick}\n", "8: 'client_name' is 'nick' (hint: one of common_name, dns, email, uri)"),
        (TARGET + "    tls: {client_groups: [Agents]}\n", "8: 'Agents' is no group"),
        (TARGET.replace("db.internal", "[]"), "6: 'host' is empty"),
        (TARGET + "      target_session_attrs: standby\n", "8: 'target_session_attrs' is 'standby' (hint: one of any, read-write)"),
        (TARGET + "      channel_binding: maybe\n", "8: 'channel_binding' is 'maybe' (hint: one of prefer, require, disable)"),
        (TARGET + "      tls: disable\n      channel_binding: require\n", "9: channel binding needs TLS"),
        ("- x\n", "1: the configuration is a mapping"),
        ("store: sqlite:///x\n", "1: the configuration needs 'targets'"),
        ("\ntargets: []\n", "2: there are no targets"),
        ("\ntargets: {}\n", "2: 'targets' must be a list"),
        ("targets:\n  - shop\n", "2: every item of 'targets' must be a mapping"),
        (TARGET + "polices: []\n", "8: unknown key 'polices' in the configuration (hint: did you mean 'policies'?)"),
        (TARGET + "store: postgresql+asyncpg://a:hunter2-literal@h/d\n", "8: 'store' is 'postgresql+asyncpg', which is no store (hint: store: {postgresql: {host: …"),
        (TARGET + "store: postgresql://h/d?password=hunter2-literal\n", "8: 'store' is 'postgresql'"),
        (TARGET + "store: 'sqlite:///'\n", "8: 'store' is 'sqlite'"),
        (with_tokens("audience: c"), "10: an item of 'tokens' needs 'issuer'"),
        (with_tokens("issuer: 'http://ci.example.com'\n      audience: c"), "10: 'issuer' is no https URL"),
        (with_tokens("issuer: 'https://ci.example.com'"), "10: an item of 'tokens' needs 'audience'"),
        (with_tokens("issuer: i\n      audience: c\n      keys: file:none.json"), "12: there is no file"),
        (with_tokens("issuer: 'https://i'\n      audience: c\n      algorithms: [HS256]"), "12: 'HS256' is no algorithm of these tokens"),
        (with_tokens("issuer: 'https://i'\n      audience: c\n      rules: [{name: a}]"), "12: a rule without 'claims' would take every token"),
        (with_tokens("issuer: 'https://i'\n      audience: c\n      rules: [{name: a, claims: {sub: '*'}}]"), "12: these patterns fit every token"),
        (with_tokens("issuer: 'https://i'\n      audience: c\n      rules: [{name: A, claims: {sub: x}}]"), "12: 'A' is no name"),
        (TARGET + "store: {}\n", "8: 'store' names no kind of store"),
        (TARGET + "store: {mysql: {}}\n", "8: 'store' names no kind of store"),
        (TARGET + "store:\n  postgresql: {user: x}\n", "9: postgresql needs 'host'"),
        (TARGET + "store:\n  postgresql: {host: h, port: 0}\n", "9: 0 is no port"),
        (TARGET + "store:\n  postgresql: {host: h, tls: prefer}\n", "9: 'tls' is 'prefer' (hint: one of verify-full, require, disable)"),
        (TARGET + "store:\n  postgresql: {host: h, password: hunter2-literal}\n", "9: a password does not stand in the configuration"),
        (TARGET + "store: x.db\n", "8: 'store' is 'x.db'"),
        (TARGET + "recordings: s3://key:hunter2-literal@bucket\n", "8: 'recordings' is no place in object storage"),
        (TARGET + "recordings: file://\n", "8: 'recordings' is 'file'"),
        (TARGET + "recordings: {url: 'ftp://x'}\n", "8: 'url' is 'ftp'"),
        (TARGET + "recordings: {rows: -1}\n", "8: 'rows' is -1 (hint: 0 (none) to 1,000,000)"),
        (TARGET + "recordings: {rows: true}\n", "8: 'rows' must be a whole number"),
        (TARGET + "recordings: {pause_s: -1}\n", "8: 'pause_s' is -1"),
        (TARGET + "recordings: {key: hunter2-literal}\n", "8: a key does not stand in the configuration"),
        (TARGET + "recordings: {key: 'env:PATH'}\n", "8: 'key' is no key: it is not 32 bytes in base64"),
        (TARGET + "recordings: {older_keys: {first: 'env:PATH'}}\n", "8: 'first' is no key"),
        (TARGET + "recordings: {url: 's3://b', access_key_id: 'env:PATH'}\n", "8: 'access_key_id' and 'secret_access_key'"),
        (TARGET + "recordings: {row: 1}\n", "8: unknown key 'row'"),
        (TARGET + "console:\n  listen: 0.0.0.0:8420\n", "9: the console listens on loopback only"),
        (TARGET + "console:\n  listen: 127.evil.example:8420\n", "9: the console listens on loopback only"),
        (TARGET + "console:\n  port: 1\n  listen: 127.0.0.1:1\n", "9: unknown key 'port' in console"),
        (TARGET + "console: {listen: 127.0.0.1:6432}\n", "4: the console listens on this address"),
        (TARGET + "policies:\n  - 'p*.yaml'\n  - none/*.yaml\n", "10: no file matches 'none/*.yaml'"),
        (TARGET + "policies:\n  - '**x'\n", "9: no file matches '**x'"),
        (TARGET.replace("name: shop", "name: Shop"), "2: 'Shop' is no name (hint: lower-case letters, digits, '_' and '-')"),
        (TARGET.replace("name: shop", "name: ''"), "2: 'name' is empty"),
        (TARGET.replace("type: postgres", "type: mysql"), "3: unknown target type 'mysql' (hint: supported: postgres)"),
        (TARGET.replace("type: postgres", "type: ''"), "3: 'type' is empty"),
        (TARGET.replace("listen: 127.0.0.1:6432", "listen: '6432'"), "4: 'listen' is '6432' (hint: an address such as"),
        (TARGET.replace("6432", "65536"), "4: 'listen' is '127.0.0.1:65536'"),
        (TARGET.replace("6432", "²"), "4: 'listen' is '127.0.0.1:²'"),
        (TARGET.replace("6432", "065535000"), "4: 'listen' is '127.0.0.1:065535000'"),
        (TARGET.replace("6432", "9" * 5000), "4: 'listen' is '127.0.0.1:9"),
        (TARGET.replace("127.0.0.1", "/tmp"), "4: 'listen' is '/tmp:6432'"),
        (TARGET.replace("127.0.0.1", "0.0.0.0"), "4: a target that listens beyond loopback needs 'tls'"),
        (TARGET.replace("127.0.0.1", "127.evil.example"), "4: a target that listens beyond loopback needs 'tls'"),
        (TARGET.replace("host: db.internal", "host: ''"), "6: 'host' is empty"),
        (TARGET.replace("      host: db.internal\n", ""), "6: upstream needs 'host'"),
        (TARGET.replace("user: app", "user: ''"), "7: 'user' is empty"),
        (with_upstream("port: 0"), "8: 0 is no port"),
        (with_upstream("port: '5432'"), "8: 'port' must be a whole number"),
        (with_upstream("tls: prefer"), "8: 'tls' is 'prefer' (hint: one of disable, require, verify-full)"),
        (with_upstream("tls: off"), "8: 'tls' must be text"),
        (with_upstream("ca_file: none.pem"), "8: there is no file none.pem"),
        (with_upstream("pasword: env:SHOP_PASSWORD"), "8: unknown key 'pasword' in upstream (hint: did you mean 'password'?)"),
        (with_upstream("password: hunter2-literal"), "8: a password does not stand in the configuration (hint: env:NAME or file:PATH)"),
        (with_upstream("password: ''"), "8: a password does not stand in the configuration"),
        (with_upstream("password: 'env:'"), "8: a password does not stand in the configuration"),
        (with_upstream("password: 12345"), "8: 'password' must be env:NAME or file:PATH"),
        (with_upstream("password: *hunter2-literal"), "8: not valid YAML: a value that begins with '*' must be quoted"),
        (with_upstream("password: env:NOT_SET"), "8: the environment variable NOT_SET is not set"),
        (with_upstream("password: file:none"), "8: there is no file none"),
        (with_upstream("password: file:" + "x" * 300), "8: there is no file xxx"),
        (with_target("labels: [x]"), "8: 'labels' must be a mapping"),
        (with_target("labels:\n      env: prod\n      tier: 1"), "10: 'tier' must be text"),
        (with_target("tls:\n      cert_file: c.pem"), "9: tls needs 'key_file'"),
        (TARGET.replace("    upstream:\n      host: db.internal\n      user: app\n", ""), "2: target 'shop' needs 'upstream'"),
    ],
)  # fmt: skip
def test_each_problem_is_told_with_its_line_and_never_a_secret(refused, tmp_path, text, told):
    (tmp_path / "p.yaml").write_text("")
    found = refused(text).splitlines()
    assert any(line.startswith(told) for line in found), found
    assert HUNTER not in "".join(found)


def test_problems_of_the_configuration_and_of_its_policies_come_together(refused, tmp_path):
    (tmp_path / "p.yaml").write_text("rules:\n  - {name: a, action: x}\n")
    told = refused("store: nowhere\npolicies: [p.yaml]\n" + TARGET)
    assert "1: 'store' is" in told
    assert "p.yaml:2: 'action' is 'x'" in told


def test_names_and_addresses_are_given_once(refused):
    twin = TARGET.removeprefix("targets:\n")
    told = refused(TARGET + twin).splitlines()
    assert told == ["8: another target is named 'shop'", "10: another target listens on this address"]


def test_port_0_may_be_given_often(load):
    first = TARGET.replace("6432", "0")
    assert len(load(first + first.removeprefix("targets:\n").replace("shop", "other")).targets) == 2


def test_listening_beyond_loopback_takes_a_certificate(load, tmp_path):
    for name in ("c.pem", "k.pem"):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0o600)
    beyond = TARGET.replace("127.0.0.1:6432", "'[::]:6432'") + "    tls: {cert_file: c.pem, key_file: k.pem}\n"
    config = load(beyond)
    assert config.targets[0].listen == Listen("::", 6432)
    assert config.warnings == ()
    (tmp_path / "k.pem").chmod(0o644)
    assert load(beyond).warnings == (f"{tmp_path}/k.pem can be read by others than its owner",)


def test_a_secret_is_read_when_it_is_needed_and_shown_never(load, monkeypatch):
    config = load(with_upstream("password: env:SHOP_PASSWORD"))
    secret = config.targets[0].upstream.password
    assert secret.reveal() == "from-the-environment"
    assert (repr(secret), str(secret)) == ("***", "***")
    assert "from-the-environment" not in repr(config)
    monkeypatch.setitem(os.environ, "SHOP_PASSWORD", "rotated")
    assert secret.reveal() == "rotated"


def test_a_secret_file_loses_its_line_end_and_should_be_closed_to_others(load, tmp_path):
    (tmp_path / "pw").write_text(" s3cret \n")
    (tmp_path / "pw").chmod(0o644)
    config = load(with_upstream("password: file:pw"))
    assert config.targets[0].upstream.password.reveal() == " s3cret "
    assert config.warnings == (f"{tmp_path}/pw can be read by others than its owner",)
    (tmp_path / "pw").chmod(0o600)
    assert load(with_upstream("password: file:pw")).warnings == ()


def test_nothing_is_expanded(load):
    assert load(TARGET.replace("user: app", "user: ${SHOP_PASSWORD}")).targets[0].upstream.user == "${SHOP_PASSWORD}"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: None, "cannot be read"),
        (lambda p: p.mkdir(), "cannot be read"),
        (lambda p: p.write_bytes(b"\xff"), "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, make, told):
    path = tmp_path / "countersign.yaml"
    make(path)
    with pytest.raises(ConfigError, match=told):
        load_config(path)


@pytest.mark.parametrize(("value", "enforced"), [("", False), ("    read_only: off\n", False), ("    read_only: enforce\n", True)])
def test_reads_are_read_only_where_the_target_says_so(load, value, enforced):
    assert load(TARGET + value).targets[0].read_only is enforced


@pytest.mark.parametrize("value", ["on", "true", "enforced", "1", "[enforce]"])
def test_a_mode_of_reads_that_is_none_is_refused_with_the_ones_there_are(refused, value):
    assert "off, enforce" in refused(TARGET + f"    read_only: {value}\n")


def labelled(columns, *masks, more=""):
    """A configuration whose target labels columns, with these mask rules in a policy file."""
    return f"{TARGET}    columns: {columns}\n{more}policies: [p.yaml]\n", "masking:\n" + "".join(f"  - {mask}\n" for mask in masks)


@pytest.fixture
def load_labelled(load, tmp_path):
    def load_labelled(*words, **options):
        configuration, policy = labelled(*words, **options)
        (tmp_path / "p.yaml").write_text(policy)
        return load(configuration)

    return load_labelled


OTHER = TARGET.replace("targets:\n", "").replace("shop", "billing").replace("6432", "6433")


def test_a_rule_masks_what_each_target_labels_so_beside_its_own_columns(load_labelled):
    rule = "{name: m, labels: [pii, secret], columns: ['*.people.ssn'], operator: {hash: {}}}"
    columns = "{pii: [public.customers.email, public.*.phone], secret: [vault.keys.token]}"
    config = load_labelled(columns, rule, more=OTHER + "    columns: {pii: [public.payers.iban]}\n")
    (on_shop,), (on_billing,) = (config.policy.masking_for(target) for target in ("shop", "billing"))
    assert on_shop.columns == ("*.people.ssn", "public.customers.email", "public.*.phone", "vault.keys.token")
    assert on_billing.columns == ("*.people.ssn", "public.payers.iban")
    assert on_shop.operator_json == '{"hash":{}}'
    assert config.warnings == ()


def test_a_rule_of_labels_only_is_none_of_a_target_that_attaches_none_of_them(load_labelled):
    config = load_labelled("{pii: [a.b.c]}", "{name: m, labels: [pii]}", "{name: n, labels: [pii], detect: [email]}", more=OTHER)
    assert [(rule.name, rule.columns) for rule in config.policy.masking_for("shop")] == [("m", ("a.b.c",)), ("n", ("a.b.c",))]
    assert [(rule.name, rule.columns, rule.detect) for rule in config.policy.masking_for("billing")] == [("n", (), ("email",))]


def test_a_label_that_no_rule_names_is_warned_of_for_it_masks_nothing(load_labelled):
    config = load_labelled(
        "{pii: [a.b.c], secret: [a.b.d]}", "{name: m, labels: [pii]}", "{name: n, targets: [other], detect: [email]}"
    )
    assert config.warnings == ("no mask rule names the label 'secret' of target 'shop': it masks nothing",)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("{}", "8: 'columns' labels nothing (hint: columns: {pii: [public.customers.email]})"),
        ("[a.b.c]", "8: 'columns' must be a mapping"),
        ("{pii: a.b.c}", "8: 'pii' must be a list"),
        ("{pii: []}", "8: no column is labelled 'pii' (hint: schema.table.column, where * may stand for any part)"),
        ("{pii: [3]}", "8: 'pii' holds 3, which is not text"),
        ("{PII: [a.b.c]}", "8: 'PII' is no label (hint: lower-case letters, digits, '.', '_' and '-')"),
        ("{pii: ['*']}", "8: '*' does not name a column (hint: schema.table.column, where * may stand for any part; did you mean '*.*.*'?)"),
        ("{pii: [a.b.c.d]}", "8: 'a.b.c.d' does not name a column (hint: schema.table.column, where * may stand for any part; a dot within a name is written ?)"),
        ("{pii: [a..c]}", "8: 'a..c' does not name a column (hint: schema.table.column, where * may stand for any part)"),
        ("\n      pii:\n        - a.b.c\n        - b.c", "11: 'b.c' does not name a column"),
    ],
)  # fmt: skip
def test_a_label_without_sound_columns_is_refused_with_its_line(refused, columns, told):
    assert refused(f"{TARGET}    columns: {columns}\n").startswith(told)


def test_a_rule_that_names_a_label_of_none_of_its_targets_is_refused_with_those_there_are(load_labelled, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_labelled("{pii: [a.b.c]}", "{name: m, labels: [pii, pi]}", "{name: n, targets: ['b*'], labels: [pii]}", more=OTHER)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == [
        "p.yaml:2: no target of mask rule 'm' labels a column 'pi' (hint: known: pii)",
        "p.yaml:3: no target of mask rule 'n' labels a column 'pii' (hint: a target attaches them: "
        "columns: {pii: [public.customers.email]})",
    ]


def test_a_broken_target_does_not_make_its_labels_look_unknown(load_labelled, tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_labelled("{pii: [a.b.c]}\n    listn: x", "{name: m, labels: [pii]}")
    assert [problem.line for problem in caught.value.problems] == [9]


def test_how_long_bodies_of_records_are_kept(load, refused):
    assert load(TARGET).audit.keep_bodies is None
    assert load("audit: {keep_bodies: 400d}\n" + TARGET).audit.keep_bodies == timedelta(days=400)
    for wrong in ("0d", "12h", "forever", "-3d", "400"):
        assert "a number of days such as 400d" in str(refused(f"audit: {{keep_bodies: {wrong}}}\n" + TARGET))


def test_the_audit_log_s_key_and_witnesses(load, tmp_path, refused):
    assert load(TARGET).audit.key_path == tmp_path / "audit.key"
    found = load(
        "audit: {key_file: keys/log.key, witness_file: w.notes, witness_url: 'https://w.example/hook/token'}\n" + TARGET
    ).audit
    assert found.key_path == tmp_path / "keys" / "log.key"
    assert [one.place for one in found.witnesses] == [FilePlace(tmp_path / "w.notes"), WebhookPlace("https://w.example/hook/token")]
    assert "token" not in repr(found)
    assert load("audit: {witness_url: 'http://127.0.0.1:9/x'}\n" + TARGET).audit.witnesses


@pytest.mark.parametrize("url", ["http://w.example/hunter2", "ftp://w.example", "hunter2", "https://", "https://[::1/hunter2"])
def test_a_witness_is_reached_by_tls_or_on_this_machine(refused, url):
    found = refused(f"audit: {{witness_url: '{url}'}}\n" + TARGET)
    assert "no address of a witness" in found and "hunter2" not in found
