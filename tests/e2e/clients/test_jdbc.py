"""pgjdbc: its four query modes, fetch size, batches, autosave, COPY, large objects by function call, and DatabaseMetaData."""

import re
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "jdbc"
MODES = ["simple", "extended", "extendedForPrepared", "extendedCacheEverything"]
DIALOGUES = [
    "start",
    *(f"{what}-{mode}" for what in ("types", "errors") for mode in MODES),
    "binary",
    "prepared",
    "fetch size",
    "scrolling and updating",
    "batches",
    "rewritten batches",
    "keys",
    *(f"autosave-{when}" for when in ("never", "always", "conservative")),
    "copies",
    "metadata",
    "large objects",
    "notifications",
    "cancelling",
    "big",
]
EXPECTED = {
    "start": "application_name=jdbc",
    "types-simple": "漢字",
    "errors-extended": "22012|division by zero",
    "binary": '"b,c"',
    "prepared": "item 7|14|",
    "fetch size": "item 50!",
    "batches": "23505",
    "copies": "5047434f50590aff0d0a00",
    "cancelling": "57014",
    "large objects": "000102030000",
    "notifications": "news two true",
    "big": "3000000 2000000",
}


@pytest.fixture(scope="module")
def program(need_program, tmp_path_factory):
    """The dialogues, compiled, as a command."""
    java, javac = need_program("java"), need_program("javac")
    jars = [str(jar) for jar in (FOLDER / "lib").glob("postgresql-*.jar")]
    if not jars:
        pytest.skip("pgjdbc is missing: run `mvn dependency:copy-dependencies -DoutputDirectory=lib` in tests/e2e/clients/jdbc")
    classes = tmp_path_factory.mktemp("classes")
    subprocess.run([javac, "-d", classes, "-cp", jars[0], FOLDER / "Dialogues.java"], check=True)
    return [
        java,
        "-XX:TieredStopAtLevel=1",
        "-Dfile.encoding=UTF-8",
        "-Dstdout.encoding=UTF-8",
        "-Duser.timezone=UTC",
        "-cp",
        f"{classes}:{jars[0]}",
        "Dialogues",
    ]


def hold(program, address, *names):
    """What was said in each of these dialogues."""
    done = subprocess.run([*program, *names], env=address.environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-3000:]
    # The number of a session's temporary schema is of the server's choosing.
    parts = re.sub(r"pg_temp_\d+", "pg_temp", done.stdout).split("## ")[1:]
    return {name: text for name, _, text in (part.partition("\n") for part in parts)}


@pytest.fixture(scope="module")
def said(twins, program):
    """All dialogues, direct and through the gateway."""
    return [hold(program, address, *DIALOGUES) for address in (twins.direct, twins.through)]


@pytest.mark.parametrize("name", DIALOGUES)
def test_dialogue(twins, said, name):
    direct, through = said
    assert "FAILED" not in direct[name], direct[name]
    assert EXPECTED.get(name, "") in direct[name]
    twins.same(lambda address: (direct if address == twins.direct else through)[name])


def test_functions(twins, program):
    text = twins.same(lambda address: hold(program, address, "functions")["functions"], opaque=True)
    assert "shouting x" in text
    assert text.startswith("42\ntrue\n")


def test_a_masked_table_is_masked(twins, program):
    direct, through = twins.both(lambda address: hold(program, address, "masked")["masked"])
    assert direct.count("123-45-6781") == 2
    assert "123-45" not in through
    assert "1|***-**-6781|null|write to [redacted]|" in through
    assert len(through.splitlines()) == len(direct.splitlines())
