"""What may be imported where, by what a fresh interpreter holds. The layers themselves are import-linter's."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_DJANGO = {"django", "ninja", "celery", "channels"}
HEAVY = {"torch", "torchvision", "sklearn", "scipy"}
SET_UP = "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'flsite.settings'; "


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
    "modules",
    [
        "federation.fl.workloads",
        "federation.fl.aggregation, federation.fl.strategies, federation.fl.files.updates, federation.fl.partition",
        "federation.fl.evaluation",
        "clientagent.agent, clientagent.cli",
    ],
)
def test_neither_the_mathematics_nor_the_agent_needs_django_or_what_is_heavy(tmp_path, modules):
    assert not imported(f"import {modules}", tmp_path) & (WITHOUT_DJANGO | HEAVY)


def test_synthetic_needs_numpy_alone(tmp_path):
    code = """
from federation.fl import workloads
from federation.fl.workloads import TrainConfig
synthetic, options = workloads.get("synthetic"), {"num_parameters": 10}
base = synthetic.initial_weights(options, 1)
data = synthetic.training_data(options, None)
synthetic.local_update(base, data, options, TrainConfig(1, 1, 0.1, 1), lambda *_: True)
synthetic.evaluate(base, options), synthetic.digest(), [w.digest() for w in workloads.WORKLOADS.values()]
"""
    assert not imported(code, tmp_path) & (WITHOUT_DJANGO | HEAVY)


def test_the_application_can_be_imported_by_any_server_and_never_imports_torch(tmp_path):
    """Under `runserver` Django's checks import the addresses first; daphne and uvicorn have no such checks."""
    found = imported("from flsite.asgi import application", tmp_path, REDIS_URL="redis://localhost:1")
    assert {"django", "ninja", "channels"} <= found
    assert not found & (HEAVY | {"clientagent"})


def test_nor_does_a_worker(tmp_path):
    code = "import django, flsite.celery; django.setup(); import federation.tasks"
    assert not imported(code, tmp_path, DJANGO_SETTINGS_MODULE="flsite.settings") & {"torch", "sklearn"}


def test_nor_does_the_worker_within_a_server(tmp_path):
    code = SET_UP + "import flsite.embedded, federation.fl.workloads, federation.storage"
    assert "torch" not in imported(code, tmp_path)


def test_services_know_nothing_of_those_above_them():
    files = list((ROOT / "federation" / "services").rglob("*.py"))
    assert len(files) > 30
    for file in files:
        text = file.read_text()
        for above in ("federation.api", "federation import tasks", "federation.tasks", "dashboard"):
            assert f"import {above}" not in text and f"from {above}" not in text, file


def test_a_lock_is_of_a_row_alone_and_not_of_what_its_query_joins():
    """Rounds are sorted by their session. Locked with a round it would be locked before seats, which others lock first,
    and on PostgreSQL the one or the other would be ended as a deadlock."""
    for path in (ROOT / "federation").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        locks = [node for node in calls if getattr(node.func, "attr", "") == "select_for_update"]
        assert all(ast.unparse(lock).endswith("select_for_update(of=('self',))") for lock in locks), path
