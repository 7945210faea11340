"""Sessions of a benchmark, played by several processes. What is known already is read from a file and not played again.

A file has a line of JSON for each session, written as it ends, so that a run that was stopped goes on where it was. A
line whose writer was killed is not read. A session is known by its trial and by its settings: what was played with
others is played again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar


class Trial(Protocol):
    """A dataclass of what differs between the sessions of a run."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the session depends on beside its fields."""


One = TypeVar("One", bound=Trial)
Told = Mapping[str, Any]


def all_of(
    trials: Sequence[One],
    play: Callable[[One], Told],
    *,
    processes: int | None = None,
    kept: Path | None = None,
) -> dict[One, Told]:
    """What each trial told, in their order. play: run in another process; what it returns must go into JSON.

    processes: as many as there are cores if it is not given. kept: the file; None: nothing is kept.
    """
    known = dict(_read(kept)) if kept and kept.exists() else {}
    missing = [trial for trial in trials if _key(trial) not in known]
    with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
        running = {pool.submit(play, trial): trial for trial in missing}
        for future in as_completed(running):
            trial, told = running[future], future.result()
            known[_key(trial)] = told
            if kept:
                _write(kept, _fields(trial) | {"told": told})
    return {trial: known[_key(trial)] for trial in trials}


def _read(kept: Path) -> Iterator[tuple[str, Told]]:
    for line in kept.read_text().splitlines():
        try:
            found = json.loads(line)
        except json.JSONDecodeError:  # its writer was killed
            continue
        told = found.pop("told")
        yield json.dumps(found, sort_keys=True), told


def _write(kept: Path, line: Mapping[str, Any]) -> None:
    """On a line of its own, also after one that was not finished."""
    with kept.open("a+b") as file:
        is_open = file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        file.write(b"\n" * bool(is_open) + json.dumps(line).encode() + b"\n")


def _fields(trial: Any) -> dict[str, Any]:
    return {"trial": asdict(trial), "settings": {name: repr(value) for name, value in trial.settings.items()}}


def _key(trial: Any) -> str:
    return json.dumps(_fields(trial), sort_keys=True)
