"""A session's selection decides who is asked, and the log says why."""

from dataclasses import replace

import pytest

from dashboard.kit.event_sentences import lines
from federation.errors import Invalid
from federation.fl.selections import SELECTIONS
from federation.models import Client, Event
from federation.services import rounds, seats, sessions
from federation.session_settings import Spec
from tests.federation.cast import last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db

NAMES = ("anna", "ben", "carl", "dora", "emil")
SPEC = Spec(name="one", workload="synthetic", rounds=4, quorum=1)


def names(session):
    return [seat.client.name for seat in session.active_round().seats.order_by("seat")]


def why(session):
    """The reasons of the round that opened last, by client."""
    opened = last_payload(session, Event.Kind.ROUND_OPENED)
    everybody = [client["name"] for client in opened["clients"]]
    return {
        name: (one["code"], one["args"])
        for one in opened["selection"]["reasons"]
        for name in one.get("clients", everybody)
    }


def finish(session, now, **losses):
    """Everybody who was asked reports."""
    for name in names(session):
        send(name, now=now, metrics=f'{{"train_loss": {losses.get(name, 1.0)}}}')
    return settle(session, now=now)


def test_each_choice_has_its_reason_in_the_event(enrol, running, now):
    enrol(*NAMES)
    session = settle(running(cohort_size=2), now=now)
    opened = last_payload(session, Event.Kind.ROUND_OPENED)
    assert opened["selection"] == {"name": "random", "free": 5, "reasons": [{"code": "drawn", "args": {}}]}
    (line,) = lines(Event.objects.filter(session=session, kind=Event.Kind.ROUND_OPENED))
    assert line.sentence.endswith("From 5 free clients: drawn at random.")


def test_that_everyone_is_asked_goes_without_saying(enrol, running, now):
    enrol("anna", "ben")
    session = settle(running(selection="all"), now=now)
    assert why(session) == {"anna": ("everyone", {}), "ben": ("everyone", {})}
    (line,) = lines(Event.objects.filter(session=session, kind=Event.Kind.ROUND_OPENED))
    assert "From" not in line.sentence


def test_round_robin_asks_each_client_in_its_turn(enrol, running, now):
    enrol(*NAMES)
    session = settle(running(cohort_size=2, selection="round_robin", rounds=3), now=now)
    asked = [names(session)]
    for _ in range(2):
        session = finish(session, now)
        asked.append(names(session))
    assert asked == [["anna", "ben"], ["carl", "dora"], ["anna", "emil"]]
    assert why(session) == {"anna": ("turn", {"last": 1}), "emil": ("turn", {"last": 0})}
    line = lines(Event.objects.filter(session=session, kind=Event.Kind.ROUND_OPENED).order_by("seq"))[-1]
    assert "From 5 free clients: anna (last asked in round 1), emil (not asked before)." in line.sentence


def test_another_try_of_a_round_has_the_same_turns_without_those_that_gave_up(enrol, running, now):
    enrol(*NAMES)
    session = settle(running(cohort_size=2, quorum=2, selection="round_robin", max_retries=3), now=now)
    assert names(session) == ["anna", "ben"]
    seats.fail(seat_of("anna"), reason="out of memory")
    send("ben", now=now)
    session = settle(session, now=now)
    assert (session.active_round().attempt, names(session)) == (2, ["ben", "carl"])


def test_the_highest_loss_of_counted_updates_is_asked(enrol, running, now):
    enrol(*NAMES, examples={"synthetic": 50})
    options = {"candidates": 5}
    session = running(cohort_size=3, selection="power_of_choice", selection_options=options, rounds=3)
    session = settle(session, now=now)
    first = names(session)
    assert {code for code, _ in why(session).values()} == {"no_loss"}
    session = finish(session, now, **{first[0]: 0.5, first[1]: 2.0, first[2]: 1.0})
    fresh = set(NAMES) - set(first)
    assert set(names(session)) == fresh | {first[1]}
    assert why(session)[first[1]] == ("loss", {"loss": 2.0})
    session = finish(session, now, **{first[1]: 0.1}, **dict.fromkeys(fresh, 0.2))
    assert first[2] in names(session) and first[1] not in names(session)


