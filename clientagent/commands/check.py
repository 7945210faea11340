"""`run.py check NAME`: try a workload here, before a server or another site has it."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clientagent.errors import Misconfigured, Refused
from clientagent.trial import Fault, Trial
from federation.fl.workloads import WORKLOADS, foreign
from federation.fl.workloads.foreign import Place


def run(arguments: Sequence[str]) -> int:
    """Print what works. Raises Refused with what does not, Misconfigured for a wrong flag."""
    parser = argparse.ArgumentParser(
        prog="run.py check",
        description="Train a workload for two steps, evaluate it, and take its model and update through files.",
    )
    parser.add_argument("name", metavar="NAME", help="a file, or the name of a workload in DIR or of a package")
    parser.add_argument("--workloads", metavar="DIR", type=Path, help="where the file is (default: here)")
    parser.add_argument("--data", metavar="DIR", type=Path, help="the site's data, as for the agent")
    parser.add_argument("--options", metavar="JSON", default="{}", help="the workload's options: '{\"width\": 8}'")
    asked = parser.parse_args(arguments)
    options = options_in(asked.options)
    if asked.data is not None and not asked.data.is_dir():
        raise Misconfigured(f"--data {str(asked.data)!r}: use an existing folder.")
    if asked.workloads is not None and not asked.workloads.is_dir():
        raise Misconfigured(f"--workloads {str(asked.workloads)!r}: use an existing folder.")
    folder = asked.workloads or Path(os.environ.get("FL_CLIENT_WORKLOADS") or ".")
    _try(_place(asked.name, folder), options, asked.data)
    print("Everything works.")
    return 0


def options_in(text: str) -> dict[str, Any]:
    """The options that --options gives as JSON. Raises Misconfigured."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Misconfigured(f"--options is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise Misconfigured('--options must be a JSON object, such as {"width": 8}.')
    return found


def _place(name: str, folder: Path) -> Place:
    """The file that is meant: a path, else the file of this name in the folder; else the package with the name."""
    files = [Path(name), folder / f"{name}.py", folder / f"{name.replace('-', '_')}.py"]
    for path in files:
        if path.suffix == ".py" and path.is_file():
            return Place(str(path.absolute()))
    if folder.is_dir():
        named = [place for place in foreign.places(folder) if _is_called(place, name)]
        if named:
            return named[0]
    there = ", ".join(sorted(path.name for path in folder.glob("*.py"))) or "no .py file"
    raise Misconfigured(f"check {name!r}: there is no such file, and no such workload in {folder} ({there}).")


def _is_called(place: Place, name: str) -> bool:
    """Its code runs, to know its name."""
    try:
        return foreign.load(place).name == name
    except foreign.Unusable:
        return False


def _try(place: Place, options: dict[str, Any], data: Path | None) -> None:
    try:
        loaded = foreign.load(place)
        for _, sentence in foreign.clashes([(loaded.name, place)], WORKLOADS.built_in):
            raise Refused(sentence)
        with tempfile.TemporaryDirectory(prefix="fl-check-") as folder:
            for line in Trial(loaded.workload, place, options, data and data.absolute(), Path(folder)).run():
                print(line)
    except (foreign.Unusable, Fault) as error:
        raise Refused(str(error)) from error
