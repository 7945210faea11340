"""The workloads that this site has beside the built-in ones: of installed packages, and of the folder --workloads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clientagent import policy
from clientagent.errors import Misconfigured
from federation.fl.workloads import WORKLOADS, Workload, declaration, foreign
from federation.fl.workloads.declaration import MOST_ENTRIES

_loaded: dict[str, Workload] = {}


def load(folder: Path | None, say: Callable[[str], None] | None = None) -> None:
    """Import them, once a process, so that they are known by name. What cannot be used is said and left out.

    say: default: a line on standard error. Raises Misconfigured if the folder cannot be read.
    """
    try:
        found = foreign.places(folder)
    except OSError as error:
        raise Misconfigured(f"--workloads {str(folder)!r} cannot be read: {error.strerror}.") from error
    tell = say or (lambda sentence: print(f"run.py: left out: {sentence}", file=sys.stderr))
    loaded = foreign.load_all(found, WORKLOADS.built_in, lambda error: tell(str(error)))
    for name in list(loaded)[MOST_ENTRIES:]:
        tell(f"{name}: a site has at most {MOST_ENTRIES} workloads of its own.")
        del loaded[name]
    _loaded.clear()
    _loaded.update(loaded)
    WORKLOADS.plug(_known)


def loaded() -> list[Workload]:
    """Those that can be used."""
    return list(_loaded.values())


def _known() -> Mapping[str, Workload]:
    return _loaded


def catalogue(kinds: Callable[[Workload], list[str]], examples: Mapping[str, int]) -> list[dict[str, Any]]:
    """What the server is told of those that this site serves.

    kinds: what the site does with one. examples: how many it has, if counted.
    """
    return [
        declaration.of(workload, num_examples=examples.get(name), kinds=kinds(workload)).to_json()
        for name, workload in _loaded.items()
        if not policy.refusal(name, workload.digest())
    ]
