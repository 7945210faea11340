"""`make install` says what it fetches, and little else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "distribution" / "install.py"
spec = importlib.util.spec_from_file_location("install", SCRIPT)
assert spec and spec.loader
install = importlib.util.module_from_spec(spec)
spec.loader.exec_module(install)

SAID = """\
Collecting numpy<3,>=2.0 (from -r clientagent/requirements.txt (line 2))
  Using cached numpy-2.4.0-cp311-cp311-manylinux_2_27_x86_64.whl.metadata (6.6 kB)
Requirement already satisfied: rich>=13 in ./.venv/lib/python3.11/site-packages (14.2.0)
Using cached numpy-2.4.0-cp311-cp311-manylinux_2_27_x86_64.whl (16.6 MB)
Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (915.6 MB)
  Downloading odd_sdist-1.0.tar.gz (12 kB)
Installing collected packages: numpy, torch, odd-sdist
Successfully installed numpy-2.4.0 odd-sdist-1.0 torch-2.13.0
"""


def test_each_package_is_named_once_with_its_size(tmp_path: Path):
    wheel = tmp_path / "own-1.2-py3-none-any.whl"
    wheel.write_bytes(b"0" * 2_500_000)
    lines = [f"Processing {wheel}", *SAID.splitlines()]
    assert list(install.shown(line + "\n" for line in lines)) == [
        "  own 1.2 (2.5 MB, from this machine)",
        "  numpy 2.4.0 (16.6 MB, from the cache)",
        "  torch 2.13.0 (915.6 MB)",
        "  odd_sdist 1.0 (12 kB)",
        "Installing 3 packages ...",
    ]


def test_what_pip_cannot_do_is_said_and_is_the_exit_status(tmp_path: Path):
    words = [sys.executable, str(SCRIPT), "--no-index", "no-such-package-here"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1 and "No matching distribution found for no-such-package-here" in done.stderr
    assert "Installed" not in done.stdout
