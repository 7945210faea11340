"""Calls of many agents at once, in several web processes: no number is missing, doubled or seen too early."""

import threading

import pytest

from federation.errors import RoundClosed
from federation.lifecycle import OPEN, SeatStatus
from federation.models import Client, Event, Participation, Phase, TrainingSession
from federation.services import rounds, seats
from federation.services.seats import progress, writing
from federation.together import Together, _Place
from tests.federation.cast import at_once, seat_of, send

NAMES = [f"site-{number:02}" for number in range(9)]
REPORTS = 4
PROCESSES = 3


@pytest.fixture
def processes(monkeypatch):
    """Threads are divided among processes: those of one share transactions. Returns what each transaction held."""
    held = []

    def noting(calls):
        held.append(len(calls))
        return writing._write(calls)

    each = [Together(noting, key=lambda call: call.seat.pk) for _ in range(PROCESSES)]
    monkeypatch.setattr(writing, "_together", lambda call: each[call.seat.client_id % PROCESSES](call))
    return held


def work(name, now):
    """What an agent does in a round."""
    seat = seats.offer(seat_of(name).client, now=now)
    for step in range(REPORTS):
        point = progress.Point("train_loss", step, 0.5, now)
        fraction = (step + 1) / REPORTS
        assert progress.report(
            seats.of(seat.client, seat.pk), phase=Phase.TRAINING, fraction=fraction, points=[point], now=now
        )
    return send(name, now=now)


def read(session, over, seen):
    """Whoever reads a number has all events up to it, and finds no gap."""
    while not over.is_set():
        last = TrainingSession.objects.values_list("last_seq", flat=True).get(pk=session.pk)
        numbers = list(session.events.order_by("seq").values_list("seq", flat=True))
        seen.append(numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= last)


def watched(session, *functions):
    """Do all at once while somebody reads the session's log."""
    over, seen = threading.Event(), []
    reader = threading.Thread(target=lambda: at_once(lambda: read(session, over, seen)))
    reader.start()
    results = at_once(*functions)
    over.set()
    reader.join(30)
    assert seen
    assert all(seen)
    return results


@pytest.mark.django_db(transaction=True)
def test_many_writers_leave_no_gap_and_each_seat_keeps_its_order(open_round, now, processes):
    session = open_round(*NAMES).session
    assert watched(session, *[lambda name=name: work(name, now) for name in NAMES]) == [True] * len(NAMES)
    session.refresh_from_db()
    log = list(session.events.order_by("seq"))
    assert [event.seq for event in log] == list(range(1, session.last_seq + 1))
    for seat in Participation.objects.all():
        own = [event.kind for event in log if event.payload.get("participation") == str(seat.pk)]
        assert own == ["seat.training", *["metrics.reported"] * REPORTS, "update.received"]
    assert sum(processes) == len(NAMES) * (REPORTS + 2)
    assert max(processes) > 1


@pytest.mark.django_db(transaction=True)
def test_two_sessions_in_one_transaction_each_keep_their_numbers(enrol, running, now, processes):
    for name, tag in zip(NAMES, "aaaabbbbb", strict=True):
        enrol(name)
        Client.objects.filter(name=name).update(tags=[tag])
    first, second = running(quorum=4, client_tags=["a"]), running(name="second", quorum=5, client_tags=["b"])
    for session in (first, second):
        assert rounds.advance(session, now=now)
    assert watched(first, *[lambda name=name: work(name, now) for name in NAMES]) == [True] * len(NAMES)
    for session in (first, second):
        session.refresh_from_db()
        assert list(session.events.order_by("seq").values_list("seq", flat=True)) == list(
            range(1, session.last_seq + 1)
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_a_round_that_closes_meanwhile_counts_what_the_log_says_it_received(open_round, now, processes, attempt):
    round_ = open_round(*NAMES, quorum=1)
    for name in NAMES:
        seats.offer(seat_of(name).client, now=now)
    send(NAMES[0], now=now)
    others = [lambda name=name: send(name, now=now) for name in NAMES[1:]]
    results = watched(round_.session, *others, lambda: rounds.close(round_, now=round_.deadline))
    assert all(result is True or isinstance(result, RoundClosed) for result in results), results
    received = [event.payload["participation"] for event in Event.objects.filter(kind="update.received")]
    by_status = {status: set() for status in SeatStatus.values}
    for seat in Participation.objects.all():
        by_status[seat.status].add(str(seat.pk))
    assert not any(by_status[status] for status in OPEN)
    assert set(received) == by_status[SeatStatus.REPORTED]
    assert len(received) == len(set(received))
    late = {event.payload["participation"] for event in Event.objects.filter(kind="update.late")}
    assert late == by_status[SeatStatus.LATE]


def test_a_refusal_leaves_the_other_calls_of_its_transaction_alone(open_round, now, monkeypatch):
    """Two calls in one transaction, of which one is refused: the other one is written, once."""
    session = open_round("anna", "ben").session
    done = []

    def fine(one):
        done.append(one.several)
        one.entries[session.pk].append((Event.Kind.SEAT_TRAINING, {}))
        return "fine"

    def refused(_one):
        raise RoundClosed("It is over.")

    first, second = (seat_of(name) for name in ("anna", "ben"))
    calls = [writing._Call(first, fine, True), writing._Call(second, refused, False)]
    together = Together(writing._write, key=lambda call: call.seat.pk)
    places = [_place(together, call) for call in calls]
    together._work()
    assert (places[0].answers, type(places[1].error)) == (["fine"], RoundClosed)
    assert done == [True, False]
    assert session.events.filter(kind="seat.training").count() == 1


def _place(together, call):
    place = _Place(call)
    together._waiting.append(place)
    return place


def test_a_late_update_takes_its_further_locks_in_a_transaction_of_its_own(open_round, now, monkeypatch):
    """Beside another call it is tried again alone, because it locks a round after that call locked a seat."""
    round_ = open_round("anna", "ben", quorum=1)
    send("anna", now=now)
    ben = seat_of("ben")
    assert rounds.close(round_, now=round_.deadline)
    sizes = []
    monkeypatch.setattr(
        writing, "_together", Together(lambda calls: _beside(calls, sizes), key=lambda call: call.seat.pk)
    )
    with pytest.raises(RoundClosed):
        send("ben", now=now)
    assert sizes == ["Alone", 1]
    ben.refresh_from_db()
    assert ben.status == SeatStatus.LATE


def _beside(calls, sizes):
    """The first time as if another call shared the transaction."""
    if not sizes:
        other = writing._Call(seat_of("anna"), lambda one: None, False)
        try:
            writing._write([other, *calls])
        except writing.Alone:
            sizes.append("Alone")
    sizes.append(len(calls))
    return writing._write(calls)
