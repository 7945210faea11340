"""What one client did: its rounds, and its curves over the sessions that it took part in."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet

from dashboard.kit import phases, protection, statuses
from dashboard.kit.statuses import Word
from dashboard.pages.clients.client_list import is_in_time
from federation import parsing
from federation.lifecycle import BESIDE, OPEN, WorkKind
from federation.models import Client, Participation, Round, TrainingSession

MOST_SESSIONS = 8  # of the newest, that its curves show
MOST_SEATS = 5000  # of those sessions
SEATS_AT_ONCE = 200  # read from the database
AXIS_TITLES = {"round": "round", "time": "hours ago"}
AXES = {"round": "Round", "time": "Time"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One round that a client took part in."""

    seat: Participation
    word: Word

    @property
    def took(self) -> float | None:
        return _seconds(self.seat.taken_at, self.seat.reported_at)

    @property
    def trained(self) -> float | None:
        """As its client measured it."""
        spent = phases.of(self.seat)
        return None if spent is None else spent.training

    @property
    def sent(self) -> float | None:
        """None where the client did not say when its upload began."""
        spent = phases.of(self.seat)
        return None if spent is None else spent.uploading(self.seat.reported_at)


def _seconds(begin: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - begin).total_seconds()) if begin and end else None


def turns(client: Client) -> QuerySet[Participation]:
    """Its seats in training rounds, the newest first."""
    return client.seats.filter(round__kind=WorkKind.TRAIN).select_related("round__session").order_by("-pk")


@dataclass(frozen=True, slots=True)
class Suspicion:
    """sentence: what its updates have been, in which session, since when."""

    session: TrainingSession
    sentence: str


def num_turns(client: Client) -> tuple[int, int]:
    """How many seats a client has in training rounds and in evaluations.

    It counts the rows of an index, and looks only at rounds of other kinds: joined with their rounds, tens of thousands
    of seats take as long as all else on a page.
    """
    mine = Participation.objects.filter(round=OuterRef("pk"), client=client)
    beside = Round.objects.filter(Exists(mine), kind__among=BESIDE).order_by()
    kinds = dict(beside.values_list("kind").annotate(Count("pk")))
    return client.seats.count() - sum(kinds.values()), kinds.get(WorkKind.EVALUATE, 0)


def suspicion(seats: Sequence[Participation]) -> Suspicion | None:
    """What a client is suspected of by its last update that counted, of these seats, the newest first."""
    seat = next((seat for seat in seats if seat.alignment is not None), None)
    sentence = protection.suspected(seat.flags) if seat else ""
    return Suspicion(seat.round.session, sentence) if seat and sentence else None


def described(seats: Sequence[Participation]) -> list[Turn]:
    return [Turn(seat, statuses.of_seat(seat)) for seat in seats]


def times(seats: Sequence[Participation]) -> dict[str, float]:
    """Median seconds of a round as a whole, of its training and of its upload, of updates that count, if known."""
    counted = described([seat for seat in seats if is_in_time(seat)])
    found = {name: [value for turn in counted if (value := getattr(turn, name)) is not None] for name in TIMES}
    return {TIMES[name]: statistics.median(values) for name, values in found.items() if values}


TIMES = {"took": "Whole round", "trained": "Training", "sent": "Upload"}


def open_seat(client: Client) -> Participation | None:
    return client.seats.filter(status__among=OPEN).select_related("round__session").order_by("-pk").first()


@dataclass(frozen=True, slots=True)
class Told:
    """What a client told at the end of one round."""

    session: str
    round: int
    metrics: object  # what the database has there
    time: datetime

    @property
    def numbers(self) -> Mapping[str, object]:
        return self.metrics if isinstance(self.metrics, dict) else {}


def overlay(client: Client, *, now: datetime) -> dict[str, Any]:
    """The numbers that it reported at the end of each round, a line a session: for static/js/overlay.js."""
    lines = [_line(told[::-1], number, now) for number, told in enumerate(_told(client), start=1)]
    return {"axes": AXIS_TITLES, "series": lines, "thinned": False}


def _told(client: Client) -> list[list[Told]]:
    """By session, the newest first. It reads no more of them than it shows."""
    rows = client.seats.filter(round__kind=WorkKind.TRAIN).exclude(metrics={}).exclude(reported_at=None)
    names = ("round__session", "round__session__name", "round__number", "metrics", "reported_at")
    newest = rows.order_by("-pk").values_list(*names)[:MOST_SEATS]
    found: defaultdict[int, list[Told]] = defaultdict(list)
    for session, *told in newest.iterator(chunk_size=SEATS_AT_ONCE):
        if len(found) == MOST_SESSIONS and session not in found:
            break
        found[session].append(Told(*told))
    return list(found.values())


def _line(told: Sequence[Told], number: int, now: datetime) -> dict[str, Any]:
    names = sorted({name for one in told for name in one.numbers})
    return {
        "name": told[0].session,
        "colour": f"run-{number}",
        "number": number,
        "x": {
            "round": [one.round for one in told],
            "time": [(one.time - now).total_seconds() / 3600 for one in told],
        },
        "y": {name.replace("_", " "): [parsing.number(one.numbers.get(name)) for one in told] for name in names},
    }
