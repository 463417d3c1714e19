import pytest

from countersign.policy.names import BareName, bare_names


@pytest.mark.parametrize(
    ("expression", "variable", "constants"),
    [
        ("'log' in command.tables", "command.tables", ["log"]),
        ("!('log' in command.reads) && true", "command.reads", ["log"]),
        ("command.writes == ['log', \"public.orders\", 'x']", "command.writes", ["log", "x"]),
        ("['log'] != command . writes", "command.writes", ["log"]),
        ("command.writes[0] == 'log'", "command.writes", ["log"]),
        ("'log' == command.writes[0]", "command.writes", ["log"]),
        ("command.tables.exists(t, t == 'log' || t == 'public.x')", "command.tables", ["log"]),
        ("command.tables.all(t, t in ['log', 'orders'])", "command.tables", ["log", "orders"]),
        ("command.tables.filter(t, 'log' == t).size() > 0", "command.tables", ["log"]),
        ("command.statements.exists(s, s.kind == 'UPDATE' && 'log' in s.writes)", "command.writes", ["log"]),
        ("command.statements.exists(s, s.reads.exists(r, r == 'log'))", "command.reads", ["log"]),
        ("'customers.ssn' in sql.columns_read", "sql.columns_read", ["customers.ssn"]),
        ("sql.columns_written.exists(c, c == 'ssn')", "sql.columns_written", ["ssn"]),
    ],
)
def test_a_name_without_its_schema_is_found_however_it_is_compared(expression, variable, constants):
    found = bare_names(expression)
    assert [(name.variable, name.constant) for name in found] == [(variable, constant) for constant in constants]


@pytest.mark.parametrize(
    "expression",
    [
        "'public.log' in command.tables && 'public.customers.ssn' in sql.columns_read",
        "command.tables.exists(t, t.startsWith('log') || t.endsWith('.log') || t.matches('log'))",
        "'log' in command.functions && identity.name == 'log' && 'write' in command.effects",
        "command.writes.size() == 0 && command.kinds == ['INSERT']",
        "command.text.contains(\"'log' in command.tables\")",
        "// 'log' in command.tables\ntrue",
        "command.statements.exists(s, s.kind == 'INSERT')",
        "command.writes == []",
        "'log' in target.labels",
    ],
)
def test_what_can_be_equal_is_left_alone(expression):
    assert bare_names(expression) == []


def test_it_says_how_a_full_name_is_made():
    assert bare_names("'a' in command.reads") == [BareName("command.reads", "a", "schema.table")]
