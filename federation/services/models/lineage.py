"""Sessions that train another one's model further, and what their clients kept there.

Where a session continues what clients keep, `earlier_clients` has the clients that had taken part before it; it is
fixed when the session is made, because a model that is made again needs the same number.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q

from federation.fl.strategies import STRATEGIES
from federation.lifecycle import Outcome, SeatStatus, WorkKind
from federation.models import GlobalModel, Participation, TrainingSession

# A late update counts once the round that took it has made its model.
COUNTED = Q(status=SeatStatus.AGGREGATED) | Q(status=SeatStatus.LATE, counted_in__outcome=Outcome.MODEL)


def continues(session: TrainingSession, source: GlobalModel) -> bool:
    """Whether the clients of a new session go by what they kept in that of the model that it starts from.

    Both have them keep the same, and the model is the other session's last one: what clients keep is of their last
    update that counted there.
    """
    other, strategy = source.session, STRATEGIES[session.strategy]
    if not (strategy.keeps_at_clients or strategy.personal or session.stays):
        return False
    mine, theirs = ((one.kind, one.workload, one.strategy, one.strategy_options, one.stays) for one in (session, other))
    return mine == theirs and not other.models.filter(version__gt=source.version).exists()


def earlier_clients(source: GlobalModel) -> list[int]:
    """Those that had taken part when a model was made, in its session and in those that it continues."""
    seats = Participation.objects.filter(COUNTED, _until(source)).order_by()
    own = set(seats.values_list("client_id", flat=True).distinct())
    return sorted(own.union(source.session.earlier_clients or ()))


def updates_of(session: TrainingSession) -> Q:
    """The seats of trainings that its clients may go by: its own, and those of sessions that it continues."""
    found = Q(round__session=session.pk, round__kind=WorkKind.TRAIN)
    for source in _sources(session):
        found |= _until(source)
    return found


def _sources(session: TrainingSession) -> Iterator[GlobalModel]:
    while session.earlier_clients is not None and session.start_from is not None:
        yield session.start_from
        session = session.start_from.session


def _until(source: GlobalModel) -> Q:
    """What went into a model and into those before it in its session."""
    within = Q(status=SeatStatus.AGGREGATED, round__number__lte=source.version)
    within |= Q(status=SeatStatus.LATE, counted_in__number__lte=source.version)
    return Q(within, round__session=source.session_id, round__kind=WorkKind.TRAIN)
