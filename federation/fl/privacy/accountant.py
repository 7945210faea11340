"""The accountant: Renyi differential privacy, by the library dp-accounting.

Mironov 2017 (arXiv:1702.07476); of a Poisson sample: Mironov, Talwar and Zhang 2019 (arXiv:1908.10530).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import dp_accounting
from dp_accounting import rdp

logging.getLogger("absl").setLevel(logging.ERROR)  # it warns of each order that it leaves out; what is left holds


def epsilon(rounds: Iterable[tuple[tuple[float, float], int]], delta: float) -> float:
    """rounds: ((noise multiplier, sampling rate), how many of them)."""
    accountant = rdp.RdpAccountant(neighboring_relation=dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    for (noise_multiplier, rate), count in rounds:
        event: dp_accounting.DpEvent = dp_accounting.GaussianDpEvent(noise_multiplier)
        if rate < 1:
            event = dp_accounting.PoissonSampledDpEvent(rate, event)
        accountant.compose(event, count)
    return float(accountant.get_epsilon(delta))
