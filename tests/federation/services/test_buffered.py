"""Buffered sessions: clients join, a version is made of every so many updates, and each update counts once."""

from datetime import timedelta

import pytest

from federation import storage, work
from federation.errors import Conflict
from federation.lifecycle import RoundStatus, SeatStatus, SessionStatus
from federation.models import Client, Event, Participation, Round, Server, TrainingSession
from federation.services import clients, repair, rounds, seats, server, sessions, waiting
from federation.services.models import building, damage
from federation.services.seats import updates
from tests.federation.cast import damage_file, kinds, last_payload, seat_of, settle, update

pytestmark = pytest.mark.django_db


@pytest.fixture
def buffered(enrol, running, now):
    """Starts a buffered session for these clients."""

    def buffered(*names, **change):
        enrol(*names)
        session = running(**{"rounds": 20, "round_seconds": 100, "schedule": "buffered"} | change)
        return settle(session, now=now)

    return buffered


def client(name):
    return Client.objects.get(name=name)


def take(name, now):
    return seats.offer(client(name), now=now)


def report(name, now, value=0.5):
    """A client does the work that it is offered and sends its update."""
    seat = take(name, now)
    assert seat is not None, f"{name} has no work"
    with storage.scratch() as file:
        file.write_bytes(update(seat, value))
        assert updates.receive(seats.of(seat.client, seat.pk), file, now=now)
    return seat


def open_seats(session):
    rows = Participation.objects.filter(round__session=session, status__in=("invited", "training"))
    return sorted(rows.values_list("client__name", "round__number", "turn"))


def assert_sums_up(session):
    """Each accepted update counts exactly once, in the round that says so."""
    accepted = Participation.objects.filter(round__session=session).exclude(digest="")
    made = session.round_set.filter(status=RoundStatus.COMPLETED)
    counted = [seat.pk for round_ in made for seat in building.counted(round_)]
    assert len(counted) == len(set(counted))
    waits = accepted.filter(status=SeatStatus.REPORTED) | accepted.filter(status=SeatStatus.LATE).exclude(
        counted_in__status=RoundStatus.COMPLETED
    )
    assert len(counted) + waits.count() == accepted.count()


def test_it_closes_at_the_quorum_and_who_is_not_done_goes_on(buffered, now):
    session = buffered("anna", "ben", "carl", quorum=2)
    take("carl", now)
    report("anna", now)
    report("ben", now)
    settle(session, now=now)
    assert session.active_round().number == 2
    assert open_seats(session) == [("anna", 2, 1), ("ben", 2, 1), ("carl", 1, 1)]
    report("carl", now)
    carl = Participation.objects.get(client__name="carl")
    assert (carl.status, carl.counted_in.number, carl.staleness) == (SeatStatus.LATE, 2, 1)
    settle(session, now=now)
    assert open_seats(session) == [("anna", 2, 1), ("ben", 2, 1), ("carl", 2, 1)]
    report("anna", now)
    settle(session, now=now)
    assert [seat.client.name for seat in building.counted(session.round_set.get(number=2))] == ["anna", "carl"]
    assert_sums_up(session)


def test_who_is_free_joins_the_open_round_at_once_for_another_turn(buffered, now):
    session = buffered("anna", "ben", quorum=3)
    take("ben", now)
    first = report("anna", now)
    settle(session, now=now)
    assert open_seats(session) == [("anna", 1, 2), ("ben", 1, 1)]
    payload = last_payload(session, Event.Kind.SEAT_INVITED)
    assert (payload["client"]["name"], payload["turn"], payload["base_version"]) == ("anna", 2, 0)
    second = take("anna", now)
    assert second.pk != first.pk
    assert second.round.base.version == 0
    assert second.seat == 3
    report("anna", now, value=0.25)
    settle(session, now=now)
    report("anna", now)
    settle(session, now=now)
    assert session.active_round().number == 2
    assert len(building.counted(session.round_set.get(number=1))) == 3
    assert_sums_up(session)


def test_the_first_turn_has_the_seed_that_it_had_and_another_turn_another(buffered, now):
    from federation.fl import sampling

    session = buffered("anna", quorum=2)
    seed = work.describe(take("anna", now))["config"]["seed"]
    assert seed == sampling.client_seed(session.seed, 1, "anna")
    report("anna", now)
    settle(session, now=now)
    again = work.describe(take("anna", now))
    assert again["config"]["seed"] == sampling.client_seed(session.seed, 1, "anna", 2) != seed
    assert again["round"] == 1


def test_the_cohort_bounds_how_many_work_at_a_time(buffered, now):
    session = buffered("anna", "ben", "carl", "dora", quorum=2, cohort_size=2)
    assert len(open_seats(session)) == 2
    for _ in range(4):
        name = open_seats(session)[0][0]
        report(name, now)
        settle(session, now=now)
        assert len(open_seats(session)) == 2
    assert_sums_up(session)


