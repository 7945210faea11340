"""How long a session's rounds should take, learnt from how long its clients took.

As TCP waits for an answer (RFC 6298): the usual time plus four times its spread, with the median for the
mean and the median absolute deviation for the mean one, so that a single odd round moves nothing. A client
that the last deadline cut off while it was at work never told how long it needs, so its time is doubled.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db.models.functions import Coalesce

from federation.lifecycle import SeatStatus
from federation.models import Participation, TrainingSession

ROUNDS = 10  # the newest closed ones, that it is learnt from
REPORTS = 3  # of one client, before its times tell anything
SPREADS = 4  # K of RFC 6298
LEAST = 1.5  # times the median: clients that are always as quick still need some room
SHORTEST, LONGEST = 10, 2_592_000  # seconds


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A time for a round, and the client that needs it."""

    seconds: int
    client: dict[str, str]
    median: float  # seconds from a round's opening to its report
    spread: float  # median absolute deviation, seconds
    reports: int
    cut_off: bool  # the last deadline came while it was at work

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Times:
    name: str
    took: list[float]
    cut_off_after: float = 0.0


def suggested(session: TrainingSession) -> Suggestion | None:
    """What the slowest of the session's clients needs; None before anybody has reported three times."""
    newest = session.own_rounds.exclude(closed_at=None).order_by("-pk").values_list("pk", flat=True)[:ROUNDS]
    found = [_of(client, times) for client, times in _times(list(newest)).items() if len(times.took) >= REPORTS]
    return max(found, key=lambda one: (one.seconds, one.median, one.client["name"]), default=None)


def _times(rounds: list[int]) -> dict[int, _Times]:
    """The times of each client in these rounds, the newest of which comes first."""
    fields = (
        "client",
        "client__name",
        "status",
        "reported_at",
        "progress_at",
        "round",
        "began_at",
        "until",
        "round__closed_at",
        "round__collected_at",
    )
    rows = Participation.objects.filter(round__in=rounds).annotate(
        began_at=Coalesce("invited_at", "round__opened_at"), until=Coalesce("deadline", "round__deadline")
    )
    found: defaultdict[int, _Times] = defaultdict(lambda: _Times("", []))
    for row in rows.order_by("pk").values(*fields):
        times = found[row["client"]]
        times.name = row["client__name"]
        if row["reported_at"] is not None:
            times.took.append((row["reported_at"] - row["began_at"]).total_seconds())
        elif row["round"] == rounds[0] and _was_cut_off(row):
            times.cut_off_after = (row["until"] - row["began_at"]).total_seconds()
    return dict(found)


def _was_cut_off(row: dict[str, Any]) -> bool:
    """Whether the deadline came while this client was at work and heard of."""
    ended = row["round__collected_at"] or row["round__closed_at"]
    at_deadline = row["status"] == SeatStatus.DROPPED and ended >= row["until"]
    return at_deadline and bool(row["progress_at"] and row["progress_at"] > row["until"] - settings.FL_ONLINE)


def _of(client: int, times: _Times) -> Suggestion:
    median = statistics.median(times.took)
    spread = statistics.median(abs(took - median) for took in times.took)
    needs = max(median + SPREADS * spread, LEAST * median, 2 * times.cut_off_after)
    return Suggestion(
        seconds=round(min(max(needs, SHORTEST), LONGEST)),
        client={"id": str(client), "name": times.name},
        median=median,
        spread=spread,
        reports=len(times.took),
        cut_off=bool(times.cut_off_after),
    )


def learn(session: TrainingSession) -> Suggestion | None:
    """What the next round's time is to be, where the session wants it learnt. Kept with it, so that it explains itself.

    Call inside the transaction that opens the round.
    """
    found = suggested(session) if session.auto_deadline else None
    if found is not None:
        session.round_seconds, session.learnt_deadline = found.seconds, found.as_json()
        session.save(update_fields=["round_seconds", "learnt_deadline"])
    return found
