"""Load once what the tests load: `python tests/compiled.py`.

Python keeps modules compiled once they are loaded, and pytest keeps tests so. On a fresh machine many processes begin
at the same time, and each would compile all of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT)]

from tests.e2e.warm import SERVER  # noqa: E402


def main(tests: Sequence[str] = ("tests", "--ignore=tests/peers"), modules: str = SERVER) -> None:
    """What cannot be loaded is left to the tests, which tell it better."""
    with tempfile.TemporaryDirectory() as folder:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        for arguments in loading(tests, modules, folder):
            subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=env | {"FL_DATA_DIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )


def loading(tests: Sequence[str], modules: str, folder: str) -> Iterator[list[str]]:
    """As arguments of `python`. The process that servers are forked from ends at once where nobody asks it."""
    yield ["-m", "pytest", "-q", "--collect-only", *tests]
    yield ["-m", "tests.e2e.warm", f"{folder}/asked", *modules.split()]


if __name__ == "__main__":
    main()
