"""The secrets of a stack are made once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "deploy/setup.py"


def made(folder: Path) -> str:
    done = subprocess.run([sys.executable, SCRIPT, folder], check=True, capture_output=True, text=True)
    return done.stdout


def test_each_secret_is_made_once(tmp_path: Path):
    assert made(tmp_path) == "Made database_password.\nMade secret_key.\n"
    first = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert first.keys() == {"database_password", "secret_key"} and len(set(first.values())) == 2
    assert all(len(text) > 40 for text in first.values())
    assert made(tmp_path) == ""
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == first


def test_a_secret_of_ones_own_stays_and_what_a_kill_left_is_made_again(tmp_path: Path):
    (tmp_path / "database_password").write_text("mine")
    (tmp_path / "secret_key.part").write_text("ha")
    assert made(tmp_path) == "Made secret_key.\n"
    assert (tmp_path / "database_password").read_text() == "mine"
    assert len((tmp_path / "secret_key").read_text()) > 40
