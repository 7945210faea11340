"""Of which Python `make` builds the environment."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("choice", ROOT / "distribution" / "python.py")
assert spec and spec.loader
choice = importlib.util.module_from_spec(spec)
spec.loader.exec_module(choice)

UNOPTIMIZED, OPTIMIZED = "'--enable-shared'", "'--enable-shared' '--enable-optimizations'"


@pytest.fixture
def chosen(monkeypatch, tmp_path, capsys):
    """What is chosen where python3 was configured so, and the system's own has this for a program."""

    def chosen(configured: str | None, system: str = "exit 0", *, own: bool = False) -> str:
        (tmp_path / "bin").mkdir()
        if system:
            (tmp_path / "bin" / "python3").write_text(f"#!/bin/sh\n{system}\n")
            (tmp_path / "bin" / "python3").chmod(0o755)
        monkeypatch.setattr(choice, "SYSTEM", sys.base_prefix if own else str(tmp_path))
        monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": configured}.get)
        choice.main()
        return capsys.readouterr().out.strip().replace(str(tmp_path), "/usr")

    return chosen


def test_the_systems_own_is_taken_where_python3_is_slow(chosen):
    assert chosen(UNOPTIMIZED) == "/usr/bin/python3"


def test_python3_is_taken_where_it_is_quick(chosen):
    assert chosen(OPTIMIZED) == sys.executable


def test_and_where_it_is_the_systems_own(chosen):
    assert chosen(UNOPTIMIZED, own=True) == sys.executable


@pytest.mark.parametrize("system", ["exit 1", ""], ids=["too old, or without venv", "absent"])
def test_and_where_the_systems_own_does_not_fit(chosen, system):
    assert chosen(None, system) == sys.executable


def test_what_fits_can_make_environments():
    assert choice.fits(sys.executable)


def test_make_uses_it_unless_another_is_named():
    chosen = subprocess.check_output(["python3", "distribution/python.py"], cwd=ROOT, text=True).strip()
    assert f"{chosen} -m venv .venv" in planned()
    assert "/opt/python -m venv .venv" in planned("PYTHON=/opt/python")


def planned(*arguments: str) -> str:
    """What `make` would do for a new environment."""
    words = ["make", "--dry-run", "--always-make", ".venv/bin/python", *arguments]
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "PYTHON")}
    return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout
