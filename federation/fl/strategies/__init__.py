"""The strategies that can aggregate a round. One file a strategy; each is found by being here."""

from collections.abc import Callable, Mapping
from typing import cast

from federation.fl import discovery
from federation.fl.misfits import Misfit
from federation.fl.options import OptionError, check
from federation.fl.strategies.strategy import Block, Launch, Plan, Strategy, Unsuitable, Updates

__all__ = ["STRATEGIES", "Block", "Launch", "Misfit", "Plan", "Strategy", "Unsuitable", "Updates", "build"]

STRATEGIES: Mapping[str, type[Strategy]] = discovery.by_name(__name__, __path__, first="fedavg")


def build(name: str, options: Mapping[str, object]) -> Strategy:
    """The strategy of this name with these options, defaults filled in. Raises OptionError."""
    if name not in STRATEGIES:
        raise OptionError("name", f"There is no strategy {name!r}: choose one of {', '.join(STRATEGIES)}.")
    declared = STRATEGIES[name].options
    make = cast("Callable[..., Strategy]", STRATEGIES[name])
    return make(**check(options, declared, f"strategy {name}"))
