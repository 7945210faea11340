"""How the clients' learning rate changes over the rounds. One file a schedule; each is found by being here.

The server decides the rate of each round and tells it as the work's `learning_rate`, so every client follows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from federation.fl import discovery
from federation.fl.options import OptionError, check
from federation.fl.rates.constant import Constant
from federation.fl.rates.rate import Rate

__all__ = ["RATES", "Rate", "build"]

RATES: Mapping[str, type[Rate]] = discovery.by_name(__name__, __path__, first=Constant.name)


def build(name: str, options: Mapping[str, object]) -> Rate:
    """The schedule of this name with these options, defaults filled in. Raises OptionError."""
    if name not in RATES:
        raise OptionError("name", f"There is no learning rate schedule {name!r}: choose one of {', '.join(RATES)}.")
    declared = RATES[name].options
    return cast("Callable[..., Rate]", RATES[name])(**check(options, declared, f"learning rate schedule {name}"))
