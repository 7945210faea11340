"""How the clients of a round are chosen. One file a selection; each is found by being here.

A selection is pure: the same candidates, seed and round give the same clients, so that a round that is opened again
after a kill asks the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from federation.fl import discovery
from federation.fl.options import OptionError, check
from federation.fl.selections.selection import Candidate, Chosen, Draw, Occasion, Selection, Why

__all__ = ["SELECTIONS", "Candidate", "Chosen", "Draw", "Occasion", "Selection", "Why", "build"]

SELECTIONS: Mapping[str, type[Selection]] = discovery.by_name(__name__, __path__, first="random")


def build(name: str, options: Mapping[str, object]) -> Selection:
    """The selection of this name with these options, defaults filled in. Raises OptionError."""
    if name not in SELECTIONS:
        raise OptionError("name", f"There is no selection {name!r}: choose one of {', '.join(SELECTIONS)}.")
    declared = SELECTIONS[name].options
    return cast("Callable[..., Selection]", SELECTIONS[name])(**check(options, declared, f"selection {name}"))
