"""Which of the free clients get a seat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from federation.fl import sampling
from federation.lifecycle import SeatStatus
from federation.models import Client, Participation, TrainingSession


def draw(session: TrainingSession, number: int, attempt: int, free: Sequence[Client], asked: int) -> list[Client]:
    """So many of the free clients, sorted by name. Another try draws those that gave up in this number last."""
    gave_up = who_gave_up(session, number) if attempt > 1 else set()
    by_name = {client.name: client for client in free}
    first = sorted(name for name, client in by_name.items() if client.pk not in gave_up)
    rest = sorted(by_name.keys() - set(first))
    drawn = _draw(session, number, first, asked)
    drawn += _draw(session, number, rest, asked - len(drawn))
    return [by_name[name] for name in sorted(drawn)]


def _draw(session: TrainingSession, number: int, names: Sequence[str], count: int) -> list[str]:
    return sampling.draw(names, count, seed=session.seed, round_number=number)


def who_gave_up(session: TrainingSession, number: int) -> set[int]:
    """The clients that gave up in this number, in whatever try."""
    failed = Participation.objects.filter(
        round__session=session, round__kind=session.kind, round__number=number, status=SeatStatus.FAILED
    ).order_by()
    return set(failed.values_list("client_id", flat=True))


def still_online(clients: Sequence[Client], now: datetime) -> bool:
    """Whether all of them can get a seat. Locks them, so that it stays so until the transaction ends."""
    ids = [client.pk for client in clients]
    still = Client.objects.online(now).filter(pk__in=ids).select_for_update().only("pk").order_by("pk")
    return len(still) == len(ids)  # one left or was disabled; counting in the database would lock nothing
