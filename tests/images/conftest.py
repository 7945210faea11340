"""The images, built once. FL_TEST_IMAGES names a folder that keeps them from one run to the next."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.building import Builder, size

BASE, SERVER, AGENT = "localhost/base:latest", "fl-server:latest", "fl-agent:latest"
FILES = {SERVER: "Dockerfile", AGENT: "clientagent/Dockerfile"}
NEEDED = ("buildah", "mmdebstrap", "docker-compose", "hadolint", "ip", "nginx", "promtool")


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    missing = [name for name in NEEDED if not shutil.which(name)]
    assert not missing, f"{', '.join(missing)} missing: run `make test-images`, on Debian as root"


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    kept = os.environ.get("FL_TEST_IMAGES")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("images")
    folder.mkdir(exist_ok=True)
    builder = Builder(folder)
    there = builder("images", "--format", "{{.Name}}:{{.Tag}}").split()
    if BASE not in there:
        builder.base(BASE)
    for image, file in FILES.items():
        if f"localhost/{image}" not in there:
            builder.build(image, file, BASE)
    yield builder
    builder("rm", "--all")
    if not kept:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sizes(builder: Builder) -> dict[str, int]:
    return {image: size(builder.unpacked(image)) for image in FILES}
