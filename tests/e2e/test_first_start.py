"""`manage.py runserver` on an empty data folder, on one of an older version, and where it cannot start."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from tests.e2e import warm
from tests.e2e.stack import ROOT, daphne, free_port, on_sqlite, until

LINK = re.compile(r"http://127\.0\.0\.1:\d+/first-account/#(\S+)")
PASSWORD = "correct-horse-battery"
OLD = "0014"


def environment(data: Path, **more: str) -> dict[str, str]:
    ours = ("FL_", "DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return plain | {"FL_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"} | more


@contextmanager
def served(data: Path, out: Path, *, piped: bool = True) -> Iterator[str]:
    """A server on this folder; gives its address. Its output is read through a pipe, or goes to the file at once."""
    port = free_port()
    with out.open("wb") as file:
        kept = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) if piped else None
        to = kept.stdin if kept else file
        process = subprocess.Popen(
            [sys.executable, *daphne(port)], cwd=ROOT, env=environment(data, FL_DEBUG="1"), stdout=to, stderr=to
        )
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: requests.get(f"{address}/sign-in/", timeout=5).ok, why="the server does not start")
            yield address
        finally:
            process.terminate()
            process.wait(30)
            if kept and kept.stdin:
                kept.stdin.close()
                kept.wait(30)


def manage(data: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return warm.run(["manage.py", *words], env=environment(data, **more))


def make_account(address: str, code: str, name: str = "mara") -> tuple[requests.Session, requests.Response]:
    browser = requests.Session()
    page = browser.get(f"{address}/first-account/", timeout=30)
    assert "Make the first account" in page.text and page.headers["Cache-Control"].startswith("max-age=0")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    form = {"username": name, "password1": PASSWORD, "password2": PASSWORD, "code": code}
    sent = form | {"csrfmiddlewaretoken": token[1]}
    return browser, browser.post(f"{address}/first-account/", sent, timeout=60, headers={"Referer": address})


def test_the_first_start_on_an_empty_folder(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    with served(data, out) as address:
        link = until(lambda: LINK.search(out.read_text()), why="no link is printed")
        assert link[0].startswith(address)
        assert "There is no account yet" in requests.get(f"{address}/sign-in/", timeout=30).text
        _, refused = make_account(address, "x" + link[1])
        assert refused.status_code == 403 and "This code is not valid" in refused.text
        browser, made = make_account(address, link[1])
        assert made.url == f"{address}/" and made.ok, made.text
        assert browser.get(f"{address}/sessions/new/", timeout=30).ok
        gone = requests.get(f"{address}/first-account/", timeout=30)
        assert gone.url == f"{address}/sign-in/" and "no account yet" not in gone.text
    said = out.read_text()
    assert "Traceback" not in said and "no such table" not in said
    assert said.count(link[1]) == 1, "the access log does not hold the code"
    assert (data / "db.sqlite3").stat().st_mode & 0o077 == 0
    assert not list(data.glob("*before*"))


def test_a_link_is_in_no_log_file(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    with served(data, out, piped=False) as address:
        kept = data / "first-account"
        until(kept.exists)
        found = LINK.search(kept.read_text())
        assert found is not None and kept.stat().st_mode & 0o077 == 0
        assert found[1] not in out.read_text() and str(kept) in out.read_text()
        assert make_account(address, found[1])[1].ok
    with served(data, out, piped=False):
        assert not kept.exists()
    assert "no account yet" not in out.read_text()


def test_a_database_of_an_older_version_is_copied_and_migrated(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    assert manage(data, "migrate", "federation", OLD).returncode == 0
    with served(data, out):
        pass
    (copy,) = data.glob("db.sqlite3.before-*")
    assert str(copy) in out.read_text() and copy.stat().st_mode & 0o077 == 0
    assert _last_migration(copy).startswith(OLD)
    assert _last_migration(data / "db.sqlite3") > "0015"
    with served(data, out):
        pass
    assert list(data.glob("db.sqlite3.before-*")) == [copy], "nothing is copied where nothing changes"


def _last_migration(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        query = "select max(name) from django_migrations where app = 'federation'"
        return str(connection.execute(query).fetchone()[0])


def refused(data: Path, **more: str) -> str:
    done = manage(data, *daphne(free_port())[1:], **more)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join(done.stderr.split())


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    shutil.copytree(on_sqlite()[0], tmp_path, dirs_exist_ok=True)
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as connection:
        connection.execute("insert into django_migrations (app, name, applied) values ('federation', '9999_x', 0)")
        connection.commit()
    assert "A newer version wrote the database (9999_x)" in refused(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite3").write_bytes(b"no database" * 100)
    assert "The database cannot be used: file is not a database." in refused(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert refused(tmp_path)


def test_another_database_is_left_to_its_administrator(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.management.base import CommandError
    from django.db import connection

    from flsite import first_start

    class Executor:
        def __init__(self, *_: object) -> None:
            self.loader = self
            self.graph = self
            self.applied_migrations: set[tuple[str, str]] = set()
            self.disk_migrations: dict[tuple[str, str], object] = {}

        def leaf_nodes(self) -> list[object]:
            return []

        def migration_plan(self, _: object) -> list[str]:
            return ["something"]

    monkeypatch.setattr(first_start, "MigrationExecutor", Executor)
    monkeypatch.setattr(first_start.database, "wait", lambda _: None)
    monkeypatch.setattr(type(connection), "vendor", "postgresql", raising=False)
    with pytest.raises(CommandError, match="has no tables yet. Run `manage.py migrate`"):
        first_start.prepare(print)
