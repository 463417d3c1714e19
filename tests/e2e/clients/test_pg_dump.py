"""pg_dump and pg_restore: what is dumped through the gateway is what is dumped without it, byte for byte, and it comes back whole."""

import re
from pathlib import Path

import psycopg
import pytest

pytestmark = pytest.mark.parametrize("major", [15, 16, 18], indirect=True, scope="module")

RESTRICT = re.compile(rb"^\\(un)?restrict \S+$", re.MULTILINE)
"""A random word that newer versions put around a plain dump."""
MADE = re.compile(r"^;.*$", re.MULTILINE)
PLAIN = [
    [],
    ["--inserts", "--rows-per-insert=50"],
    ["--column-inserts", "--on-conflict-do-nothing"],
    ["--data-only", "--disable-triggers"],
    ["--schema-only", "--clean", "--if-exists", "--create"],
    ["--no-owner", "--no-privileges", "--quote-all-identifiers", "--serializable-deferrable"],
    ["--table=wide", "--table=public.item*", "--strict-names"],
    ["--section=pre-data"],
    ["--section=post-data"],
    ["--load-via-partition-root", "--no-comments"],
]


@pytest.fixture(scope="module")
def filled(twins):
    """The database that is dumped, which holds no masked table."""
    for address in (twins.direct, twins.behind):
        with psycopg.connect(address.uri, autocommit=True) as connection:
            connection.execute((Path(__file__).parent / "dump.sql").read_text())
            connection.execute("DROP TABLE secrets")
    return twins


def dump(twins, address, *words):
    done = twins.run(address, "pg_dump", *words)
    assert done.status == 0, done.text[-3000:]
    return done.text


def dump_file(twins, address, file, *words):
    dump(twins, address, "-f", file, *words)
    return RESTRICT.sub(b"", file.read_bytes())


def assert_same(through, direct):
    """Two dumps; where they differ, the first lines that do."""
    if through != direct:
        differ = [pair for pair in zip(direct.splitlines(), through.splitlines(), strict=False) if pair[0] != pair[1]]
        near = [next(i for i, (a, b) in enumerate(zip(*pair, strict=False)) if a != b) for pair in differ[:3]]
        shown = [[line[max(0, at - 60) : at + 60] for line in pair] for pair, at in zip(differ, near, strict=False)]
        pytest.fail(f"{len(differ)} lines differ: {shown}", pytrace=False)


@pytest.mark.parametrize("words", PLAIN, ids=lambda words: " ".join(words) or "all")
def test_a_plain_dump_is_the_same_byte_for_byte(filled, tmp_path, words):
    direct = dump_file(filled, filled.behind, tmp_path / "direct", *words)
    through = dump_file(filled, filled.through, tmp_path / "through", *words)
    assert_same(through, direct)
    assert len(direct) > 1000


@pytest.mark.parametrize("form", ["custom", "tar", "directory", "parallel"])
def test_an_archive_holds_the_same_and_comes_back_whole(filled, tmp_path, form):
    archives = {}
    words = ["-Fd", "-j2"] if form == "parallel" else [f"--format={form}"]
    if form != "tar":
        words.append("-Z0" if form == "directory" else "-Z1")
    for name, address in (("direct", filled.behind), ("through", filled.through)):
        archives[name] = tmp_path / name
        assert dump(filled, address, *words, "-f", archives[name]) == ""
    listed = {name: MADE.sub("", filled.run(filled.direct, "pg_restore", "-l", file).text) for name, file in archives.items()}
    assert listed["through"] == listed["direct"]
    scripts = {name: script(filled, file, tmp_path / f"{name}.sql") for name, file in archives.items()}
    assert_same(scripts["through"], scripts["direct"])
    if archives["direct"].is_dir():
        data = {name: {f.name: f.read_bytes() for f in file.iterdir() if f.name != "toc.dat"} for name, file in archives.items()}
        assert data["through"] == data["direct"]
    restored_is_whole(filled, tmp_path, f"back_{form}", archives["through"], parallel=form in ("parallel", "custom"))


