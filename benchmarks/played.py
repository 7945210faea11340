"""Sessions of a benchmark, played by several processes. What is known already is read from a file and not played again.

A file has a line of JSON for each session, written as it ends, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

Trial = TypeVar("Trial")
Told = Mapping[str, Any]


def all_of(
    trials: Sequence[Trial],
    play: Callable[[Trial], Told],
    *,
    processes: int | None = None,
    kept: Path | None = None,
) -> dict[Trial, Told]:
    """What each trial told, in their order. play: run in another process; what it returns must go into JSON.

    processes: as many as there are cores if it is not given. kept: the file; None: nothing is kept.
    """
    known = _read(kept) if kept and kept.exists() else {}
    missing = [trial for trial in trials if _key(trial) not in known]
    with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
        running = {pool.submit(play, trial): trial for trial in missing}
        for future in as_completed(running):
            trial, told = running[future], future.result()
            known[_key(trial)] = told
            if kept:
                with kept.open("a") as file:
                    file.write(json.dumps({"trial": _fields(trial), "told": told}) + "\n")
    return {trial: known[_key(trial)] for trial in trials}


def _read(kept: Path) -> dict[str, Told]:
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    return {json.dumps(line["trial"], sort_keys=True): line["told"] for line in lines}


def _fields(trial: Any) -> dict[str, Any]:
    return asdict(trial)


def _key(trial: Any) -> str:
    return json.dumps(_fields(trial), sort_keys=True)
