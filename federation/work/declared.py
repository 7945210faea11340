"""What sites measure in a session."""

from __future__ import annotations

from federation.fl import measures
from federation.fl.measures import Measure
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.measured import measures_of
from federation.models import TrainingSession

MOST_DECLARED = 500  # measures of a workload that only sites have


def declared(session: TrainingSession) -> tuple[Measure, ...]:
    """The measures that a session's workload declares, at the server or by the sites."""
    told = session.declaration.get("measures") if isinstance(session.declaration, dict) else None
    by_sites = [measures.from_json(one) for one in told[:MOST_DECLARED]] if isinstance(told, list) else []
    return measures_of(WORKLOADS.get(session.workload)) or tuple(one for one in by_sites if one is not None)
