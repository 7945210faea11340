"""A client is left out of a session's rounds only for what it told."""

import pytest

from federation.fl import workloads
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.synthetic import Synthetic
from federation.models import Client, ServedWorkload
from federation.services import clients, rounds, seats, sessions, waiting
from tests.federation.cast import seat_of, settle

pytestmark = pytest.mark.django_db

OTHER = {"workloads": {"synthetic": "sha256:other"}}


def same():
    return {"workloads": {"synthetic": workloads.get("synthetic").digest()}}


def names(session):
    round_ = session.active_round()
    return [seat.client.name for seat in round_.seats.order_by("seat")] if round_ else []


def left_out(session, now):
    return [one["detail"] for one in waiting.reasons(session, now=now) if one["reason"] == "left_out"]


def test_one_with_another_source_is_not_asked_and_the_page_says_so(enrol, running, now):
    enrol("anna", **OTHER)
    enrol("ben", "carl", **same())
    session = settle(running(quorum=2), now=now)
    assert names(session) == ["ben", "carl"]
    assert left_out(session, now) == ["Not asked: anna (it reported another version of the workload)."]


@pytest.mark.parametrize(
    "info", [{"examples": {"synthetic": 0}}, {"num_examples": 0}, {"examples": {"synthetic": 0}, "num_examples": 7}]
)
def test_one_without_examples_is_not_asked(enrol, running, now, info):
    enrol("anna", **info)
    enrol("ben")
    session = settle(running(), now=now)
    assert names(session) == ["ben"]
    assert left_out(session, now) == ["Not asked: anna (it reported no example for the workload)."]


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"workloads": {"digits": "sha256:other"}},
        {"examples": {"digits": 0}},
        {"examples": {"digits": 0}, "num_examples": 0},
        {"examples": {"synthetic": 5}},
        {"num_examples": 5},
        {"workloads": "nonsense", "examples": 3},
    ],
)
def test_silence_means_that_it_can(enrol, running, now, info):
    enrol("anna", **info)
    session = settle(running(), now=now)
    assert names(session) == ["anna"]
    assert left_out(session, now) == []


def test_those_of_one_reason_are_named_together(enrol, running, now):
    enrol("anna", "ben", "carl", "dora", "emil", **OTHER)
    enrol("finn", examples={"synthetic": 0})
    session = settle(running(), now=now)
    assert left_out(session, now) == [
        "Not asked: anna, ben, carl and 2 more (they reported another version of the workload); finn (it reported no "
        "example for the workload)."
    ]
    said = " ".join(one["detail"] for one in waiting.reasons(session, now=now))
    assert "Nobody who can take part is online; 6 are left out." in said
    assert set(waiting.LEFT_OUT) == set(waiting.SEVERAL_LEFT_OUT) == set(rounds.Why)


def test_what_a_client_tells_later_replaces_what_it_told(enrol, running, now):
    (anna,) = enrol("anna", **OTHER)
    session = settle(running(), now=now)
    assert names(session) == []
    assert "left out" in " ".join(one["detail"] for one in waiting.reasons(session, now=now))
    clients.tell(anna, same() | {"examples": {"synthetic": 9}}, now=now)
    assert [(row.name, row.num_examples) for row in anna.workloads.all()] == [("synthetic", 9)]
    assert names(settle(session, now=now)) == ["anna"]
    clients.tell(Client.objects.get(), {}, now=now)
    assert not ServedWorkload.objects.exists()


def test_three_capable_ones_are_asked_beside_one_that_is_not(enrol, running, now):
    enrol("anna", **OTHER)
    enrol("ben", "carl", "dora", **same())
    session = settle(running(cohort_size=3, quorum=3), now=now)
    assert names(session) == ["ben", "carl", "dora"]


def test_another_try_draws_those_who_gave_up_last(enrol, running, now):
    enrol("anna", "ben", "carl", "dora")
    session = settle(running(cohort_size=3, quorum=3, max_retries=5), now=now)
    first = names(session)
    for name in first[:2]:
        seats.fail(seat_of(name), reason="out of memory")
    rounds.skip(session, seat_of(first[2]).pk, by="alice")
    settle(session, now=now)
    second = names(session)
    assert session.active_round().attempt == 2
    (fresh,) = {"anna", "ben", "carl", "dora"} - set(first)
    assert {fresh, first[2]} < set(second), "those who did not give up come first"
    (last,) = set(first) - set(second)
    assert left_out(session, now) == [f"Not asked: {last} (it gave up in an earlier try of this round)."]


def test_before_another_try_it_says_who_is_asked_last(enrol, running, now):
    enrol("anna", "ben")
    session = settle(running(cohort_size=1, quorum=1, max_retries=5), now=now)
    gone = names(session) * 2
    for _ in gone:  # the first retry comes at once, the second after a pause
        seats.fail(seat_of(names(session)[0]), reason="out of memory")
        settle(session, now=now)
    assert session.active_round() is None
    assert left_out(session, now) == ["Asked last: anna, ben (they gave up in an earlier try of this round)."]


def test_opening_a_round_asks_as_much_for_many_clients_as_for_few(enrol, running, now, django_assert_max_num_queries):
    counts = []
    for number, clients_ in enumerate((["anna"], [f"client {n}" for n in range(20)])):
        enrol(*clients_, **same())
        session = running(name=f"session {number}", cohort_size=1)
        with django_assert_max_num_queries(100) as asked:
            assert rounds.advance(session, now=now)
        counts.append(len(asked))
        sessions.cancel(session, by=None, now=now)
    assert counts[0] == counts[1]


@pytest.fixture
def plugged():
    """A workload that the server has from a file."""

    class Plugged(Synthetic):
        name = "plugged"

    def source():
        return {"plugged": Plugged()}

    WORKLOADS.plug(source)
    yield "plugged"
    WORKLOADS.unplug(source)


def test_one_that_lists_others_does_not_have_a_workload_that_is_not_built_in(enrol, running, now, plugged):
    enrol("anna", **same())
    enrol("ben", workloads={plugged: WORKLOADS[plugged].digest()})
    enrol("carl")
    session = settle(running(workload=plugged, quorum=2), now=now)
    assert names(session) == ["ben", "carl"]
    assert left_out(session, now) == ["Not asked: anna (it did not report this workload)."]
