"""Late updates that count after all: in the next round of their session, where its `late_policy` says so."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from federation import storage
from federation.lifecycle import COUNTED, FileStatus, LatePolicy, SeatStatus
from federation.models import Participation, Round
from federation.services.seats import losses


def take(round_: Round) -> None:
    """Let the late updates of earlier rounds count in this one. Call in the transaction that closes it.

    Each counts at most once, and not at all where its client's work of that round counted in another try.
    """
    if round_.session.late_policy != LatePolicy.NEXT_ROUND:
        return
    waiting = _waiting(round_)
    for version in sorted(set(waiting.values_list("base_version", flat=True))):
        made_since = {"version__gt": version, "version__lte": round_.base.version}
        staleness = round_.session.models.filter(**made_since).count()
        waiting.filter(base_version=version).update(counted_in=round_, staleness=staleness)


def _waiting(round_: Round) -> QuerySet[Participation]:
    late = Participation.objects.filter(
        round__session=round_.session_id,
        round__number__lt=round_.number,
        status=SeatStatus.LATE,
        counted_in=None,
        file_status=FileStatus.STORED,
        withdrawn=False,
        client__enabled=True,
        client__removed_at=None,
    )
    counted = Participation.objects.filter(
        round__session=round_.session_id,
        round__number=OuterRef("round__number"),
        client=OuterRef("client"),
        status__in=COUNTED,
    )
    return late.exclude(Exists(counted))


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
