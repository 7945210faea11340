"""What may be imported where. The layers themselves are import-linter's (`make lint`)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(code, tmp_path, **env):
    """The top-level modules that a fresh interpreter holds after running some code."""
    known = {
        name: value for name, value in os.environ.items() if name not in ("DJANGO_SETTINGS_MODULE", "DATABASE_URL")
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=ROOT,
        env=known | {"FL_DATA_DIR": str(tmp_path)} | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import federation.fl.strategies, federation.fl.workloads, federation.fl.files.updates",
        "import clientagent.agent",
    ],
)
def test_neither_the_mathematics_nor_the_agent_needs_django(tmp_path, code):
    assert not imported(code, tmp_path) & {"django", "ninja", "celery", "channels", "torch"}


def test_a_web_process_never_imports_torch(tmp_path):
    found = imported("import flsite.asgi", tmp_path, REDIS_URL="redis://localhost:1")
    assert {"django", "ninja", "channels"} <= found
    assert not found & {"torch", "torchvision", "sklearn", "scipy", "clientagent"}


def test_nor_does_a_worker(tmp_path):
    code = "import django, flsite.celery; django.setup(); import federation.tasks"
    assert not imported(code, tmp_path, DJANGO_SETTINGS_MODULE="flsite.settings") & {"torch", "sklearn"}


def test_the_application_can_be_imported_by_any_server(tmp_path):
    """Under `runserver` Django's checks import the addresses first; daphne and uvicorn have no such checks."""
    imported("from flsite.asgi import application", tmp_path, REDIS_URL="redis://localhost:1")


def test_services_know_nothing_of_those_above_them():
    for file in (ROOT / "federation" / "services").glob("*.py"):
        text = file.read_text()
        for above in ("federation.api", "federation import tasks", "federation.tasks", "dashboard"):
            assert f"import {above}" not in text and f"from {above}" not in text, file
