"""What `manage.py` says when it cannot start, and the demo from start to end."""

import os
import subprocess

import pytest

from tests.e2e import warm


def manage(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return warm.run(["manage.py", *words], env=os.environ | env)


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


@pytest.mark.parametrize("words", ["createinvitation", "createapikey alice", "backup {}/b.tar"])
def test_a_command_on_an_empty_data_folder_names_what_is_missing(tmp_path, words):
    done = manage(*words.format(tmp_path).split(), FL_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip() == "The database has no tables yet. Run `manage.py migrate` first."


def test_a_command_on_a_database_that_is_not_there_names_the_setting(tmp_path):
    nowhere = {"FL_DATA_DIR": str(tmp_path), "DATABASE_URL": "postgres://fl@127.0.0.1:9/fl"}
    done = manage("createinvitation", **nowhere)
    assert done.returncode == 1
    assert done.stderr.startswith("The database cannot be used: ")
    assert done.stderr.endswith("Check DATABASE_URL.\n") and "Traceback" not in done.stderr


def test_uvicorn_on_a_database_without_tables_ends_with_a_sentence(tmp_path):
    command = ["-m", "uvicorn", "flsite.asgi:application", "--port", "0", "--log-level", "warning"]
    done = warm.run(command, env=os.environ | {"FL_DATA_DIR": str(tmp_path)})
    assert done.returncode != 0
    assert "The database has no tables yet. Run `manage.py migrate` first." in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("role", ["worker --concurrency 1 -Q federation", "beat"])
def test_a_worker_and_a_beat_on_a_database_without_tables_end_with_a_sentence(tmp_path, role):
    env = {"FL_DATA_DIR": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:9/0"}
    done = warm.run(["-m", "celery", "-A", "flsite", *role.split()], env=os.environ | env)
    assert done.returncode == 1
    assert "The database has no tables yet. Run `manage.py migrate` first." in done.stderr
    assert "Traceback" not in done.stderr
