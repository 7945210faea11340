"""What is in the images, and what is not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT
from tests.images.building import Builder
from tests.images.conftest import AGENT, FILES, SERVER
from tests.images.container import Container

MOST = 1_200_000_000  # bytes


def container(builder: Builder, image: str) -> Container:
    config = builder.config(image)
    env = dict(pair.split("=", 1) for pair in config["Env"])
    return Container(builder.unpacked(image), [], config["User"], env, config["WorkingDir"], temporary=["/tmp"])


@pytest.mark.parametrize("file", FILES.values())
def test_no_file_breaks_a_rule_of_hadolint(file: str):
    done = subprocess.run(["hadolint", "--failure-threshold", "info", file], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_they_are_small(sizes: dict[str, int], capsys: pytest.CaptureFixture[str]):
    with capsys.disabled():
        print("".join(f"\n{image}: {bytes_ / 1e6:,.0f} MB" for image, bytes_ in sizes.items()))
    assert all(bytes_ < MOST for bytes_ in sizes.values())


@pytest.mark.parametrize("image", FILES)
def test_they_run_as_nobody_in_particular_and_write_nothing_of_their_own(builder: Builder, image: str):
    config = builder.config(image)
    assert config["User"] == "10001:10001"
    inside = container(builder, image)
    assert inside.run(["id", "-u"]).stdout.strip() == "10001"
    refused = inside.run(["touch", "/srv/fl/x"])
    assert refused.returncode != 0 and "Read-only file system" in refused.stderr


@pytest.mark.parametrize("image", FILES)
def test_they_hold_no_index_no_secret_and_no_tests(builder: Builder, image: str):
    root = builder.unpacked(image)
    assert {path.name for path in (root / "srv/fl").iterdir()} - {"__pycache__"} == CONTENT[image]
    assert not list((root / "opt/fl").rglob("pip.conf")) and not (root / "build").exists()
    assert not any("index" in pair.lower() for pair in builder.config(image)["Env"])


CONTENT = {
    SERVER: {
        "LICENSE", "clientagent", "dashboard", "deploy", "federation", "flsite", "manage.py", "static", "templates",
    },
    AGENT: {"LICENSE", "clientagent", "federation"},
}  # fmt: skip


def test_the_agent_has_nothing_of_the_server(builder: Builder):
    root = builder.unpacked(AGENT)
    assert {path.name for path in (root / "srv/fl/federation").iterdir()} - {"__pycache__"} == {
        "__init__.py",
        "killpoints.py",
        "fl",
    }
    assert not list(Path(root / "opt/fl/lib").glob("python3*/site-packages/django"))


def test_the_agent_says_what_it_can_do(builder: Builder):
    done = container(builder, AGENT).run([*builder.config(AGENT)["Entrypoint"], "--help"])
    assert done.returncode == 0 and "FL_JOIN_CODE_FILE" in done.stdout


@pytest.mark.parametrize("image", FILES)
def test_torch_and_its_networks_work(builder: Builder, image: str):
    """torchvision as our workloads load it: an index may have a build of it that does not fit torch's."""
    code = """
import torch
from federation.fl.workloads import vision
print(tuple(vision.models().resnet18(num_classes=7)(torch.ones(2, 3, 32, 32)).shape))
"""
    done = container(builder, image).run(["python3", "-c", code])
    assert done.stdout.strip() == "(2, 7)", done.stderr


def test_a_server_that_does_not_answer_is_not_healthy(builder: Builder):
    config = builder.config(SERVER)
    assert config["Healthcheck"]["Test"] == ["CMD", "python3", "deploy/healthy.py"]
    done = container(builder, SERVER).run(config["Healthcheck"]["Test"][1:])
    assert done.returncode == 1 and "http://127.0.0.1:8000/healthz does not answer" in done.stderr
