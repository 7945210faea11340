"""`manage.py demo`: from nothing to a completed session, leaving no process behind."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from tests.e2e.stack import ROOT, free_port


def demo(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "demo", "--clients", "2", *more]
    env = os.environ | {"FL_DATA_DIR": str(folder)}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def left_behind(folder: Path) -> list[str]:
    """Processes that still stand on the demo's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("FL_DATA_DIR") == str(folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def test_interrupted_it_leaves_nothing_behind_and_goes_on_the_next_time(tmp_path: Path):
    first = demo(tmp_path, "--rounds", "4", "--port", str(free_port()))
    assert first.stdout
    for line in first.stdout:
        if line.strip().startswith("round  1"):
            break
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert left_behind(tmp_path) == []
    out, _ = demo(tmp_path, "--exit", "--port", str(free_port())).communicate(timeout=120)
    assert "Going on with demo 1" in out
    assert "demo 1: completed, 4 rounds, accuracy 0." in out
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
