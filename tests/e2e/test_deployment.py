"""Processes that do not share what those of one deployment must share say so and end; they serve nobody."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e import warm
from tests.e2e.stack import daphne, free_port, running, uvicorn

CELERY = ["-m", "celery", "-A", "flsite"]
KINDS = {
    "daphne": daphne,
    "uvicorn": uvicorn,
    "worker": lambda _: [*CELERY, "worker", "--pool", "solo", "-Q", "federation"],
    "beat": lambda _: [*CELERY, "beat"],
}


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a server that has run, with the key of its folder."""
    folder = tmp_path_factory.mktemp("ours")
    with running(folder) as stack:
        return stack.env | {"DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}"}


def ended(kind: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process of a kind that is to end by itself."""
    return warm.run(KINDS[kind](free_port()), env=env)


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_with_another_folder_says_so_and_ends(env: dict[str, str], tmp_path: Path, kind: str) -> None:
    done = ended(kind, env | {"FL_DATA_DIR": str(tmp_path)})
    said = done.stdout + done.stderr
    assert done.returncode != 0 and f"FL_DATA_DIR={tmp_path} is not the folder" in said, said
    assert "Traceback" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_process_with_another_key_says_so_and_ends(env: dict[str, str], kind: str) -> None:
    done = ended(kind, env | {"FL_SECRET_KEY": "something else"})
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "FL_SECRET_KEY is not the key" in said, said
    assert "Traceback" not in said and "something else" not in said


def test_the_word_new_lets_a_key_be_replaced(env: dict[str, str]) -> None:
    folder = Path(env["FL_DATA_DIR"])
    (folder / "deployment").write_text("new\n")
    with running(folder, env={"FL_SECRET_KEY": "a key from now on"}, api_key="none"):
        assert os.path.getsize(folder / "deployment") == 33
    assert "FL_SECRET_KEY is not the key" in ended("worker", env).stderr
