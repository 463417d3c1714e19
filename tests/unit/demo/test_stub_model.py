import json
import urllib.request

import pytest

from countersign.demo.shop import DESTRUCTIVE_SQL
from countersign.demo.stub_model import StubModel


@pytest.fixture
def model():
    with StubModel() as running:
        yield running


def ask(model, *results, tools=("run_sql",)):
    messages = [
        {"role": "user", "content": "go on"},
        *({"role": "tool", "tool_call_id": "c", "content": result} for result in results),
    ]
    body = {"model": "stub", "messages": messages, "tools": [{"type": "function", "function": {"name": name}} for name in tools]}
    request = urllib.request.Request(
        f"{model.url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)["choices"][0]


def called(choice):
    function = choice["message"]["tool_calls"][0]["function"]
    return function["name"], json.loads(function["arguments"])


def test_it_asks_for_the_destructive_statement_first(model):
    assert called(ask(model)) == ("run_sql", {"sql": DESTRUCTIVE_SQL})


def test_it_concludes_with_what_the_tool_answered(model):
    choice = ask(model, "the database refused: not today")
    assert choice["finish_reason"] == "stop"
    assert "not today" in choice["message"]["content"]


def test_it_reads_customers_and_then_sums_up(model):
    first = called(ask(model, tools=("nl2sql_tool",)))
    second = called(ask(model, "rows", tools=("nl2sql_tool",)))
    assert "FROM customers" in first[1]["sql_query"]
    assert "revenue" in second[1]["sql_query"]
    assert ask(model, "rows", "sums", tools=("nl2sql_tool",))["finish_reason"] == "stop"


def test_it_remembers_each_answer_that_a_tool_gave_once(model):
    ask(model, "rows")
    ask(model, "rows", "sums")
    assert model.seen == ["rows", "sums"]
