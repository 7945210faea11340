import re
from datetime import datetime, timedelta

from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.kit.parameters import Parameters
from dashboard.pages.session import timeline
from dashboard.pages.session.timeline import Bar, Row, Timeline
from federation import reasons
from federation.models import Client, Participation, Round, TrainingSession
from tests.dashboard.cast import HTMX, Create, Enrol, fail_round, finish_round
from tests.dashboard.markup import compact

ZERO = datetime(2026, 5, 1, 12, tzinfo=timezone.get_default_timezone())


def past(session: TrainingSession, *rounds: dict[str, int | str]) -> None:
    """Closed rounds of 100 s, end to end. A number is when the client reported, in seconds; a word is its status."""
    model = session.last_model()
    assert model is not None
    session.round_set.all().delete()
    clients = {client.name: client for client in Client.objects.all()}
    for number, ends in enumerate(rounds, start=1):
        at = [ZERO + timedelta(seconds=100 * number + s) for s in range(101)]
        one = Round.objects.create(
            session=session, number=number, base_model=model, status="completed",
            opened_at=at[0], deadline=at[100], collected_at=at[90], closed_at=at[100],
        )  # fmt: skip
        for seat, (name, end) in enumerate(ends.items()):
            reported = at[end] if isinstance(end, int) else None
            Participation.objects.create(
                round=one, client=clients[name], seat=seat, base_version=0, taken_at=at[5], training_at=at[10],
                trained_at=at[end - 5] if isinstance(end, int) else None, reported_at=reported, progress_at=at[50],
                timings={"downloading": 5.0, "training": end - 15.0} if isinstance(end, int) else None,
                status="aggregated" if reported else end, reason="" if reported else "The round closed without it.",
            )  # fmt: skip


def drawn(session: TrainingSession, upto: int | None = None) -> Timeline:
    found = timeline.of(session, upto)
    assert found is not None
    return found


def row(found: Timeline, name: str) -> Row:
    return next(row for row in found.rows if row.client.name == name)


def spans(bar: Bar) -> list[tuple[str, int, int]]:
    """A bar's pieces in seconds of its round, which is 100 s long."""
    begin, width = bar.slot.x, bar.slot.width
    return [(phase, round((x - begin) / width * 100), round(w / width * 100)) for phase, x, w in bar.pieces]


