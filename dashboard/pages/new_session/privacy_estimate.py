"""What differential privacy would cost a session, as it is typed now."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.kit import formats
from federation.fl.options import OptionError
from federation.fl.privacy import mechanism, spending
from federation.services import privacy
from federation.services.privacy import Before
from federation.services.sessions import checking
from federation.session_settings import Spec

MOST_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class Planned:
    """epsilon: after all rounds, with those of the sessions before. affordable: how many the budget allows; None: all,
    or not computed. deviation: of the noise on each weight of the first round's mean, None where nobody would be asked.
    amplified: by Poisson sampling."""

    epsilon: float
    delta: float
    rounds: int
    budget: float | None
    affordable: int | None
    deviation: float | None
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
    expected = privacy.expected(spec, online)
    clients = float(asked) if expected is None else expected
    affordable = None
    if clipping.budget is not None and epsilon > clipping.budget and each.rate == 1:
        affordable = spending.affordable(before.costs, each, clipping.delta, clipping.budget, spec.rounds)
    return Planned(
        epsilon=epsilon,
        delta=clipping.delta,
        rounds=spec.rounds,
        budget=clipping.budget,
        affordable=affordable,
        deviation=mechanism.deviation(clipping, clipping.clip, clients) if clients else None,
        clients=clients,
        amplified=each.rate < 1,
        sampled=expected is not None,
        before=before,
    )
