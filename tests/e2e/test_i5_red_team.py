"""What an agent could try to read values of masked columns, on two databases that differ in nothing but those values (I5).

Under a policy that lets it read, write and change the schema, whatever it is shown must be the same on both, and hold no value in any of
the spellings that people know to undo. What differs because a filter looked at a value must be reported to policy, and be refused by one
that forbids it. Only column rules are on, so that no detector helps.
"""

import base64
import binascii
import contextlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import pq

from countersign.demo.database import DemoDatabase

CORPUS = Path(__file__).parents[1] / "corpus" / "red_team"
VALUES = [
    {"ssn": "457-55-5462", "email": "kellerhals@quixotry.org", "card": "5105 1051 0510 5100"},
    {"ssn": "612-34-9087", "email": "oberholzerin@zephyrus.net", "card": "4000 0566 5566 5556"},
]
COLUMNS = tuple(VALUES[0])
TABLES = ("people", "people_r", "people_unique", "people_twice", "people_checked", "people_generated")
POLICY = f"""
rules:
  - {{name: much-may-run, effects: [read, session, write, ddl], action: allow}}
  - {{name: not-understood, effects: [unknown, exec, admin], action: deny}}
  - {{name: copies, when: sql.moves_masked.size() > 0, action: deny, message: copies what is masked}}
PROBES
masking:
  - name: secrets
    columns: [{", ".join(f"public.{table}.{column}" for table in TABLES for column in COLUMNS)}, public.visits.secret, public.referring.ssn]
"""
NO_PROBES = "  - {name: probes, when: sql.probes_masked.size() > 0, action: deny, message: filters by what is masked}"
NEVER_THE_SAME = ("EXPLAIN ANALYZE VERBOSE", "pg_stat_activity", "system columns beside it", "random seed of the value")
"""They tell of times, processes, transactions and chance: only the values are looked for."""


@dataclass
class Shown:
    """Everything that a client was shown."""

    cells: list[bytes] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __eq__(self, other):
        return self.cells == other.cells and self.words == other.words


def attempts():
    found = {}
    for paragraph in CORPUS.joinpath("masked_values.sql").read_text().split("\n\n")[1:]:
        name, *statements = paragraph.strip().splitlines()
        assert name.removeprefix("-- ") not in found, name
        found[name.removeprefix("-- ")] = statements
    return found


ATTEMPTS = attempts()


def test_there_are_enough_of_them():
    assert len(ATTEMPTS) >= 150


@pytest.fixture(scope="module")
def targets(tmp_path_factory, gateway_class):
    """For each set of values: a gateway that lets much run, and one that forbids filters too."""
    schema = CORPUS.joinpath("schema.sql").read_text()
    with contextlib.ExitStack() as stack:
        found = []
        for values in VALUES:
            server = stack.enter_context(DemoDatabase())
            owner = {"host": str(server.folder), "port": server.port, "user": "postgres", "dbname": "postgres"}
            with psycopg.connect(**owner, autocommit=True) as connection:
                connection.execute("ALTER ROLE app SUPERUSER")  # nothing is to be hidden by the server's own privileges
                for column in COLUMNS:
                    connection.execute(f"CREATE DATABASE of_{column} OWNER app")
            for column in COLUMNS:
                with psycopg.connect(re.sub(r"/\w+(\?|$)", rf"/of_{column}\1", server.uri), autocommit=True) as connection:
                    connection.execute(schema.format(**values))
            pair = []
            for extra in ("", NO_PROBES):
                folder = tmp_path_factory.mktemp("gateway")
                gateway = gateway_class(folder, server.port, server.password, policy=POLICY.replace("PROBES", extra))
                stack.callback(gateway.stop)
                pair.append(gateway)
            found.append(pair)
        yield found


def attempt(gateway, column, statements, *, binary):
    shown = Shown()
    with psycopg.connect(gateway.uri(f"of_{column}"), autocommit=True) as connection:
        raw = connection.pgconn
        raw.notice_handler = lambda result: shown.words.append(words_of(result))
        for statement in statements:
            sql = statement.replace("{c}", column).encode()
            raw.send_query_params(sql, [], result_format=1) if binary else raw.send_query(sql)
            while raw.flush():
                pass
            while (result := raw.get_result()) is not None:
                take(raw, result, shown)
                if result.status == pq.ExecStatus.FATAL_ERROR and raw.status != pq.ConnStatus.OK:
                    return shown
            while (note := raw.notifies()) is not None:
                shown.cells.append(note.extra)
        shown.words.append(str(raw.parameter_status(b"application_name")))
    return shown


