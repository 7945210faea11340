"""The wheel has what a site needs and nothing of the server, and works where there is neither Django nor torch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

from federation.fl.version import __version__
from federation.fl.workloads.workload import source_digest
from tests.clientagent.fake_server import CODE, FakeServer

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = """
import sys

import clientagent

for work in clientagent.works("toy", once=True):
    work.send({name: array + 1 for name, array in work.weights.items()}, num_examples=1)
assert not {"django", "torch", "sklearn", "rich"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    spec = importlib.util.spec_from_file_location("backend", ROOT / "distribution" / "backend.py")
    assert spec and spec.loader
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    return folder / backend.build_wheel(str(folder))


def test_it_has_the_agent_and_the_pure_part_alone(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {name.split("/")[0] for name in names if name.endswith(".py")}
    ours = {"/".join(name.split("/")[:2]) for name in names if name.startswith("federation/")}
    assert packages == {"clientagent", "federation"}
    assert ours == {"federation/__init__.py", "federation/killpoints.py", "federation/fl"}
    assert {"clientagent/library/__init__.py", "clientagent/kinds/training.py"} <= names


def test_its_version_is_the_one_that_the_server_is_told(wheel: Path):
    assert wheel.name == f"federated_learning_control_room-{__version__}-py3-none-any.whl"


def test_its_agent_needs_what_an_agent_needs(wheel: Path):
    """The versions that fit are in clientagent/requirements.txt."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {*told["dependencies"], *told["optional-dependencies"]["agent"]}
    listed = [line for line in (ROOT / "clientagent" / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert sorted(needed) == sorted(listed)


def test_a_script_runs_in_an_environment_that_has_it_and_numpy(wheel: Path, tmp_path: Path):
    venv.create(tmp_path / "empty", with_pip=False)
    (packages,) = (tmp_path / "empty").glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    for part in Path(np.__file__).parents[1].glob("numpy*"):
        (packages / part.name).symlink_to(part)
    (tmp_path / "train.py").write_text(SCRIPT)
    with FakeServer() as server:
        digest = source_digest(str(tmp_path / "train.py"))
        seat = server.offer_to_script(digest, {"w": np.zeros(3, np.float32)})
        flags = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / "state")]
        python = tmp_path / "empty" / "bin" / "python"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FL_", "PYTHON"))}
        done = subprocess.run(
            [python, tmp_path / "train.py", *flags], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert seat.status == "reported"
        helped = subprocess.run([python, "-m", "clientagent.run", "--help"], cwd=tmp_path, env=clean, timeout=60)
        assert helped.returncode == 0
