"""Which of the free clients get a seat, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, OuterRef, QuerySet, Subquery

from federation import schedules
from federation.fl import selections
from federation.fl.selections import Candidate, Draw
from federation.lifecycle import SeatStatus
from federation.models import Client, Participation, ServedWorkload, TrainingSession
from federation.services import privacy
from federation.services.models import lineage

LOSS = "train_loss"  # of a client's metrics: the mean over the steps of its last epoch


@dataclass(frozen=True, slots=True)
class Drawn:
    """The clients that get a seat, sorted by name, and why. free: of how many."""

    clients: list[Client]
    whys: Mapping[str, Mapping[str, Any]]  # by name: code and args
    selection: str
    free: int

    def described(self) -> dict[str, Any]:
        """What the log says of the choice. Equal reasons stand once, and one that holds for all names no client."""
        by_reason: dict[tuple[Any, ...], dict[str, Any]] = {}
        for client in self.clients:
            why = self.whys[client.name]
            reason = by_reason.setdefault((why["code"], *sorted(why["args"].items())), {**why, "clients": []})
            reason["clients"].append(client.name)
        reasons = list(by_reason.values())
        if len(reasons) == 1:
            del reasons[0]["clients"]
        return {"name": self.selection, "free": self.free, "reasons": reasons}


def draw(
    session: TrainingSession, number: int, attempt: int, free: Sequence[Client], asked: int, *, joins: bool = False
) -> Drawn:
    """So many of the free clients, by the session's selection. Another try draws those that gave up in it last.

    joins: they join the round of this number, in which clients have been asked before.
    """
    selection = selections.build(session.selection, session.selection_options)
    candidates = _candidates(session, number, attempt, free, selection.reads, joins=joins)
    needed = schedules.of(session).needed
    found = selection.choose(candidates, Draw(asked, needed, privacy.selection_seed(session), number))
    whys = {chosen.name: {"code": chosen.why.value, "args": dict(chosen.args)} for chosen in found}
    drawn = [client for client in sorted(free, key=lambda client: client.name) if client.name in whys]
    return Drawn(drawn, whys, selection.name, len(free))


def _candidates(
    session: TrainingSession, number: int, attempt: int, free: Sequence[Client], reads: Collection[str], *, joins: bool
) -> list[Candidate]:
    """The free clients by name, with what the selection reads of them."""
    gave_up = who_gave_up(session, number) if attempt > 1 else set()
    asked = _asked(session, number + joins) if "last_asked" in reads else {}
    losses = _losses(session, number + joins, free) if "loss" in reads else {}
    examples = _examples(session, free) if "num_examples" in reads else {}
    return [
        Candidate(
            one.name,
            tags=one.tags,
            last_asked=asked.get(one.pk, (0, 0))[0],
            times_asked=asked.get(one.pk, (0, 0))[1],
            loss=losses.get(one.pk),
            num_examples=examples.get(one.pk),
            gave_up=one.pk in gave_up,
        )
        for one in sorted(free, key=lambda client: client.name)
    ]


def _seats(session: TrainingSession, before: int) -> QuerySet[Participation]:
    """The session's seats in rounds of lower numbers: the same in every try of a round."""
    of_session = Participation.objects.filter(round__session=session.pk, round__kind=session.kind)
    return of_session.filter(round__number__lt=before).order_by()


def _asked(session: TrainingSession, before: int) -> dict[int, tuple[int, int]]:
    """In which round each client was asked last, and in how many."""
    rows = _seats(session, before).values("client_id")
    rows = rows.annotate(last=Max("round__number"), times=Count("round__number", distinct=True))
    return {client: (last, times) for client, last, times in rows.values_list("client_id", "last", "times")}


def _losses(session: TrainingSession, before: int, free: Sequence[Client]) -> dict[int, float]:
    """What each client's last counted update says of its loss."""
    newest = _seats(session, before).filter(lineage.COUNTED, client=OuterRef("pk")).order_by("-pk")
    rows = Client.objects.filter(pk__in=[client.pk for client in free]).order_by()
    told = rows.annotate(told=Subquery(newest.values("metrics")[:1])).values_list("pk", "told")
    return {client: float(said[LOSS]) for client, said in told if isinstance((said or {}).get(LOSS), int | float)}


def _examples(session: TrainingSession, free: Sequence[Client]) -> dict[int, int]:
    """What each client told of its examples for the workload."""
    rows = ServedWorkload.objects.filter(name=session.workload, client__in=free, num_examples__gt=0).order_by()
    return {client: count or 0 for client, count in rows.values_list("client_id", "num_examples")}


def who_gave_up(session: TrainingSession, number: int) -> set[int]:
    """The clients that gave up in this number, in whatever try."""
    failed = Participation.objects.filter(
        round__session=session, round__kind=session.kind, round__number=number, status=SeatStatus.FAILED
    ).order_by()
    return set(failed.values_list("client_id", flat=True))


def still_online(clients: Sequence[Client], now: datetime) -> bool:
    """Whether all of them can get a seat. Locks them, so that it stays so until the transaction ends."""
    ids = [client.pk for client in clients]
    still = Client.objects.online(now).filter(pk__in=ids).select_for_update(of=("self",)).only("pk").order_by("pk")
    return len(still) == len(ids)  # one left or was disabled; counting in the database would lock nothing
