"""requirements.lock holds what the ranges ask for, each file by its hash, and no address of an index."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
RANGES = ["clientagent/requirements.txt", "requirements.txt", "requirements-dev.txt"]


def ranges() -> list[Requirement]:
    lines = [line.partition("#")[0].strip() for name in RANGES for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-r")]


def locked() -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", LOCK, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("wanted", ranges(), ids=lambda one: one.name)
def test_the_lock_holds_a_version_within_each_range(wanted: Requirement) -> None:
    version = locked().get(canonicalize_name(wanted.name))
    assert version is not None, f"{wanted.name} is not in requirements.lock: run `make lock`"
    assert wanted.specifier.contains(version, prereleases=True), f"{wanted} but {version}: run `make lock`"


def test_every_locked_file_has_a_hash() -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", LOCK.strip())
    assert len(entries) > 50
    assert [one.split("==")[0] for one in entries if "--hash=sha256:" not in one] == []


def test_the_lock_names_no_place_to_get_it_from() -> None:
    assert not re.search(r"://|--index|--extra-index|--find-links", LOCK)