def take(raw, result, shown):
    if result.status == pq.ExecStatus.COPY_OUT:
        while (piece := raw.get_copy_data(0))[0] > 0:
            shown.cells.append(bytes(piece[1]))
        return
    if result.status == pq.ExecStatus.COPY_IN:
        raw.put_copy_end()
        return
    if result.status == pq.ExecStatus.FATAL_ERROR:
        shown.words.append(words_of(result))
    for row in range(result.ntuples):
        for column in range(result.nfields):
            value = result.get_value(row, column)
            shown.cells.append(b"\\N" if value is None else bytes(value))


def words_of(result):
    fields = (pq.DiagnosticField.SQLSTATE, pq.DiagnosticField.MESSAGE_PRIMARY, pq.DiagnosticField.MESSAGE_DETAIL)
    found = [result.error_field(name) or b"" for name in (*fields, pq.DiagnosticField.MESSAGE_HINT, pq.DiagnosticField.CONTEXT)]
    # Ids of the gateway's own are new each time.
    return re.sub(r"\b(cmd|rv|err|se)-[0-9a-f]{12}\b", "id", b" | ".join(found).decode("utf-8", "replace"))


def reveals(shown, secret):
    """Whether a value, or six characters of it on end, can be read from what was shown, by what people know to undo."""
    bare = re.sub(r"[^a-z0-9]", "", secret.lower())
    pieces = {bare[at : at + 6] for at in range(len(bare) - 5)}
    pieces |= {piece[::-1] for piece in pieces}
    for text in spellings(shown):
        plain = re.sub(r"[^a-z0-9]", "", text.lower())
        if any(piece in plain for piece in pieces):
            return True
    return False


def spellings(shown):
    joined = b"".join(cell for cell in shown.cells)
    text = joined.decode("utf-8", "replace")
    yield text
    yield " ".join(shown.words)
    numbers = [int(found) for found in re.findall(r"\d+", " ".join(cell.decode("latin-1") for cell in shown.cells))]
    yield "".join(chr(number) for number in numbers if number < 0x110000 and not 0xD800 <= number < 0xE000)
    yield "".join(chr(number - 1000) for number in numbers if 1000 <= number < 2000)
    for word in re.findall(r"[0-9a-f]{12,}", text):
        yield bytes.fromhex(word[: len(word) // 2 * 2]).decode("latin-1")
    for word in re.findall(r"[A-Za-z0-9+/=]{12,}", text):
        with contextlib.suppress(binascii.Error):
            yield base64.b64decode(word + "=" * (-len(word) % 4)).decode("latin-1")
    bits = "".join(re.findall(r"[01]", text))
    for order in (1, -1):
        yield "".join(chr(int(bits[at : at + 8][::order], 2)) for at in range(0, len(bits) - 7, 8))
    yield text.translate(str.maketrans("abcdefghij", "0123456789"))


@pytest.mark.parametrize(("column", "binary"), [*((column, False) for column in COLUMNS), ("ssn", True)])
def test_i5_no_way_to_ask_shows_a_masked_value(targets, column, binary):
    failures = []
    for name, statements in ATTEMPTS.items():
        if binary and any(";" in statement and "$$" not in statement for statement in statements):
            continue  # several statements go by a simple Query only
        open_to_much = [attempt(gateway, column, statements, binary=binary) for gateway, _ in targets]
        secrets = [secret for values in VALUES for secret in values.values()]
        if any(reveals(shown, secret) for shown in open_to_much for secret in secrets):
            failures.append(f"{name}: shows a value: {open_to_much[0]}")
        elif open_to_much[0] != open_to_much[1] and name not in NEVER_THE_SAME:
            strict = [attempt(gateway, column, statements, binary=binary) for _, gateway in targets]
            if strict[0] != strict[1]:
                failures.append(f"{name}: differs, and no filter is reported: {strict}")
    assert not failures, "\n".join(failures)
