"""The strategies that can aggregate a round, by name."""

from collections.abc import Mapping

from federation.fl.options import OptionError, check
from federation.fl.strategies.fedadam import FedAdam
from federation.fl.strategies.fedavg import FedAvg
from federation.fl.strategies.fedmedian import FedMedian
from federation.fl.strategies.strategy import Block, Plan, Strategy, Updates

__all__ = ["STRATEGIES", "Block", "Plan", "Strategy", "Updates", "build"]

STRATEGIES: Mapping[str, type[FedAvg] | type[FedMedian] | type[FedAdam]] = {
    strategy.name: strategy for strategy in (FedAvg, FedMedian, FedAdam)
}


def build(name: str, options: Mapping[str, object]) -> Strategy:
    """The strategy of this name with these options, defaults filled in. Raises OptionError."""
    if name not in STRATEGIES:
        raise OptionError("name", f"There is no strategy {name!r}: choose one of {', '.join(STRATEGIES)}.")
    strategy = STRATEGIES[name]
    return strategy(**check(options, strategy.options, f"strategy {name}"))
