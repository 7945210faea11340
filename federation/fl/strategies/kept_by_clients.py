"""What the strategies have in common whose clients keep a state of their own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from federation.fl.misfits import Misfit
from federation.fl.strategies.strategy import Launch, Plan, Unsuitable, Updates
from federation.fl.weights import Array

POPULATION = "population"


@dataclass(frozen=True, slots=True)
class MeanPlan(Plan):
    """rates: (n,), by what each update is divided to be a client's mean gradient.

    before, after: how many clients have taken part up to the round before, and up to this one. The slot is the mean
    over all of them, and those who are new had zeros.
    """

    rates: Array = field(default_factory=lambda: np.ones(0))
    before: float = 0.0
    after: float = 0.0


def misfit(launch: Launch, title: str) -> Misfit | None:
    """What makes the server's arithmetic another one than the clients'."""
    name = "strategy.name"
    if not launch.follows_settings:
        return Misfit(name, f"{title} needs a workload whose training follows a session's settings.")
    if launch.optimizer != "sgd" or launch.optimizer_options.get("momentum"):
        return Misfit(name, f"{title} corrects steps of plain SGD. Choose SGD without momentum.")
    if launch.proximal_mu:
        return Misfit("local_options.proximal_mu", f"{title} needs the plain loss. Leave out the proximal term.")
    if launch.clips:
        return Misfit("local_options.clip_norm", f"{title} needs whole gradients. Do not clip them.")
    if launch.compression != "none":
        return Misfit("compression.name", f"{title} needs updates as they were trained. Choose no compression.")
    if launch.counts_late:
        return Misfit(name, f"{title} needs updates of the round's own model: a synchronous round, late ones dropped.")
    return None


def plan(updates: Updates, rates: Array) -> MeanPlan:
    """Raises Unsuitable for an update of another round."""
    if updates.staleness.any():
        raise Unsuitable("An update was trained from an earlier model, for which the clients' state was another one.")
    count = len(updates.num_examples)
    scalars = {POPULATION: float(updates.population)}
    return MeanPlan(np.full(count, 1 / count), None, scalars, rates, updates.scalars[POPULATION], scalars[POPULATION])
