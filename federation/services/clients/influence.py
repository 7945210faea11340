"""The models that contain a client's updates: those of its rounds, and all models made from them, in any session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F, Max, Min, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from federation.lifecycle import FileStatus, Outcome, SeatStatus
from federation.models import Client, GlobalModel, Participation, TrainingSession


@dataclass(frozen=True, slots=True)
class Influence:
    """A session's models that contain a client's updates: all from `first` on."""

    session: TrainingSession
    first: int
    last: int
    through: GlobalModel | None  # the model of another session that the session started from, if it contains them
    without: GlobalModel | None  # the session's last model without them

    @property
    def can_start(self) -> bool:
        """Whether a session can start from the last model without the client."""
        return self.without is not None and self.without.file_status == FileStatus.STORED


@dataclass(frozen=True, slots=True)
class Influences:
    """By session, the newest first; `more` sessions beyond those."""

    shown: Sequence[Influence]
    more: int

    def __bool__(self) -> bool:
        return bool(self.shown)


def of(client: Client, *, most: int) -> Influences:
    """Where a client's updates are, in the `most` newest sessions. Six queries in any case.

    A deleted session is unknown, and so is what other sessions took from it.
    """
    first = _own(client)
    through = dict(_handed_on(first)) if first else {}
    newest = sorted(first, reverse=True)
    shown = {session: first[session] for session in newest[:most]}
    if not shown:
        return Influences((), 0)
    sessions = TrainingSession.objects.filter(pk__in=shown).annotate(last=Max("models__version")).only("name")
    sources = [through[pk] for pk in shown if pk in through]
    models = GlobalModel.objects.select_related("session").in_bulk(sources) if sources else {}
    without = {model.session_id: model for model in _before(shown)}
    found = [
        Influence(one, shown[one.pk], one.last, models.get(through.get(one.pk, 0)), without.get(one.pk))
        for one in sessions.order_by("-pk")
    ]
    return Influences(found, len(newest) - len(shown))


def _own(client: Client) -> dict[int, int]:
    """By session, the first version in whose round an update of the client counted, in time or late.

    A model's version is its round's number. The round in which a site sends version 0 has the number 0.
    """
    seats = Participation.objects.filter(client=client).order_by()
    in_time = seats.filter(status=SeatStatus.AGGREGATED, round__outcome=Outcome.MODEL)
    late = seats.filter(counted_in__isnull=False, counted_in__outcome=Outcome.MODEL)  # by an index of these alone
    first: dict[int, int] = {}
    for rows in (
        in_time.values_list("round__session").annotate(Min("round__number")),
        late.values_list("counted_in__session").annotate(Min("counted_in__number")),
    ):
        for session, version in rows:
            first[session] = min(version, first.get(session, version))
    return first


def _handed_on(first: dict[int, int]) -> Iterator[tuple[int, int]]:
    """Add the sessions that started from such a model. Yields each with the model's key.

    Oldest first: a session is younger than the one it started from.
    """
    started = GlobalModel.objects.filter(version=0, parent__isnull=False).order_by("session")
    for session, source, version, model in started.values_list(
        "session", "parent__session", "parent__version", "parent"
    ):
        if model is not None and version >= first.get(source, version + 1):
            first[session] = 0
            yield session, model


def _before(first: Mapping[int, int]) -> QuerySet[GlobalModel]:
    """Each session's last model before the given version."""
    earlier = Q(pk__in=())
    for session, version in first.items():
        earlier |= Q(session=session, version__lt=version)
    nth = Window(RowNumber(), partition_by=F("session"), order_by=F("version").desc())
    return GlobalModel.objects.filter(earlier).annotate(nth=nth).filter(nth=1).only("session", "version", "file_status")
