"""What is known of the workload of a session: at the server, or by what sites declare."""

from __future__ import annotations

from federation.fl import measures
from federation.fl.measures import Measure
from federation.fl.workloads import WORKLOADS, Workload
from federation.fl.workloads.measured import measures_of
from federation.models import TrainingSession

MOST_DECLARED = 500  # measures of a workload that only sites have


def own(session: TrainingSession) -> Workload | None:
    """The server's workload that a session trains. None if only sites have it."""
    return None if session.is_of_sites else WORKLOADS.get(session.workload)


def declared(session: TrainingSession) -> tuple[Measure, ...]:
    """The measures that a session's workload declares, at the server or by the sites."""
    told = session.declaration.get("measures") if isinstance(session.declaration, dict) else None
    by_sites = [measures.from_json(one) for one in told[:MOST_DECLARED]] if isinstance(told, list) else []
    return measures_of(own(session)) or tuple(one for one in by_sites if one is not None)
