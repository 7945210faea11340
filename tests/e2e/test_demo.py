"""`manage.py demo`: from nothing to a completed session, leaving no process behind."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.stack import ROOT, free_port, on_sqlite, until


def demo(folder: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "demo", "--clients", "2", *more]
    env = os.environ | {"FL_DATA_DIR": str(folder)} | environment
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def standing_on(folder: Path) -> Iterator[psutil.Process]:
    """Processes that stand on the demo's folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("FL_DATA_DIR") == str(folder):
                yield process


def left_behind(folder: Path) -> list[str]:
    return [" ".join(process.cmdline()) for process in standing_on(folder)]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder whose database is made already, which takes long."""
    return shutil.copytree(on_sqlite()[0], tmp_path / "data")


def test_interrupted_it_leaves_nothing_behind_and_goes_on_the_next_time(tmp_path: Path):
    first = demo(tmp_path, "--rounds", "2", "--port", str(free_port()))
    assert first.stdout
    for line in first.stdout:
        if line.strip().startswith("round  1"):
            break
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert left_behind(tmp_path) == []
    out, _ = demo(tmp_path, "--exit", "--port", str(free_port())).communicate(timeout=120)
    assert "Going on with demo 1" in out
    assert "demo 1: completed, 2 rounds, accuracy 0." in out
    assert left_behind(tmp_path) == []
    assert (tmp_path / "admin-password").stat().st_mode & 0o077 == 0


def test_a_taken_port_is_told_in_one_sentence(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = demo(tmp_path, "--exit", "--port", str(taken.getsockname()[1]))
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cannot be used: Address already in use. Name another" in out


def sessions(folder: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(folder / "db.sqlite3")) as database:
        return database.execute("SELECT name, status FROM federation_trainingsession").fetchall()


def test_a_server_that_does_not_start_is_told_with_where_its_log_is(installed: Path):
    (installed / "sitecustomize.py").write_text(
        "import os, sys\nif 'runserver' in sys.orig_argv: print('no memory', flush=True); os._exit(1)\n"
    )
    process = demo(installed, "--exit", "--port", str(free_port()), PYTHONPATH=str(installed))
    out, _ = process.communicate(timeout=60)
    log = installed / "logs" / "server.log"
    assert process.returncode == 1 and f"The server did not start. Its log says why: {log}" in out
    assert log.read_text() == "no memory\n"
    assert sessions(installed) == [] and left_behind(installed) == []


def test_a_client_that_ends_is_told_and_ends_the_rest(installed: Path):
    (installed / "agents").mkdir()
    (installed / "agents" / "demo-2").write_text("no folder")
    process = demo(installed, "--exit", "--port", str(free_port()))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and f"A client ended. The logs say why: {installed}/logs/demo-*.log" in out
    assert "this is a file" in (installed / "logs" / "demo-2.log").read_text()
    assert sessions(installed) == [] and left_behind(installed) == []


def test_a_server_that_was_killed_is_told_and_its_session_kept(installed: Path):
    process = demo(installed, "--rounds", "100", "--port", str(free_port()))
    until(lambda: sessions(installed) == [("demo 1", "running")], why="a session")
    for each in standing_on(installed):
        if "runserver" in each.cmdline():
            each.kill()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"The server ended. Its log says why: {installed / 'logs' / 'server.log'}" in out
    assert sessions(installed) == [("demo 1", "running")] and left_behind(installed) == []
