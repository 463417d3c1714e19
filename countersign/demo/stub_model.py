"""A local stand-in for a model service: it speaks the OpenAI chat API and follows a script, so that no key and no network is needed.

Everything else of the crew is real. The script looks only at what a model would see: the tools offered and the conversation so far.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from countersign.demo.shop import DESTRUCTIVE_SQL

CALLS = {
    "nl2sql_tool": (
        ("sql_query", "SELECT id, name, email, card_number, ssn, notes FROM customers ORDER BY id LIMIT 8"),
        ("sql_query", "SELECT status, count(*) AS orders, sum(total) AS revenue FROM orders GROUP BY status ORDER BY status"),
    ),
    "run_sql": (("sql", DESTRUCTIVE_SQL),),
}


class StubModel:
    """A running stub; ``seen`` is everything that tools answered to the model."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(stub.answer(request)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The next step of the script for this conversation."""
        results = [str(message["content"]) for message in request["messages"] if message["role"] == "tool"]
        self.seen.extend(result for result in results if result not in self.seen)
        offered = [tool["function"]["name"] for tool in request.get("tools") or []]
        for name in offered:
            if name in CALLS and len(results) < len(CALLS[name]):
                argument, sql = CALLS[name][len(results)]
                return _completion(tool_call(name, len(results), {argument: sql}))
        return _completion({"role": "assistant", "content": f"Done. The last answer was: {results[-1] if results else 'nothing'}"})

    def __enter__(self) -> "StubModel":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def tool_call(name: str, number: int, arguments: dict[str, str]) -> dict[str, Any]:
    """An assistant's message that calls a tool."""
    call = {"id": f"call_{name}_{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _completion(message: dict[str, Any]) -> dict[str, Any]:
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    return {
        "id": "chatcmpl-stub",
        "object": "chat.completion",
        "created": 0,
        "model": "stub",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
