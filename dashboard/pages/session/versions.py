"""Who works on which version of the model, where clients need not wait for each other, and how stale updates were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, F, When

from dashboard.kit import formats, statuses
from dashboard.kit.statuses import Word
from federation import schedules
from federation.lifecycle import OPEN, RoundStatus
from federation.models import Participation, Round, TrainingSession

ROUNDS = 20  # the newest, whose updates the picture of staleness counts
MOST_BEHIND = 5  # the last bar stands for all that are further behind


@dataclass(frozen=True, slots=True)
class Worker:
    """A client that works for the session now. behind: how many versions are newer than the one it trains from."""

    seat: Participation
    behind: int

    @property
    def word(self) -> Word:
        return statuses.of_seat(self.seat)


@dataclass(frozen=True, slots=True)
class Bar:
    """How many of the counted updates were so many versions behind. share: of the longest bar."""

    behind: str
    updates: int
    share: float


@dataclass(frozen=True, slots=True)
class Versions:
    """The newest version, who works on which, and how far behind counted updates were."""

    newest: int
    workers: Sequence[Worker]
    bars: Sequence[Bar]

    @property
    def earlier(self) -> list[Worker]:
        """Those whose round has closed: they go on."""
        return [worker for worker in self.workers if worker.seat.round.status != RoundStatus.COLLECTING]

    @property
    def sentence(self) -> str:
        """'ben works on v3, 2 versions behind.', for each that works for an earlier round."""
        said = [
            f"{one.seat.client.name} (v{one.seat.base_version}, {formats.count(one.behind, 'version')} behind)"
            for one in self.earlier
        ]
        return f"Still at work for an earlier round: {formats.listed(said)}." if said else ""


def of(session: TrainingSession, round_: Round | None) -> Versions | None:
    """None for a session whose seats all end with their round. round_: the newest one."""
    if round_ is None or round_.base_model is None or not schedules.of(session).goes_on():
        return None
    own = Participation.objects.filter(round__session=session, round__kind=session.kind, status__among=OPEN)
    rows = own.select_related("client", "round")
    newest = round_.base_model.version
    workers = [Worker(seat, max(0, newest - seat.base_version)) for seat in rows.order_by("-base_version", "seat")]
    joined = session.schedule in schedules.JOINED
    return Versions(newest, workers, _bars(session, newest) if joined else [])


def _bars(session: TrainingSession, newest: int) -> list[Bar]:
    """The updates in the newest versions, by staleness. An update of its own round's is not behind."""
    made = Participation.objects.filter(round__session=session, round__kind=session.kind).annotate(
        made=Case(When(counted_in=None, then=F("round__number")), default=F("counted_in__number"))
    )
    recent = made.filter(made__lte=newest, made__gt=newest - ROUNDS).exclude(norm=None)
    found = Counter(min(behind, MOST_BEHIND) for behind in recent.values_list("staleness", flat=True))
    most = max(found.values(), default=0)
    if not most:
        return []
    return [
        Bar(
            f"{behind} or more" if behind == MOST_BEHIND else formats.count(behind, "version"),
            found[behind],
            found[behind] / most,
        )
        for behind in range(max(found) + 1)
    ]
