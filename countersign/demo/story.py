"""The whole story on real parts: a database, the gateway, a crew, a reviewer; and at the end a check that it went as told."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from countersign.demo.database import DemoDatabase
from countersign.demo.leash import Leash
from countersign.demo.shop import CUSTOMERS, ORDERS, cancelled_orders, create_shop, secrets_of
from countersign.demo.stub_model import StubModel

TEMPLATES = Path(__file__).with_name("templates")
PROGRAM = str(Path(sys.executable).with_name("countersign"))
REASON = "cancelled orders are needed for the audit"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
START_S = 30.0
CREW_S = 600.0


class StoryError(Exception):
    """The story did not go as told."""


def run(decide: str, directory: Path | None) -> int:
    """Tell the story; ``decide`` is approve, deny, timeout, or '' for the person at the terminal. Return the exit code."""
    _prepare_process()
    folder = (directory or Path(tempfile.mkdtemp(prefix="countersign-demo-"))).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        say(f"{folder} is not an empty folder: choose another --dir")
        return 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            Story(folder, decide, stack).tell()
    except (StoryError, RuntimeError, OSError, subprocess.SubprocessError, psycopg.Error) as error:
        say(f"\nThe story did not go as told: {error}\nWhat there is of it is in {folder}.")
        return 1
    except SystemExit:
        if directory is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return 0


def _prepare_process() -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]  # PGSERVICE, PGOPTIONS and the like are about another server
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _leave)  # else the database, the gateway and the crew would stay behind


def _leave(number: int, frame: object) -> None:
    """Unwind, so that everything is stopped and removed; a second signal does not interrupt that."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def say(text: str) -> None:
    """A line for the reader."""
    print(text, flush=True)


