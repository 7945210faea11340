"""What runs, and what ended lately."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils.safestring import SafeString

from dashboard.kit import charts, formats, results, statuses
from dashboard.kit.progress import Progress
from dashboard.kit.results import Result, completed, models_of
from dashboard.kit.statuses import Word
from dashboard.pages.session import lanes, round_now
from dashboard.pages.session.round_now import RoundNow
from dashboard.pages.session.why import Why, why_it_collects, why_it_waits
from federation import parsing
from federation.fl import measures
from federation.lifecycle import ACTIVE, ENDED, LIVE, RoundStatus, SessionStatus, WorkKind
from federation.models import Event, GlobalModel, Participation, Round, TrainingSession

MOST_RUNNING = 8  # sessions that are shown as running; each that has no round open costs a few queries
RECENT = 6
SPARK = 48  # reports of the clients that a running session's line shows
URGENT = {"lost", "late", "silent", "stalled", "refused", "no_clients", "too_few_clients"}


@dataclass(slots=True)
class Running:
    session: TrainingSession
    round_now: RoundNow
    reasons: list[Why]
    progress: Progress
    spark: str

    @property
    def about(self) -> str:
        """'digits, fedavg, 3 clients'; an evaluation has no strategy."""
        strategy = [self.session.strategy] if self.session.kind == WorkKind.TRAIN else []
        clients = [formats.count(len(self.round_now.all_lanes), "client")] if self.round_now.all_lanes else []
        return ", ".join([self.session.workload, *strategy, *clients])

    @property
    def word(self) -> Word:
        if self.session.status == SessionStatus.PAUSED:
            return statuses.SESSION[SessionStatus.PAUSED]
        rests = not self.round_now.is_active and self.round_now.beside is None
        waits = rests or any(why.kind in URGENT for why in self.reasons)
        return statuses.WAITING if waits else statuses.SESSION[SessionStatus.RUNNING]

    @property
    def why(self) -> SafeString | str:
        pressing = [why for why in self.reasons if why.kind in URGENT] or self.reasons
        return pressing[0].sentence if pressing else "The next round opens."


def live(now: datetime) -> list[Running]:
    sessions = list(TrainingSession.objects.filter(status__in=LIVE).order_by("pk")[:MOST_RUNNING])
    models = models_of(sessions)
    active = Round.objects.filter(session__in=sessions, kind=F("session__kind"), status__among=ACTIVE)
    rounds = {round_.session_id: round_ for round_ in active}
    seats: defaultdict[int, list[Participation]] = defaultdict(list)
    for seat in lanes.seats(rounds.values()):
        seats[seat.round_id].append(seat)
    found = []
    for session in sessions:
        one = rounds.get(session.pk)
        if one is not None and _trains(session) and one.status == RoundStatus.COLLECTING:
            one.session = session
            at = round_now.with_seats(session, one, seats[one.pk], now=now)
            reasons = why_it_collects(at)
        else:
            at = round_now.of(session, now=now)
            reasons = why_it_waits(at)
        known = models[session.pk]
        found.append(Running(session, at, reasons, _progress(at, known), charts.spark(_lately(session))))
    return found


def _trains(session: TrainingSession) -> bool:
    return session.status == SessionStatus.RUNNING and session.kind == WorkKind.TRAIN


def _lately(session: TrainingSession) -> list[float]:
    """The mean of the leading training curve in each of the newest reports, the oldest first."""
    told = Event.objects.filter(session=session, kind=Event.Kind.METRICS_REPORTED).order_by("-seq")
    reports = [_told(payload) for payload in told.values_list("payload", flat=True)[:SPARK]]
    curve = min((str(point.get("name")) for points in reports for point in points), key=measures.rank, default="")
    values = [
        [parsing.number(point.get("value")) for point in points if point.get("name") == curve] for points in reports
    ]
    known = [[value for value in some if value is not None] for some in values]
    return [statistics.fmean(some) for some in known if some][::-1]


def _told(payload: object) -> list[dict[str, Any]]:
    """The points of one report about training: others name their kind of work."""
    points = payload.get("points") if isinstance(payload, dict) and "work" not in payload else None
    return [point for point in points if isinstance(point, dict)] if isinstance(points, list) else []


def recent() -> list[Result]:
    sessions = list(TrainingSession.objects.filter(status__in=ENDED).order_by(F("ended_at").desc(), "-pk")[:RECENT])
    return results.of(sessions)


def _progress(at: RoundNow, models: Sequence[GlobalModel]) -> Progress:
    return Progress(at.session, completed(models), at.round, frozenset(model.version for model in models))
