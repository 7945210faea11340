"""Which of the sites' numbers stay with a model."""

from __future__ import annotations

from collections.abc import Mapping

from federation.fl import measures
from federation.models import TrainingSession
from federation.work.declared import declared

MOST_MEASURES = 500  # of a model


def merged(known: Mapping[str, float], found: Mapping[str, float], session: TrainingSession) -> dict[str, float]:
    """What is known of a model, with what was found now. The first number of a measure stays.

    Of too many measures those that the session declares stay, then the usual ones, then those that were there before.
    """
    both = {**found, **known}
    if len(both) <= MOST_MEASURES:
        return both
    first = {session.main_measure, *(one.name for one in declared(session))}
    ranked = sorted(both, key=lambda name: (name not in first, name not in measures.KNOWN, name not in known, name))
    return {name: both[name] for name in ranked[:MOST_MEASURES]}