def test_nobody_joins_a_round_that_has_all_it_needs(buffered, now):
    buffered("anna", quorum=1)
    report("anna", now)
    assert not rounds.open_next(now=now), "the tick of another session looks at this one, too"
    assert Participation.objects.count() == 1


def test_a_client_that_comes_later_joins(buffered, enrol, now):
    session = buffered("anna", quorum=2)
    enrol("ben")
    settle(session, now=now)
    assert open_seats(session) == [("anna", 1, 1), ("ben", 1, 1)]
    assert not rounds.advance(session, now=now)


def test_at_the_deadline_one_update_is_enough_and_with_none_it_moves(buffered, now):
    session = buffered("anna", "ben", quorum=2)
    late = now + timedelta(seconds=101)
    server.tick(now=late)
    Client.objects.update(last_seen=late)
    settle(session, now=late)
    round_ = session.active_round()
    assert (round_.number, round_.attempt, round_.deadline) == (1, 1, late + timedelta(seconds=100))
    assert "round.postponed" in kinds(session)
    report("anna", late)
    later = round_.deadline + timedelta(seconds=1)
    Server.objects.update(ticked_at=later)
    Client.objects.update(last_seen=later)
    settle(session, now=later)
    assert session.active_round().number == 2
    assert session.round_set.get(number=1).status == RoundStatus.COMPLETED
    assert session.round_set.filter(status=RoundStatus.FAILED).count() == 0


def test_a_seat_has_a_time_of_its_own(buffered, now):
    session = buffered("anna", "ben", quorum=5)
    at = now + timedelta(seconds=50)
    Client.objects.update(last_seen=at)
    take("ben", now)
    report("anna", at)
    settle(session, now=at)
    anna = take("anna", at)
    assert anna.deadline == at + timedelta(seconds=100)
    assert work.describe(anna)["deadline"] == anna.deadline.isoformat()
    Participation.objects.filter(client__name="ben").update(deadline=at)
    assert rounds.advance(session, now=at)
    ben = Participation.objects.get(client__name="ben", turn=1)
    assert (ben.status, ben.reason) == (SeatStatus.DROPPED, "Its time was over.")
    settle(session, now=at)
    assert open_seats(session) == [("anna", 1, 2), ("ben", 1, 2)]


def test_whatever_shifts_deadlines_shifts_those_of_seats(buffered, now):
    session = buffered("anna", quorum=2)
    before = seat_of("anna").deadline
    assert before == now + timedelta(seconds=100)
    rounds.extend(session, seconds=60, by="alice")
    assert seat_of("anna").deadline == before + timedelta(seconds=60)
    server.tick(now=now)
    server.tick(now=now + timedelta(hours=1))
    assert seat_of("anna").deadline == before + timedelta(seconds=3660)


def test_who_gave_up_or_was_skipped_is_asked_again_after_a_seats_time(buffered, now):
    session = buffered("anna", "ben", quorum=2)
    seats.fail(take("anna", now), reason="out of memory")
    settle(session, now=now)
    assert open_seats(session) == [("ben", 1, 1)]
    at = now + timedelta(seconds=99)
    Client.objects.update(last_seen=at)
    settle(session, now=at)
    assert open_seats(session) == [("ben", 1, 1)]
    Round.objects.update(deadline=now + timedelta(seconds=500))
    Participation.objects.update(deadline=now + timedelta(seconds=500))
    at = now + timedelta(seconds=101)
    Client.objects.update(last_seen=at)
    settle(session, now=at)
    assert open_seats(session) == [("anna", 1, 2), ("ben", 1, 1)]


def test_another_session_takes_turns_with_it(buffered, running, now):
    session = buffered("anna", "ben", quorum=2)
    second = running(name="second", quorum=2)
    TrainingSession.objects.filter(pk=second.pk).update(idle_since=now - timedelta(seconds=1))
    take("ben", now)
    report("anna", now)
    settle(session, now=now + timedelta(seconds=1))
    assert open_seats(session) == [("ben", 1, 1)], "anna is kept for the other session"
    report("ben", now)
    settle(session, now=now + timedelta(seconds=2))
    assert len(open_seats(second)) == 2
    for name in ("anna", "ben"):
        report(name, now)
    settle(second, now=now + timedelta(seconds=3))
    assert len(open_seats(session)) == 2, "it waited longer"


def test_finishing_needs_one_update_and_says_so(buffered, now):
    session = buffered("anna", "ben", quorum=3)
    with pytest.raises(Conflict, match="^Not yet: 1 more update is needed to make a model.$"):
        rounds.finish(session, by="alice", now=now)
    report("anna", now)
    rounds.finish(session, by="alice", now=now)
    assert settle(session, now=now).last_model().version == 1


