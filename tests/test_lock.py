"""requirements.lock holds what the ranges ask for, each file by its hash, and no address of an index."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
OF_SERVER, OF_AGENT = "deploy/server.lock", "deploy/agent.lock"
LOCKS = ["requirements.lock", OF_SERVER, OF_AGENT]
RANGES = ["clientagent/requirements.txt", "requirements.txt", "requirements-dev.txt"]


def ranges(files: list[str] = RANGES) -> list[Requirement]:
    lines = [line.partition("#")[0].strip() for name in files for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-r")]


def locked(lock: str = LOCK) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("wanted", ranges(), ids=lambda one: one.name)
def test_the_lock_holds_a_version_within_each_range(wanted: Requirement) -> None:
    version = locked().get(canonicalize_name(wanted.name))
    assert version is not None, f"{wanted.name} is not in requirements.lock: run `make lock`"
    assert wanted.specifier.contains(version, prereleases=True), f"{wanted} but {version}: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_every_locked_file_has_a_hash(lock: str) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / lock).read_text().strip())
    assert len(entries) > 40
    assert [one.split("==")[0] for one in entries if "--hash=sha256:" not in one] == []


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_the_lock_names_no_place_to_get_it_from(lock: str) -> None:
    assert not re.search(r"://|--index|--extra-index|--find-links", (ROOT / lock).read_text())


@pytest.mark.parametrize(("lock", "wanted"), [(OF_SERVER, RANGES[:2]), (OF_AGENT, RANGES[:1])], ids=str)
def test_an_image_gets_what_was_tested(lock: str, wanted: list[str]) -> None:
    found = locked((ROOT / lock).read_text())
    assert found.items() <= locked().items(), "run `make lock`"
    assert {canonicalize_name(one.name) for one in ranges(wanted)} <= found.keys(), "run `make lock`"