def test_a_bar_is_split_into_transfer_training_and_waiting(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": 90})
    found = drawn(running)
    [bar] = row(found, "anna").bars
    assert spans(bar) == [("offered", 0, 5), ("down", 5, 5), ("train", 10, 25), ("up", 35, 5), ("wait", 40, 50)]
    assert "anna, round 1: offered 5.0 s, download 5.0 s, training 25 s, upload 5.0 s, waiting 50 s" in bar.title
    aggregation = found.slots[0].aggregation
    assert aggregation and [round(share, 3) for share in aggregation] == [0.9, 0.1]


def test_the_shares_of_time_are_those_of_the_seats(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": 90})
    shares = {kind: round(200 * share) for kind, share in drawn(running).shares}
    assert shares == {"training": 25 + 75, "transfer": 20, "waiting": 5 + 50 + 5, "aggregation": 20}


def test_the_straggler_is_marked_with_what_it_cost(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": 45, "carl": 90}, {"anna": 30, "ben": 32, "carl": 80}, {"anna": 80, "ben": 50})
    found = drawn(running)
    carl = row(found, "carl")
    assert (carl.is_worst, carl.kept_rounds, carl.kept_seconds) == (True, 2, 45 + 48)
    assert (row(found, "anna").kept_rounds, row(found, "ben").kept_rounds) == (1, 0)
    assert "<strong>carl</strong>, these 3 rounds would have taken 1 min 33 s less of 5 min" in str(found.saved)


def test_who_is_dropped_at_the_deadline_was_waited_for_and_who_gave_up_was_not(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": "dropped", "carl": "dropped"}, {"anna": 40, "ben": 60, "carl": "failed"})
    Participation.objects.filter(status="failed").update(reason="no space left")
    found = drawn(running)
    assert [bar.kept for bar in row(found, "ben").bars] == [50, 20]
    assert [bar.kept for bar in row(found, "carl").bars] == [50, 0]
    assert [bar.is_out for bar in row(found, "carl").bars] == [True, True]


def test_nobody_is_blamed_where_all_end_together(running: TrainingSession) -> None:
    past(running, {"anna": 60, "ben": 62, "carl": 64})
    found = drawn(running)
    assert found.saved is None
    assert not any(row.is_worst for row in found.rows)


def test_a_hostile_name_stays_text(browser: Browser, running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": 90})
    Client.objects.filter(name="ben").update(name="<script>x</script>")
    page = browser.get(reverse("session_timeline", args=[running.pk]), headers=HTMX).content.decode()
    assert "<script>x" not in page
    assert "&lt;script&gt;x" in page


def test_rounds_are_shown_twenty_at_a_time(running: TrainingSession) -> None:
    past(running, *[{"anna": 40, "ben": 50}] * 45)

    def numbers(found: Timeline) -> tuple[int, int]:
        return found.slots[0].round.number, found.slots[-1].round.number

    newest = drawn(running)
    before = drawn(running, newest.older)
    first = drawn(running, before.older)
    assert [numbers(found) for found in (newest, before, first)] == [(26, 45), (6, 25), (1, 5)]
    assert (newest.newer, newest.upto, first.older) == (None, None, None)
    assert numbers(drawn(running, before.newer)) == (26, 45)
    assert numbers(drawn(running, Parameters({"upto": "nonsense"}).whole("upto"))) == (26, 45)


def test_of_many_clients_those_that_kept_rounds_open_are_drawn(
    enrol: Enrol, create: Create, ticking: None, django_assert_max_num_queries: object
) -> None:
    enrol(*(f"site-{n:03}" for n in range(200)))
    session = create(start=True)
    past(session, {f"site-{n:03}": 90 if n == 150 else 30 for n in range(200)})
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        found = drawn(session)
    assert (len(found.rows), found.hidden) == (timeline.MOST, 200 - timeline.MOST)
    assert row(found, "site-150").is_worst


def test_a_short_round_beside_a_long_one_stays_in_sight(running: TrainingSession) -> None:
    past(running, {"anna": 40}, {"anna": 40})
    Round.objects.filter(session=running, number=2).update(closed_at=ZERO + timedelta(days=2))
    short, long = drawn(running).slots
    assert 0.1 < short.width < 0.15
    assert round(short.width + long.width, 6) == 1


def test_the_timeline_says_what_will_come_before_a_round_is_over(browser: Browser, running: TrainingSession) -> None:
    assert timeline.of(running) is None
    page = browser.get(reverse("session_timeline", args=[running.pk]), headers=HTMX).content.decode()
    assert "is drawn here once a round is over" in page


def test_a_round_that_really_ran_is_drawn(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl")
    fail_round(running)
    page = compact(browser.get(reverse("session", args=[running.pk])).content.decode())
    assert re.findall(r'class="gantt__row[^"]*" data-client="(\w+)"', page) == ["anna", "ben", "carl"]
    assert "Time of all clients" in page
    assert 'class="ph-end ph-end--idle"' in page  # dropped when round 2 failed


def test_a_round_is_numbered_where_its_number_has_room():
    word = timeline.statuses.ROUND["completed"]
    numbered = {
        (number, width): timeline.Slot(Round(number=number), word, 0.0, width).is_numbered
        for number, width in ((9, 0.015), (9, 0.02), (10, 0.02), (10, 0.03), (100, 0.03), (100, 0.04))
    }
    assert [pair for pair, is_numbered in numbered.items() if is_numbered] == [(9, 0.02), (10, 0.03), (100, 0.04)]


def test_who_was_waited_for_together_is_named_together(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": "dropped", "carl": "dropped"})
    found = drawn(running)
    assert "<strong>ben and carl</strong>, this round would have taken 50 s less" in str(found.saved)
    assert [row.client.name for row in found.rows if row.is_worst] == ["ben", "carl"]


def test_a_moment_of_waiting_in_short_rounds_is_nobodys_fault(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": 60})
    half = timedelta(seconds=0.5)
    Round.objects.filter(session=running).update(opened_at=ZERO, collected_at=ZERO + half, closed_at=ZERO + half)
    for name, after in (("anna", 0.4), ("ben", 0.45)):
        Participation.objects.filter(client__name=name).update(reported_at=ZERO + timedelta(seconds=after))
    assert not any(row.kept_rounds for row in drawn(running).rows)


def test_the_same_round_tried_again_says_so(browser: Browser, running: TrainingSession) -> None:
    past(running, {"anna": 40}, {"anna": 40})
    Round.objects.filter(session=running, number=2).update(number=1, attempt=2)
    page = compact(browser.get(reverse("session_timeline", args=[running.pk]), headers=HTMX).content.decode())
    again = r"Round</tspan><tspan>1</tspan>(?:<tspan>, try (\d)</tspan>)?</text>"
    assert re.findall(again, page) == ["", "2"]


# ---- what the clients measured, and what they did not


def test_of_a_client_that_measured_nothing_the_parts_are_not_known(browser: Browser, running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": 90})
    Participation.objects.filter(client__name="ben").update(timings=None)
    found = drawn(running)
    [bar] = row(found, "ben").bars
    assert spans(bar) == [("offered", 0, 5), ("work", 5, 85)]
    assert "work (not measured) 1 min 25 s" in bar.title
    assert row(found, "ben").medians == [None, None, None, None]
    assert {kind: round(200 * share) for kind, share in found.shares}["not measured"] == 85
    page = browser.get(reverse("session_timeline", args=[running.pk]), headers=HTMX).content.decode()
    assert "ben did not report how long download, training and upload took." in page


def test_when_messages_arrived_says_nothing_of_the_phases(running: TrainingSession) -> None:
    past(running, {"anna": 40})
    Participation.objects.update(training_at=ZERO + timedelta(seconds=130), timings={"training": 29.95})
    [bar] = row(drawn(running), "anna").bars
    assert spans(bar) == [("offered", 0, 5), ("train", 5, 30), ("up", 35, 5), ("wait", 40, 50)]


def test_a_long_time_that_no_phase_explains_is_shown_as_unknown(running: TrainingSession) -> None:
    past(running, {"anna": 40})
    Participation.objects.update(timings={"downloading": 1.0, "training": 9.0})  # the agent was started again
    [bar] = row(drawn(running), "anna").bars
    assert spans(bar)[:4] == [("offered", 0, 5), ("work", 5, 20), ("down", 25, 1), ("train", 26, 9)]


def test_who_was_waited_for_is_said_of_a_round_that_somebody_finished(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": "dropped"})
    fields = reasons.finished("mara").fields
    Participation.objects.filter(client__name="ben").update(**fields)
    assert [bar.kept for bar in row(drawn(running), "ben").bars] == [50]


def test_a_seat_that_was_skipped_and_came_late_was_not_waited_for(running: TrainingSession) -> None:
    past(running, {"anna": 40, "ben": "late"})
    Participation.objects.filter(client__name="ben").update(**reasons.skipped("mara").fields)
    assert [bar.kept for bar in row(drawn(running), "ben").bars] == [0]