class Story:
    """One telling of it."""

    def __init__(self, folder: Path, decide: str, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._decide = decide
        self._stack = stack
        self._config = folder / "countersign.yaml"

    def tell(self) -> None:
        """From the empty folder to the check at the end. Raises ``StoryError``."""
        say("1. A database: PostgreSQL with a small shop.")
        database = self._stack.enter_context(DemoDatabase())
        create_shop(database.uri)
        say(f"   {CUSTOMERS} customers, {ORDERS} orders, {cancelled_orders(database.uri)} of them cancelled.")
        say("2. The gateway in front of it.")
        self._write_files(database)
        port = self._serve()
        key = self._cli("keys", "create", "crew", "--groups", "agents").strip()
        say(f"   {self._config} and {self._folder / 'policies/shop.yaml'} say what it does.")
        say("3. A CrewAI crew, whose database URI names the gateway. Nothing else of it knows Countersign.")
        model = self._stack.enter_context(StubModel())
        before = cancelled_orders(database.uri)
        crew = self._start_crew(f"postgresql://crew:{key}@127.0.0.1:{port}/shop", model.url)
        review = self._await_review(crew)
        self._decide_on(review)
        code = crew.wait(CREW_S if self._decide else None)  # a person may take as long as the review lasts
        if code != 0:
            raise StoryError(f"the crew ended with exit code {code}")
        self._check(review["id"], database, model, before)
        self._stop_gateway()
        self._epilogue(review["id"])

    # -- the parts
    def _write_files(self, database: DemoDatabase) -> None:
        (self._folder / "policies").mkdir()
        timeout = "3s" if self._decide == "timeout" else "30m"
        config = (TEMPLATES / "countersign.yaml").read_text().replace("@PORT@", str(database.port))
        policy = (TEMPLATES / "shop.yaml").read_text().replace("@TIMEOUT@", timeout)
        self._config.write_text(config)
        (self._folder / "policies" / "shop.yaml").write_text(policy)
        password = self._folder / "shop-password"
        password.touch(mode=0o600)
        password.write_text(database.password)

    def _serve(self) -> int:
        log = (self._folder / "gateway.log").open("w")
        self._stack.callback(log.close)
        self._gateway = subprocess.Popen([PROGRAM, "serve", "--config", str(self._config)], stderr=log)
        self._leash = Leash(self._gateway.pid, "TERM")
        self._stack.callback(self._stop_gateway)
        text = self._wait(
            lambda: (t := (self._folder / "gateway.log").read_text()).find("\nready") > 0 and t, START_S, "the gateway is ready"
        )
        return int(next(line for line in text.splitlines() if line.startswith("target shop")).rsplit(":", 1)[1])

    def _stop_gateway(self) -> None:
        self._leash.release()
        if self._gateway.poll() is None:
            self._gateway.terminate()
            self._gateway.wait(20)

    def _start_crew(self, uri: str, model_url: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-W", "ignore", "-m", "countersign.demo.crew", model_url]
        state = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="countersign-crew-", ignore_cleanup_errors=True))
        # The URI is not an argument: those, and so the key, show in every user's ps.
        environment = os.environ | {"DATABASE_URL": uri, "TMPDIR": state}
        crew = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self._folder, env=environment
        )
        self._stack.callback(crew.wait)
        self._stack.callback(crew.kill)
        self._stack.callback(Leash(crew.pid, "KILL", Path(state)).release)
        self.lines: list[str] = []

        def read() -> None:
            assert crew.stdout is not None
            for line in crew.stdout:
                self.lines.append(line)
                if line.startswith("  ["):
                    say(f" {line.rstrip()}")

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        return crew

    def _await_review(self, crew: "subprocess.Popen[str]") -> dict[str, Any]:
        def held() -> dict[str, Any] | None:
            if crew.poll() is not None:
                raise StoryError(f"the crew ended before anything was held: {''.join(self.lines)[-800:]}")
            found: list[dict[str, Any]] = json.loads(self._cli("reviews", "list", "--all", "--json"))
            return found[0] if found else None

        review: dict[str, Any] = self._wait(held, CREW_S, "a command is held")
        say(f"4. Held on the live connection: {review['command']['text']}")
        say(f"   {review['command']['statements'][0]['summary']}; review {review['id']}, rule {review['rule']}")
        return review

    def _decide_on(self, review: dict[str, Any]) -> None:
        program, option = shlex.quote(PROGRAM), f"--config {shlex.quote(str(self._config))}"
        if self._decide == "approve":
            say("   approving it")
            self._cli("reviews", "approve", review["id"])
        elif self._decide == "deny":
            say(f"   denying it: {REASON}")
            self._cli("reviews", "deny", review["id"], "--reason", REASON)
        elif self._decide == "timeout":
            say("   nobody decides, and it expires")
        else:
            say(f"   Your turn. In the browser: {self._cli('login').strip()}")
            say(f"   Or here: {program} reviews show {review['id']} {option}")
            say(f"            {program} reviews approve {review['id']} {option}")
            say(f"            {program} reviews deny {review['id']} --reason '{REASON}' {option}")

    # -- what came of it
    def _check(self, review_id: str, database: DemoDatabase, model: StubModel, before: int) -> None:
        review = json.loads(self._cli("reviews", "show", review_id, "--json"))
        after = cancelled_orders(database.uri)
        expected = {"approve": "executed", "deny": "denied", "timeout": "expired"}.get(self._decide)
        say(f"5. The review is {review['state']}; cancelled orders: {before} before, {after} after.")
        require(expected is None or review["state"] == expected, f"the review is {review['state']}, not {expected}")
        require((after == 0) == (review["state"] == "executed") and (after in (0, before)), "the database does not fit the review")
        seen = "\n".join(model.seen)
        leaked = [secret for secret in secrets_of(database.uri) if secret in seen]
        require(not leaked, f"{len(leaked)} originals reached the model")
        require("***-**-" in seen, "no masked answer reached the model")
        require("revenue" in seen, "the aggregate did not reach the model")
        if review["state"] == "denied":
            require(review["outcome"] in seen, "the reason did not reach the model")
        verified = json.loads(self._cli("audit", "verify", "--json"))
        require(verified["ok"], f"the audit log does not verify: {verified['problem']}")
        moves = {record["kind"] for record in json.loads(self._cli("audit", "search", "--limit", "5000", "--json"))}
        require({"command", "review.opened", f"review.{review['state']}"} <= moves, "the audit log does not tell the story")
        say(f"   The model saw masked data only. The audit log holds {verified['records']} records and verifies.")

    def _epilogue(self, review_id: str) -> None:
        record = next(r for r in json.loads(self._cli("reviews", "list", "--all", "--json")) if r["id"] == review_id)
        say(f"6. Everything is kept in {self._folder}. Where to look:")
        for words in (f"reviews show {review_id}", f"replay {record['session_id']}", "audit verify"):
            say(f"   {shlex.quote(PROGRAM)} {words} --config {shlex.quote(str(self._config))}")

    def _cli(self, *words: str) -> str:
        done = subprocess.run(
            [PROGRAM, *words, "--config", str(self._config)], capture_output=True, text=True, env=dict(os.environ)
        )
        if done.returncode != 0 and words[:2] != ("audit", "verify"):
            raise StoryError(done.stderr.strip())
        return done.stdout

    def _wait(self, found: Callable[[], Any], timeout_s: float, what: str) -> Any:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if answer := found():
                return answer
            time.sleep(0.2)
        raise StoryError(f"waited in vain: {what}")


def require(condition: bool, otherwise: str) -> None:
    """Raises ``StoryError``."""
    if not condition:
        raise StoryError(otherwise)
