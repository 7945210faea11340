"""Builds the images with buildah, from a Debian of one's own where no registry of images can be reached.

The storage is a folder of the test's, so nothing of an earlier build is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.e2e.stack import ROOT

SLIM = ("doc", "man", "locale", "info")  # folders of /usr/share that Docker's slim images leave out, too
PACKAGES = "python3,python3-venv,ca-certificates"
OF_PIP = (Path("/etc/pip.conf"), Path("/etc/ssl/certs/ca-certificates.crt"))  # how this machine reaches its index
TORCH = ("torch", "torchvision")


class Builder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = os.environ | {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}

    def __call__(self, *words: str) -> str:
        command = ["buildah", "--root", f"{self.folder}/storage", "--runroot", f"{self.folder}/run", *words]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, f"buildah {' '.join(words)}: {(done.stdout + done.stderr)[-4000:]}"
        return done.stdout.strip()

    def base(self, image: str) -> None:
        """What stands in for python:3.11-slim."""
        leave_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in SLIM]
        tar = self.folder / "base.tar"
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", *leave_out, "bookworm", str(tar)],
            check=True,
        )
        container = self("from", "scratch")
        self("add", "--quiet", container, str(tar), "/")
        self("commit", "--quiet", "--format", "docker", container, image)
        self("rm", container)
        tar.unlink()

    def build(self, image: str, file: str, base: str) -> None:
        index = torch_index(self.folder / "index")
        volumes = [f"{path}:{path}:ro" for path in OF_PIP if path.exists()] + [f"{index}:/index:ro"]
        arguments = {"PYTHON": base, "TORCH_INDEX": "file:///index"}
        words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        words += [word for volume in volumes for word in ("--volume", volume)]
        self("build", "--format", "docker", "--layers=false", *words, "--tag", image, "--file", file, ".")

    def unpacked(self, image: str) -> Path:
        """The image's files, in a folder."""
        return Path(self("mount", self("from", image)))

    def config(self, image: str) -> dict[str, Any]:
        """What the image says of its processes: User, Env, Cmd, Entrypoint, Healthcheck, WorkingDir."""
        found: dict[str, Any] = json.loads(self("inspect", "--type", "image", image))["Docker"]["config"]
        return found


def torch_index(folder: Path) -> Path:
    """An index with the build of PyTorch that pip finds here: the one for CPUs if PIP_EXTRA_INDEX_URL says so."""
    if folder.exists():
        return folder
    lock = (ROOT / "deploy/agent.lock").read_text()
    for name in TORCH:
        place = folder / name
        place.mkdir(parents=True)
        wanted = next(line.split()[0] for line in lock.splitlines() if line.startswith(f"{name}=="))
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), wanted]
        subprocess.run(pip, check=True)
        links = [f'<a href="{quote(file.name)}">{file.name}</a>' for file in place.iterdir()]
        (place / "index.html").write_text("\n".join(links))
    return folder


def size(root: Path) -> int:
    """Bytes of an image's files, which is about what `docker images` says."""
    return int(subprocess.run(["du", "-sb", str(root)], check=True, capture_output=True, text=True).stdout.split()[0])