def script(twins, archive, file):
    assert twins.run(twins.direct, "pg_restore", "-f", file, archive).text == ""
    return RESTRICT.sub(b"", file.read_bytes())


def restored_is_whole(twins, tmp_path, database, archive, *, parallel):
    twins.create_database(database)
    words = ["-j2"] if parallel else ["--single-transaction"]
    done = twins.run(twins.through.of(database), "pg_restore", *words, "-d", database, "--exit-on-error", archive)
    assert (done.status, done.text) == (0, "")
    before = dump_file(twins, twins.behind, tmp_path / "before")
    after = dump_file(twins, twins.behind.of(database), tmp_path / "after")
    assert_same(after, before)


def test_a_plain_dump_runs_through_psql(filled, tmp_path):
    dump_file(filled, filled.through, file := tmp_path / "plain.sql")
    filled.create_database("back_plain")
    words = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-1", "-f", file]
    direct, done = (filled.run(address.of("back_plain"), "psql", *words) for address in (filled.direct, filled.through))
    assert done == direct  # a dump with large objects has transactions of its own, of which the server warns inside -1
    assert done.status == 0, done.text
    before = dump_file(filled, filled.behind, tmp_path / "before")
    assert dump_file(filled, filled.behind.of("back_plain"), tmp_path / "after") == before


def test_inserts_run_through_psql(filled, tmp_path):
    dump_file(filled, filled.through, file := tmp_path / "inserts.sql", "--inserts", "--rows-per-insert=200")
    filled.create_database("back_inserts")
    done = filled.run(filled.through.of("back_inserts"), "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-f", file)
    assert (done.status, done.text) == (0, "")
    before = dump_file(filled, filled.behind, tmp_path / "before", "-T", "kinds")
    assert dump_file(filled, filled.behind.of("back_inserts"), tmp_path / "after", "-T", "kinds") == before


@pytest.mark.parametrize(
    "words",
    [
        ["--globals-only", "--no-role-passwords"],
        ["--no-role-passwords", "--exclude-database=template*", "--exclude-database=back_*"],
    ],
)
def test_a_dump_of_the_whole_cluster(filled, tmp_path, words):
    """Without what other tests restored: six times the same rows take longer than a program is given on a busy machine."""
    if filled.major == 15 and len(words) > 1 and not words[0].startswith("--globals"):
        words = [*words, "--exclude-database=postgres"]
    files = []
    for address in (filled.behind, filled.through):
        file = tmp_path / str(address.port)
        done = filled.run(address, "pg_dumpall", *words, "-f", file)
        assert (done.status, done.text) == (0, "")
        files.append(RESTRICT.sub(b"", file.read_bytes()))
    assert files[0] == files[1]


@pytest.mark.parametrize("words", [[], ["--inserts"]], ids=["copy", "inserts"])
def test_a_masked_table_is_dumped_masked(filled, tmp_path, words):
    filled.create_database("masked")
    with psycopg.connect(filled.behind.of("masked").uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE secrets (id int PRIMARY KEY, ssn text, salary int, note text)")
        connection.execute(
            "INSERT INTO secrets VALUES (1, '123-45-6781', 1001, 'write to ann@example.com'), (2, '123-45-6782', 1002, 'nothing here')"
        )
    direct = dump_file(filled, filled.behind.of("masked"), tmp_path / "direct", *words).decode()
    through = dump_file(filled, filled.through.of("masked"), tmp_path / "through", *words).decode()
    assert "123-45-6781" in direct
    assert "123-45" not in through
    assert "1001" not in through
    assert "ann@example.com" not in through
    assert "***-**-6781" in through
    assert "nothing here" in through
    assert len(through.splitlines()) == len(direct.splitlines())