def test_it_ends_after_its_rounds_and_drops_who_still_works(buffered, now):
    session = buffered("anna", "ben", quorum=1, rounds=2)
    take("ben", now)
    for _ in range(2):
        report("anna", now)
        settle(session, now=now)
    assert session.status == SessionStatus.COMPLETED
    assert open_seats(session) == []
    assert seat_of("ben").status == SeatStatus.DROPPED
    assert_sums_up(session)


def test_an_update_during_aggregation_counts_in_the_next_version(buffered, now):
    session = buffered("anna", "ben", quorum=1)
    take("ben", now)
    report("anna", now)
    assert rounds.advance(session, now=now)  # closes
    report("ben", now)
    assert seat_of("ben").counted_in is None
    settle(session, now=now)
    assert seat_of("ben").pk is not None
    assert Participation.objects.get(client__name="ben", round__number=1).counted_in.number == 2
    assert session.round_set.get(number=2).status == RoundStatus.COMPLETED, "one update is its quorum"
    assert_sums_up(session)


def test_a_model_of_it_is_made_again(buffered, now):
    session = buffered("anna", "ben", quorum=2)
    take("ben", now)
    report("anna", now, 0.1)
    settle(session, now=now)
    report("anna", now, 0.2)
    settle(session, now=now)
    report("ben", now, 0.3)
    report("anna", now, 0.4)
    settle(session, now=now)
    for version in (1, 2):
        model = session.models.get(version=version)
        damage_file(model.digest)
        damage.note([model.digest])
        assert repair.mend(session.pk)
        model.refresh_from_db()
        assert model.file_status == "stored"


@pytest.mark.parametrize("late", [False, True])
def test_a_damaged_update_is_gone_on_without_or_asked_for_again(buffered, now, late):
    session = buffered("anna", "ben", quorum=1)
    take("ben", now)
    report("anna", now, 0.1)
    if late:
        settle(session, now=now)
        ben = report("ben", now, 0.2)
        damage_file(Participation.objects.get(pk=ben.pk).digest)
    else:
        damage_file(seat_of("anna").digest)
    settle(session, now=now)
    assert session.active_round() is not None
    assert session.active_round().status == RoundStatus.COLLECTING
    report("anna", now, 0.4)
    settle(session, now=now)
    assert session.last_model().version == (2 if late else 1)


def test_a_disabled_client_withdraws_what_is_in_no_model_yet(buffered, now):
    session = buffered("anna", "ben", "carl", quorum=2)
    take("ben", now)
    take("carl", now)
    report("anna", now)
    report("ben", now)
    settle(session, now=now)
    report("carl", now)
    clients.set_enabled(client("carl"), False, by="alice")
    carl = Participation.objects.get(client__name="carl")
    assert (carl.counted_in, carl.withdrawn) == (None, True)
    report("anna", now)
    settle(session, now=now)
    assert session.active_round().number == 2


def test_it_is_finished_with_one_update(buffered, now):
    session = buffered("anna", "ben", quorum=2)
    report("anna", now)
    rounds.finish(session, by="alice", now=now)
    settle(session, now=now)
    assert session.last_model().version == 1


def test_it_says_what_it_waits_for(buffered, now):
    session = buffered("anna", "ben", quorum=1)
    server.tick(now=now)
    take("ben", now)
    report("anna", now)
    settle(session, now=now)
    (one,) = waiting.reasons(session, now=now)
    assert one["detail"].startswith("0 of 1 needed updates are in. Open: anna. ")
    assert "Still at work for an earlier round: ben (round 1)." in one["detail"]


def test_two_workers_at_once_let_a_client_join_once(buffered, now, transactional_db):
    from tests.federation.cast import at_once

    session = buffered("anna", "ben", quorum=9)
    report("anna", now)
    results = at_once(*[lambda: rounds.advance(TrainingSession.objects.get(), now=now)] * 3)
    assert [one for one in results if isinstance(one, Exception)] == []
    assert open_seats(session) == [("anna", 1, 2), ("ben", 1, 1)]


def test_cancelled_it_drops_everybody(buffered, now):
    session = buffered("anna", "ben", quorum=1)
    take("ben", now)
    report("anna", now)
    settle(session, now=now)
    sessions.cancel(session, by=None, now=now)
    assert open_seats(session) == []


def test_over_selected_closes_at_the_quorum(enrol, running, now):
    enrol(*"abcde")
    session = running(quorum=3, schedule="over_selected")
    settle(session, now=now)
    asked = [name for name, _, _ in open_seats(session)]
    assert len(asked) == 4
    seat = take(asked[3], now)
    for name in asked[:3]:
        report(name, now)
        assert rounds.may_move(seat.round_id)
    rounds.advance(session, now=now)
    seat.refresh_from_db()
    assert seat.status == SeatStatus.DROPPED
    assert session.round_set.get(number=1).status == RoundStatus.AGGREGATING
