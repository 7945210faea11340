"""What `manage.py` says when it cannot start, and the demo from start to end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def manage(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | env, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"FL_ONLINE_SECONDS": "soon"}, "FL_ONLINE_SECONDS='soon': use a whole number from 1 to 86400."),
        ({"FL_DATA_DIR": "/proc/nowhere"}, "FL_DATA_DIR: the folder /proc/nowhere cannot be made"),
    ],
)
def test_a_setting_that_cannot_be_is_told_in_one_line(env, sentence):
    done = manage("check", **env)
    assert done.returncode == 1
    assert sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "most"), [("rounds", "0", 100_000), ("clients", "101", 100), ("port", "65536", 65_535)]
)
def test_the_demo_refuses_numbers_that_cannot_be(tmp_path, name, value, most):
    done = manage("demo", f"--{name}", value, FL_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert f"--{name} {value} cannot be: choose 1 to {most}." in done.stderr
    assert not (tmp_path / "db.sqlite3").exists() and not (tmp_path / "logs").exists()
