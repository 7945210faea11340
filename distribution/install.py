"""pip with little to read: a line for each package that it fetches, with its size, and one for the whole.

    python distribution/install.py -r requirements.txt

The arguments are those of `pip install`. Its errors and warnings stay as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic

PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-compile", "--progress-bar", "off")
FETCHED = re.compile(r"\s*(Downloading|Using cached|Processing) (\S+\.(?:whl|tar\.gz|zip))(?: \((.+)\))?")
INSTALLING = "Installing collected packages: "


def main(arguments: list[str]) -> int:
    """The exit status is pip's."""
    began = monotonic()
    command = [sys.executable, *PIP, *arguments]
    env = os.environ | {"PYTHONUNBUFFERED": "1", "PIP_QUIET": "0", "PIP_VERBOSE": "0"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as pip:
        assert pip.stdout is not None
        for line in shown(pip.stdout):
            print(line, flush=True)
    if not pip.returncode:
        print(f"Installed in {monotonic() - began:.0f} s.")
    return pip.returncode


def shown(lines: Iterable[str]) -> Iterator[str]:
    """What a person reads of pip's lines."""
    for line in lines:
        if match := FETCHED.fullmatch(line.rstrip()):
            yield fetched(*match.groups())
        elif line.startswith(INSTALLING):
            count = len(line.removeprefix(INSTALLING).split(","))
            yield f"Installing {count} package{'' if count == 1 else 's'} ..."


def fetched(how: str, file: str, size: str | None) -> str:
    """A package with its version, its size and where it comes from."""
    bare = re.sub(r"\.(whl|tar\.gz|zip)$", "", Path(file).name)
    name, version = (*bare.split("-", 2), "")[:2]
    if how == "Processing":
        return f"  {name} {version} ({_size_of(Path(file))}, from this machine)"
    return f"  {name} {version} ({size}{', from the cache' if how == 'Using cached' else ''})"


def _size_of(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB" if file.is_file() else "a folder"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
