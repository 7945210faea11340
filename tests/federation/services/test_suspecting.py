"""Who is suspected: whoever's updates are odd several times in a row, from when on, and never of two."""

import pytest

from federation.fl.suspicion import PATIENCE
from federation.models import Event, Participation
from tests.federation.cast import send, settle

pytestmark = pytest.mark.django_db
HONEST, LIAR = ("anna", "ben", "carl"), "dora"


def play(session, lies, now, names=(*HONEST, LIAR)):
    """Rounds in which the last client sends these values, and each other one 1.0. Returns the last one's flags."""
    for value in lies:
        for name in names[:-1]:
            send(name, now=now, value=1.0)
        send(names[-1], now=now, value=value)
        settle(session, now=now)
    seats = Participation.objects.filter(round__session=session, client__name=names[-1], status="aggregated")
    return [seat.flags for seat in seats.order_by("pk")]


def odd(**flag):
    return {"code": "odd"} | flag


def test_who_points_away_is_suspected_from_the_round_in_which_it_began(open_round, now):
    session = open_round(*HONEST, LIAR, rounds=5).session
    told = play(session, [1.0, -1.0, -1.0, -1.0, -1.0], now)
    assert told[0] == []
    assert [flag for flags in told[1:] for flag in flags] == [
        odd(sign="direction", value=pytest.approx(-1.0), since=2, times=times) for times in (1, 2, 3, 4)
    ]
    assert not Participation.objects.filter(client__name__in=HONEST).exclude(flags=[]).exists()


def test_the_log_names_it_once(open_round, now):
    session = open_round(*HONEST, LIAR, rounds=5).session
    play(session, [-1.0] * 5, now)
    rounds = Event.objects.filter(session=session, kind=Event.Kind.ROUND_AGGREGATED).order_by("seq")
    named = [[one["client"]["name"] for one in event.payload.get("suspected", [])] for event in rounds]
    assert named == [[LIAR] if number == PATIENCE else [] for number in range(1, 6)]


def test_who_sends_one_usual_update_begins_anew(open_round, now):
    session = open_round(*HONEST, LIAR, rounds=5).session
    told = play(session, [-1.0, -1.0, 1.0, -1.0, -1.0], now)
    assert [(flags[0]["since"], flags[0]["times"]) if flags else None for flags in told] == [
        (1, 1), (1, 2), None, (4, 1), (4, 2),
    ]  # fmt: skip


def test_who_is_larger_and_then_points_away_has_been_odd_all_the_time(open_round, now):
    session = open_round(*HONEST, LIAR, rounds=3).session
    told = play(session, [20.0, 20.0, -1.0], now)
    assert [(flags[0]["sign"], flags[0]["since"], flags[0]["times"]) for flags in told] == [
        ("size", 1, 1), ("size", 1, 2), ("direction", 1, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("anna", "ben"), ("anna", "ben", "carl")])
def test_of_two_or_three_nobody_is_suspected(open_round, now, names):
    session = open_round(*names, rounds=4).session
    assert play(session, [-1.0] * 4, now, names) == [[]] * 4


def test_another_session_knows_nothing_of_it(open_round, running, now):
    play(open_round(*HONEST, LIAR, rounds=3).session, [-1.0] * 3, now)
    other = settle(running(name="other", quorum=4, rounds=1), now=now)
    ((flag,),) = play(other, [-1.0], now)
    assert (flag["since"], flag["times"]) == (1, 1)


def test_what_the_seats_keep_is_the_angle_to_the_others(open_round, now):
    session = open_round(*HONEST, LIAR, rounds=1).session
    play(session, [-1.0], now)
    kept = dict(Participation.objects.values_list("client__name", "alignment"))
    assert kept == {name: pytest.approx(1.0) for name in HONEST} | {LIAR: pytest.approx(-1.0)}