def test_clients_come_from_every_tag(enrol, running, now):
    enrol(*NAMES)
    Client.objects.filter(name__in=("anna", "ben", "carl", "dora")).update(tags=["north"])
    Client.objects.filter(name="emil").update(tags=["south"])
    session = settle(running(cohort_size=2, selection="by_tag"), now=now)
    assert "emil" in names(session)
    assert {args["tag"] for _, args in why(session).values()} == {"north", "south"}


def test_poisson_never_opens_a_round_below_the_quorum(enrol, running, now):
    enrol(*NAMES)
    session = settle(running(quorum=2, selection="poisson", selection_options={"rate": 1e-9}), now=now)
    assert len(names(session)) == 2 and {code for code, _ in why(session).values()} == {"filled"}


def test_who_joins_has_a_reason_too(enrol, running, now):
    enrol("anna")
    session = settle(running(schedule="buffered", cohort_size=2, quorum=2, selection="round_robin"), now=now)
    assert names(session) == ["anna"]
    enrol("ben", "carl")
    session = settle(session, now=now)
    assert last_payload(session, Event.Kind.SEAT_INVITED)["why"] == {"code": "turn", "args": {"last": 0}}
    assert names(session) == ["anna", "ben"]
    send("anna", now=now)
    session = settle(session, now=now)
    assert names(session) == ["anna", "ben", "carl"]  # anna has been asked in this round
    (line, _) = lines(Event.objects.filter(session=session, kind=Event.Kind.SEAT_INVITED).order_by("seq"))
    assert line.sentence == "<strong>ben</strong> joined round 1 (not asked before)."


@pytest.mark.parametrize("name", SELECTIONS)
def test_two_sessions_with_one_seed_ask_the_same(enrol, running, alice, now, name):
    enrol(*NAMES)
    limited = {} if name in ("all", "poisson") else {"cohort_size": 2}
    asked = []
    for number in range(2):
        session = settle(running(name=f"session {number}", selection=name, seed=11, rounds=3, **limited), now=now)
        for _ in range(2):
            asked.append((names(session), why(session)))
            session = finish(session, now, anna=0.3, ben=3.0)
        sessions.cancel(session, by=alice, now=now)
    assert asked[:2] == asked[2:]


def test_opening_a_round_asks_as_much_for_many_clients_as_for_few(enrol, running, now, django_assert_max_num_queries):
    counts = []
    for number, clients_ in enumerate((["one", "two"], [f"client {n:02}" for n in range(20)])):
        enrol(*clients_)
        session = running(name=f"session {number}", cohort_size=1, selection="power_of_choice")
        with django_assert_max_num_queries(100) as asked:
            assert rounds.advance(session, now=now)
        counts.append(len(asked))
        sessions.cancel(session, by=None, now=now)
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"selection": "best"}, "selection.name", "There is no selection 'best'"),
        ({"selection": "poisson", "selection_options": {"rate": 0}}, "selection.options.rate", "above 0 up to 1"),
        ({"selection": "all", "cohort_size": 3}, "selection.name", "leave cohort_size empty"),
        ({"selection": "all", "schedule": "over_selected"}, "selection.name", "leave cohort_size empty"),
        ({"selection": "poisson", "schedule": "buffered"}, "selection.name", "join one by one"),
        ({"selection": "round_robin"}, "selection.name", "Say how many clients a round asks"),
    ],
)
def test_a_session_that_cannot_choose_so_is_refused(given, field, words):
    with pytest.raises(Invalid, match=words) as refused:
        sessions.check(replace(SPEC, **given))
    assert [name for name, _ in refused.value.errors] == [field]


@pytest.mark.parametrize("name", ["by_tag", "round_robin", "power_of_choice"])
def test_over_selection_limits_by_itself(name):
    assert sessions.check(replace(SPEC, selection=name, schedule="over_selected")).selection == name
