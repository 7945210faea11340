"""A round client by client."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone

from dashboard.pages.session import lanes
from federation.models import Participation, Round, TrainingSession
from federation.services import rounds
from tests.dashboard.cast import Create, Enrol, seat_of
from tests.dashboard.pages.session.test_round_now import now_of

TIMINGS = {"downloading": 3.0, "training": 18.5, "evaluating": 1.5}


def laid(session: TrainingSession, now: datetime | None = None, **change: object) -> lanes.Lanes:
    round_ = Round.objects.get(session=session)
    for name, value in change.items():
        setattr(round_, name, value)
    return lanes.of(round_, list(lanes.seats([round_])), now=now or timezone.now())


def test_a_lane_has_the_phases_that_there_were(running: TrainingSession) -> None:
    opened = timezone.now() - timedelta(seconds=40)
    at = {
        name: opened + timedelta(seconds=s) for name, s in {"taken_at": 2, "training_at": 5, "trained_at": 25}.items()
    }
    Participation.objects.filter(client__name="anna").update(
        status="reported", reported_at=opened + timedelta(seconds=30), timings=TIMINGS, **at
    )
    rows = laid(running, opened_at=opened)
    anna = rows.rows[0]
    assert [(phase, round(begin), round(end)) for phase, begin, end in anna.stops] == [
        ("offered", 0, 2),
        ("down", 2, 5),
        ("train", 5, 25),
        ("up", 25, 30),
    ]
    assert round(anna.end * rows.scale, 3) == 30


def test_the_axis_reaches_to_the_deadline_only_when_it_is_near(running: TrainingSession) -> None:
    now = timezone.now()
    fresh = laid(running, now, opened_at=now)
    assert fresh.deadline is None
    assert fresh.scale == 5
    old = laid(running, now, opened_at=now - timedelta(seconds=500), deadline=now + timedelta(seconds=100))
    assert old.deadline is not None
    assert old.scale >= 600


def test_what_is_still_to_come_is_split_at_the_deadline(running: TrainingSession) -> None:
    now = timezone.now()
    seat_of(running, "anna")
    Participation.objects.filter(client__name="anna").update(
        phase="training", fraction=0.5, phase_at=now - timedelta(seconds=30), progress_at=now
    )
    rows = laid(running, now, opened_at=now - timedelta(seconds=40), deadline=now + timedelta(seconds=10))
    anna = rows.rows[0]
    assert anna.eta is not None and anna.eta_late is not None
    assert round(anna.eta.width * rows.scale) == 10
    assert round(anna.eta_late.width * rows.scale) == 20


def test_more_lanes_than_have_room_leave_out_those_that_are_done(
    enrol: Enrol, create: Create, ticking: None, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    enrol(*(f"site-{n:03}" for n in range(120)))
    session = create(start=True)
    rounds.advance(session, now=timezone.now())
    Participation.objects.filter(client__name__lt="site-030").update(status="reported")
    at = now_of(session)
    assert at.lanes is not None
    assert (len(at.lanes.shown), at.lanes.hidden) == (lanes.MOST, 20)
    assert sum(lane.is_open for lane in at.lanes.shown) == 90
    assert at.many
    assert at.meter == {"is_in": 0.25, "coming": 0.75, "quorum": 2 / 120}


def test_no_tick_is_labelled_under_the_labels_of_now_and_the_deadline(running: TrainingSession) -> None:
    now = timezone.now()
    close = laid(running, now, opened_at=now - timedelta(seconds=50), deadline=now + timedelta(seconds=10))
    assert close.marks_meet and close.now_anchor == "end"
    assert close.now is not None and close.deadline is not None
    for x, _ in close.labels:
        assert not close.now - 0.2 < x < close.deadline + 0.04
