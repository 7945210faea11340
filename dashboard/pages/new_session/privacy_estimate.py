"""What differential privacy would cost a session, as it is typed now."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.kit import formats
from federation.fl.options import OptionError
from federation.fl.privacy import mechanism, spending
from federation.fl.privacy.clippings import Clipping
from federation.fl.selections.poisson import Poisson
from federation.services import privacy
from federation.services.privacy import Before
from federation.services.sessions import checking
from federation.session_settings import Spec

MOST_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class Planned:
    """epsilon: after all rounds, with those of the sessions before. affordable: how many the budget allows; None: all,
    or not computed. deviation: of the noise on each weight of a round's mean. amplified: by Poisson sampling."""

    epsilon: float
    delta: float
    rounds: int
    budget: float | None
    affordable: int | None
    deviation: float
    clients: float
    amplified: bool
    sampled: bool
    before: Before

    @property
    def at_delta(self) -> str:
        return formats.setting(self.delta)

    @property
    def exceeds(self) -> bool:
        return self.budget is not None and self.epsilon > self.budget


def of(spec: Spec, *, online: int, asked: int) -> Planned | None:
    """None: it is not private, or not allowed as it is typed. online: clients that a round would draw from."""
    try:
        clipping = privacy.clipping_of(spec)
    except OptionError:
        return None
    if clipping is None or not 1 <= spec.rounds <= MOST_ROUNDS:
        return None
    try:
        each = privacy.cost_of_next(spec, clipping, online)
    except (TypeError, ValueError):  # a rate that is not allowed
        return None
    model = checking.model_at(spec.start_from) if spec.start_from else None
    before = privacy.of_model(model) if model else Before()
    epsilon = spending.epsilon([*before.costs, *[each] * spec.rounds], clipping.delta)
    sampled = spec.selection == Poisson.name
    clients = float(spec.selection_options.get("rate", Poisson.rate)) * online if sampled else float(asked)
    affordable = None
    if clipping.budget is not None and epsilon > clipping.budget and each.rate == 1:
        affordable = spending.affordable(before.costs, each, clipping.delta, clipping.budget, spec.rounds)
    return Planned(
        epsilon=epsilon,
        delta=clipping.delta,
        rounds=spec.rounds,
        budget=clipping.budget,
        affordable=affordable,
        deviation=_deviation(clipping, max(1.0, clients)),
        clients=max(1.0, clients),
        amplified=each.rate < 1,
        sampled=sampled,
        before=before,
    )


def _deviation(clipping: Clipping, clients: float) -> float:
    """Of the noise on each weight of the first round's mean. An adaptive clip costs a little more."""
    multiplier = clipping.noise_multiplier
    if clipping.adaptation:
        multiplier = mechanism.multiplier_of_updates(multiplier, mechanism.deviation_of_count(multiplier, clients))
    return multiplier * clipping.clip / clients
