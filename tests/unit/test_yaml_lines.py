import pytest

from countersign.yaml_lines import NODE_LIMIT, parse


def refused(text):
    document, problems = parse(text, "f.yaml")
    assert document is None
    assert len(problems) == 1
    return str(problems[0])


def test_lines_of_keys_and_items_are_kept():
    document, problems = parse("a: 1\nb:\n  - x\n\n  - y\n", "f.yaml")
    assert not problems
    assert document.lines == {"a": 1, "b": 2}
    assert document["b"].lines == [3, 5]


def test_a_key_is_its_text_as_written():
    assert parse("{null: 1, on: 2, no: 3}", "f.yaml")[0] == {"null": 1, "on": 2, "no": 3}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\na: 2\n", "f.yaml:2: the key 'a' is given twice"),
        ("a: 1\n'a': 2\n", "f.yaml:2: the key 'a' is given twice"),
        ("a: 1\n1: 2\n", "f.yaml:2: a key must be a word (hint: quote it if it should be one)"),
        ("a: 1\n? [x]\n: 2\n", "f.yaml:2: a key must be a word (hint: quote it if it should be one)"),
        ("a: 1\n<<: {b: 2}\n", "f.yaml:2: a key must be a word (hint: quote it if it should be one)"),
        ("a: 1\nb: !!set {x}\n", "the tag 'tag:yaml.org,2002:set' is not allowed"),
        ("a: 1\nb: !!python/tuple [x]\n", "the tag 'tag:yaml.org,2002:python/tuple' is not allowed"),
        ("a: 1\nb: !!python/object/apply:os.system [x]\n", "is not allowed"),
        ("a: 1\nb: !secret x\n", "f.yaml:2: not valid YAML: could not determine a constructor"),
        ("a: 1\nb: !!bool abc\n", "f.yaml:2: this is no bool (hint: quote it if it should be text)"),
        ("a: 1\nb: !!int ''\n", "f.yaml:2: this is no int"),
        ("a: 1\nb: !!timestamp abc\n", "f.yaml:2: this is no timestamp"),
        ("a: 1\n\nb: 2026-13-45\n", "f.yaml:3: this is no timestamp"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: not valid YAML"),
        ("a: 1\nb: [\n", "f.yaml:3: not valid YAML"),
        ("a: \0", "f.yaml:1: not valid YAML"),
        ("[" * 100 + "]" * 100, "f.yaml:1: nested too deeply"),
        ("[" * 5000, "f.yaml:1: n"),
        ("a: &a [*a]\n", "f.yaml:1: nested too deeply"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text, told):
    assert told in refused(text)


def test_nested_aliases_cannot_fill_the_memory():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 9):
        bomb += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    assert NODE_LIMIT < 10**9
    assert "too large" in refused(bomb)


def test_i6_a_password_that_reads_as_an_alias_is_not_quoted():
    assert refused("a: 1\npassword: *hunter2\n") == "f.yaml:2: not valid YAML: a value that begins with '*' must be quoted"
