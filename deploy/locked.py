"""Installs the packages of a lock file into this Python, for the images.

    python deploy/locked.py deploy/server.lock

Each file is checked by its hash. With TORCH_INDEX, the address of an index, PyTorch comes from there: in the version
that the lock names, but as that index builds it (for CPUs, for another CUDA), so without the lock's hash. What only the
CUDA build needs is then left out. Headers, static libraries and tests are removed: no process here uses them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps")
TORCH = re.compile(r"torch(?:vision)?==")
OF_CUDA = re.compile(r"(?:cuda|nvidia|triton)\b")
UNUSED = (
    "torch/include",
    "torch/test",
    "torch/share",
    "torch/bin/*",
    "plotly/graph_objs",  # of plotly the pages use its script alone
    "plotly/labextension",
    "twisted/**/test",
    "**/tests",
    "**/*.a",
    "**/__pycache__",
)
USED = {"torch_shm_manager"}  # torch looks for it when it is imported


def entries(lock: str) -> Iterator[str]:
    """Each package with its version, its condition and its hashes."""
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        yield entry.strip()


def divided(lock: str, index: str) -> tuple[list[str], list[str]]:
    """What is installed by the lock's hashes, and which versions come from the index."""
    if not index:
        return list(entries(lock)), []
    kept = [one for one in entries(lock) if not OF_CUDA.match(one)]
    return [one for one in kept if not TORCH.match(one)], [one.split()[0] for one in kept if TORCH.match(one)]


def install(lock: str, index: str) -> None:
    hashed, of_index = divided(lock, index)
    subprocess.run([*PIP, "--require-hashes", "-r", "/dev/stdin"], input="\n".join(hashed), text=True, check=True)
    if of_index:
        subprocess.run([*PIP, "--index-url", index, *of_index], check=True)


def remove_unused(packages: Path) -> None:
    found = {path for pattern in UNUSED for path in packages.glob(pattern) if path.name not in USED}
    for path in found:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]).read_text(), os.environ.get("TORCH_INDEX", ""))
    remove_unused(Path(sysconfig.get_path("purelib")))
