"""How a client turns gradients into steps. One file an optimizer; each is found by being here.

Clients build theirs anew in each round: moments do not outlive a round, so that a round depends on its base alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from federation.fl import discovery
from federation.fl.optimizers.optimizer import Optimizer
from federation.fl.optimizers.sgd import SGD
from federation.fl.options import OptionError, check

__all__ = ["OPTIMIZERS", "PLAIN", "SOURCES", "Optimizer", "build"]

PLAIN = SGD()  # what clients use that are told of none
SOURCES = tuple(sorted(str(file) for file in Path(__file__).parent.glob("*.py")))
OPTIMIZERS: Mapping[str, type[Optimizer]] = discovery.by_name(__name__, __path__, first=SGD.name)


def build(name: str, options: Mapping[str, object]) -> Optimizer:
    """The optimizer of this name with these options, defaults filled in. Raises OptionError."""
    if name not in OPTIMIZERS:
        raise OptionError("name", f"There is no optimizer {name!r}: choose one of {', '.join(OPTIMIZERS)}.")
    declared = OPTIMIZERS[name].options
    return cast("Callable[..., Optimizer]", OPTIMIZERS[name])(**check(options, declared, f"optimizer {name}"))
