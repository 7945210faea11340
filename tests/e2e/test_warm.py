"""A process that was forked has the settings of its own environment, as one that started from nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import warm
from tests.e2e.stack import ROOT

SAY = """
import json
from django.conf import settings
from django.db import connection
used = connection.settings_dict  # which completes the settings of databases
said = {name: str(getattr(settings, name)) for name in dir(settings) if name.isupper()}
print(json.dumps(said | {"connection": str(used)}))
"""
COMMAND = ["manage.py", "shell", "-c", SAY]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"FL_ONLINE_SECONDS": "7", "FL_BEHIND_PROXY": "1", "FL_KEEP_UPDATES": "1", "FL_ALLOWED_HOSTS": "example.org"},
        {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"},
        {"FL_DEBUG": "1"},  # which is read while the server's code is loaded
    ],
    ids=lambda change: " ".join(change) or "defaults",
)
def test_a_forked_process_has_the_settings_of_its_environment(tmp_path: Path, change: dict[str, str]) -> None:
    env = os.environ | {"FL_DATA_DIR": str(tmp_path / "data")} | change
    done = subprocess.run([sys.executable, *COMMAND], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert forked(tmp_path, env) == json.loads(done.stdout.splitlines()[-1])


def forked(folder: Path, env: dict[str, str]) -> dict[str, Any]:
    out, errors = folder / "out", folder / "errors"
    assert warm.start(COMMAND, log=out, errors=errors, env=env).wait(60) == 0, errors.read_text()
    said: dict[str, Any] = json.loads(out.read_text().splitlines()[-1])
    return said


def test_a_setting_that_is_invalid_is_told_as_ever(tmp_path: Path) -> None:
    out, errors = tmp_path / "out", tmp_path / "errors"
    env = os.environ | {"FL_DATA_DIR": str(tmp_path), "FL_ONLINE_SECONDS": "soon"}
    assert warm.start(["manage.py", "check"], log=out, errors=errors, env=env).wait(60) == 1
    assert errors.read_text().startswith("FL_ONLINE_SECONDS='soon'")
