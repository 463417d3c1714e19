import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from countersign.demo.database import DATABASE, USER, DemoDatabase, binaries


def who(database):
    with psycopg.connect(database.uri) as connection:
        return connection.execute("SELECT current_user, current_database()").fetchone()


def test_it_runs_and_leaves_nothing_behind():
    with DemoDatabase() as database:
        assert who(database) == (USER, DATABASE)
        folder, process = database.folder, database._process
    assert not folder.exists()
    assert process.poll() is not None


def test_a_wrong_password_is_refused():
    with DemoDatabase() as database, pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(database.uri.replace(database.password, "wrong"))


@pytest.mark.parametrize(
    "setting",
    ["PGSERVICE=nosuch", "PGOPTIONS=-c nosuch.setting=1 -c nosuch=1", "PGDATABASE=nosuch", "PGSSLMODE=verify-full", "PGUSER=bob"],
)
def test_the_shell_s_own_postgres_settings_do_not_matter(setting, monkeypatch):
    name, _, value = setting.partition("=")
    monkeypatch.setenv(name, value)
    with DemoDatabase() as database:
        monkeypatch.delenv(name)
        assert who(database) == (USER, DATABASE)


def test_a_temporary_folder_too_deep_for_a_socket_is_avoided(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with DemoDatabase() as database:
        assert who(database) == (USER, DATABASE)
    assert not list(deep.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes to another user")
def test_root_uses_a_copy_where_the_wheel_is_out_of_reach(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    wheel = binaries().parents[1]
    for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if folder.is_dir():
            subprocess.run(["cp", "-R", folder, closed], check=True)
    monkeypatch.setattr("countersign.demo.database.binaries", lambda major=16: closed / wheel.name / binaries().relative_to(wheel))
    with DemoDatabase() as database:
        assert who(database) == (USER, DATABASE)
        assert Path(database.psql).is_relative_to(database.folder)
