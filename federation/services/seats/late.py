"""Late updates that count after all: in a later round of their session.

An update counts late where its seat went on when its round closed, and where the session's `late_policy` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from federation import schedules, storage
from federation.lifecycle import ACTIVE, LIVE, FileStatus, LatePolicy, SeatStatus, WorkKind
from federation.models import Participation, Round, TrainingSession
from federation.services.seats import losses

# Other work of the same client on the same round, in any of its tries, that counts or comes first.
_BEFORE = Q(reported_at__lt=OuterRef("reported_at")) | Q(reported_at=OuterRef("reported_at"), pk__lt=OuterRef("pk"))
_COMES_FIRST = Q(counted_in__isnull=False) | Q(withdrawn=False, file_status=FileStatus.STORED) & _BEFORE
_TRIES = Round.objects.filter(
    session=OuterRef(OuterRef("round__session")),
    kind=OuterRef(OuterRef("round__kind")),
    number=OuterRef(OuterRef("round__number")),
)
_OF_THE_SAME = Participation.objects.filter(
    Q(status=SeatStatus.AGGREGATED)
    | Q(status=SeatStatus.REPORTED, round__status__among=ACTIVE)
    | Q(status=SeatStatus.LATE) & _COMES_FIRST,
    round__in=_TRIES,  # few; the client has seats in all rounds of all sessions
    client=OuterRef("client"),
).exclude(pk=OuterRef("pk"))
# Where clients join rounds, each seat is work of its own.
SUPERSEDED = Q(status=SeatStatus.LATE) & ~Q(round__session__schedule__in=schedules.JOINED) & Q(Exists(_OF_THE_SAME))

# Late updates that no round has taken yet and that one will.
_COUNT = Q(reason="", round__session__schedule__in=schedules.JOINED)
_COUNT |= Q(round__session__late_policy=LatePolicy.NEXT_ROUND)
WAITING = _COUNT & Q(status=SeatStatus.LATE, counted_in=None, withdrawn=False, file_status=FileStatus.STORED)
WAITING &= Q(round__kind=WorkKind.TRAIN, round__session__status__in=LIVE) & ~SUPERSEDED


def counts(seat: Participation) -> bool:
    """Whether the late update of this seat counts in a later round, if there is one."""
    session = seat.round.session
    joined = seat.went_on and session.schedule in schedules.JOINED
    by_session = joined or session.late_policy == LatePolicy.NEXT_ROUND
    may = by_session and seat.round.kind == WorkKind.TRAIN and not seat.withdrawn and not session.has_ended
    return may and not is_superseded(seat) and not _is_trained(session)


def _is_trained(session: TrainingSession) -> bool:
    """Whether only its last model is still to be measured, so that no round follows."""
    return Round.objects.filter(session=session, status__among=ACTIVE).exclude(kind=session.kind).exists()


def is_superseded(seat: Participation) -> bool:
    """Whether another update of its client for the same round counts in place of this late one.

    A client may send updates for several tries of a round. The first that was accepted counts.
    """
    return Participation.objects.filter(SUPERSEDED, pk=seat.pk).exists()


def counted_in(seat: Participation) -> int | None:
    """The number of the round that took it, if one has."""
    numbers = Participation.objects.filter(pk=seat.pk).values_list("counted_in__number", flat=True)
    found: int | None = numbers[0]
    return found


def take(round_: Round) -> None:
    """Let the late updates of earlier rounds count in this one. Call it in a transaction that has locked the round.

    Each counts at most once, and so does a client's work on a round, in whatever tries.
    """
    session = round_.session
    if session.late_policy != LatePolicy.NEXT_ROUND and session.schedule not in schedules.JOINED:
        return
    waiting = _waiting(round_)
    for version in sorted(set(waiting.values_list("base_version", flat=True))):
        made_since = {"version__gt": version, "version__lte": round_.base.version}
        staleness = session.models.filter(**made_since).count()
        waiting.filter(base_version=version).update(counted_in=round_, staleness=staleness)


def _waiting(round_: Round) -> QuerySet[Participation]:
    late = Participation.objects.filter(
        WAITING, round__session=round_.session_id, client__enabled=True, client__removed_at=None
    )
    if round_.session.schedule in schedules.JOINED:
        return late.exclude(round=round_)
    return late.filter(round__number__lt=round_.number)


def release(round_: Round) -> None:
    """Let them wait for the next round: this one makes no model."""
    Participation.objects.filter(counted_in=round_).update(counted_in=None, staleness=0)


@transaction.atomic
def lose(seats: Sequence[Participation]) -> None:
    """Go on without late updates whose files were damaged: nobody can be asked for them again."""
    for seat in seats:
        missing = not storage.exists(seat.digest)
        storage.set_aside(seat.digest)
        Participation.objects.filter(pk=seat.pk).update(counted_in=None)
        losses.lose(seat, missing=missing)
