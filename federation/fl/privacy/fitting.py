"""What goes together with differential privacy, and why the rest does not."""

from __future__ import annotations

from dataclasses import dataclass

from federation.fl.misfits import Misfit
from federation.fl.selections import SELECTIONS
from federation.fl.selections.poisson import Poisson
from federation.fl.strategies import STRATEGIES, Strategy
from federation.fl.strategies.shares import Weighting


@dataclass(frozen=True, slots=True)
class Beside:
    """What a private session is asked to be beside its privacy.

    one_cohort: whether a round waits for all whom it asked, whoever is faster. counts_late: whether updates of earlier
    rounds may count.
    """

    strategy: Strategy
    selection: str
    quorum: int
    one_cohort: bool = True
    counts_late: bool = False


def misfit(beside: Beside) -> Misfit | None:
    """Why these do not go together; None if they do."""
    strategy = beside.strategy
    if not strategy.sees_mean_alone:
        fit = ", ".join(one.title for one in STRATEGIES.values() if one.sees_mean_alone)
        sentence = f"{strategy.title} looks at each client's own update, and privacy shows it only their noised mean."
        return Misfit("strategy.name", f"{sentence} Choose one of: {fit}.")
    if getattr(strategy, "weighting", Weighting.EQUAL.value) != Weighting.EQUAL.value:
        sentence = "With differential privacy every client counts the same. Choose equal."
        return Misfit("strategy.options.weighting", sentence)
    if not beside.one_cohort:
        sentence = "Differential privacy needs rounds that wait for all whom they asked. Choose Synchronous."
        return Misfit("schedule.name", sentence)
    if beside.counts_late:
        sentence = "A late update would be clipped and counted in another round than its own. Choose to drop it."
        return Misfit("late_policy", sentence)
    if "loss" in SELECTIONS[beside.selection].reads:
        sentence = "It chooses clients by their losses, which differential privacy does not cover. Choose another one."
        return Misfit("selection.name", sentence)
    if beside.selection == Poisson.name and beside.quorum > 1:
        sentence = "A round that asks more clients than Poisson drew, to reach the quorum, is no Poisson sample."
        return Misfit("quorum", f"{sentence} With differential privacy choose 1.")
    return None
