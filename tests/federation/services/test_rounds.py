from datetime import timedelta

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction

from federation import storage
from federation.errors import Conflict, Invalid
from federation.fl import aggregation, weights
from federation.lifecycle import RoundStatus, SeatStatus, SessionStatus
from federation.models import Client, Event, GlobalModel, Participation, Round, Server, TrainingSession
from federation.services import clients, rounds, seats, sessions
from tests.federation.cast import at_once, kinds, last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db


def weight(model):
    return weights.load(storage.path(model.digest))["weight"]


def names(round_):
    return [seat.client.name for seat in round_.seats.order_by("seat")]


# ---- opening


def test_a_round_opens_for_everyone_online_with_seats_by_name(enrol, running, now):
    enrol("carl", "anna", "ben")
    round_ = settle(running(), now=now).active_round()
    assert (round_.number, round_.attempt, round_.deadline) == (1, 1, now + timedelta(seconds=600))
    assert names(round_) == ["anna", "ben", "carl"]
    assert {seat.base_version for seat in round_.seats.all()} == {0}
    payload = last_payload(round_.session, Event.Kind.ROUND_OPENED)
    assert [client["name"] for client in payload["clients"]] == ["anna", "ben", "carl"]
    assert (payload["round"], payload["quorum"]) == (1, 1)


def test_no_round_opens_before_there_is_a_model(enrol, draft, alice, now):
    enrol("anna")
    session = draft()
    sessions.start(session, by=alice, now=now)
    assert not rounds.advance(session, now=now)


def test_no_round_opens_below_the_quorum_and_one_opens_as_soon_as_enough_are_there(enrol, running, now):
    enrol("anna")
    session = running(quorum=2)
    assert settle(session, now=now).active_round() is None
    enrol("ben")
    assert names(settle(session, now=now).active_round()) == ["anna", "ben"]


def test_who_is_offline_is_not_asked(enrol, running, now):
    anna, _ = enrol("anna", "ben")
    clients.leave(anna)
    assert names(settle(running(), now=now).active_round()) == ["ben"]


def test_a_cohort_is_drawn_by_seed_and_round_and_not_by_the_order_of_enrolment(enrol, running, alice, now):
    enrol("carl", "anna", "ben", "dora")
    session = settle(running(cohort_size=2, quorum=2, rounds=5), now=now)
    drawn = []
    for _ in range(5):
        round_ = session.active_round()
        drawn.append(names(round_))
        for name in drawn[-1]:
            send(name, now=now)
        settle(session, now=now)
    assert all(pair == sorted(pair) and len(pair) == 2 for pair in drawn)
    assert len({tuple(pair) for pair in drawn}) > 1
    again = settle(sessions.again(session, by=alice, now=now), now=now)
    assert again.active_round() is None  # its model is not made yet


def test_two_sessions_with_one_seed_draw_the_same_clients(enrol, running, alice, now):
    enrol("carl", "anna", "ben", "dora")
    first = settle(running(cohort_size=2, seed=5), now=now)
    drawn = names(first.active_round())
    sessions.cancel(first, by=alice, now=now)
    second = settle(running(cohort_size=2, seed=5, name="second"), now=now)
    assert names(second.active_round()) == drawn


def test_a_cohort_is_smaller_where_fewer_are_online(enrol, running, now):
    enrol("anna", "ben")
    assert names(settle(running(cohort_size=3, quorum=2), now=now).active_round()) == ["anna", "ben"]


def test_a_client_holds_one_open_seat_at_a_time(open_round, running, now):
    open_round("anna", "ben")
    second = running(name="second")
    assert settle(second, now=now).active_round() is None
    assert not rounds.open_next(now=now)
    anna = Client.objects.get(name="anna")
    round_ = Round.objects.create(session=second, number=1, base_model=second.last_model(), opened_at=now, deadline=now)
    with pytest.raises(IntegrityError), transaction.atomic():
        Participation.objects.create(round=round_, client=anna, seat=1, base_version=0)


def test_a_client_that_has_reported_is_free_for_another_session(open_round, running, now):
    first = open_round("anna", "ben").session
    second = running(name="second", cohort_size=1)
    send("anna", now=now)
    settle(first, now=now)
    assert names(second.active_round()) == ["anna"]


def test_advancing_again_changes_nothing(open_round, now):
    session = open_round("anna").session
    before = kinds(session)
    assert not rounds.advance(session, now=now)
    assert kinds(session) == before


def test_sessions_take_turns(enrol, running, now):
    enrol("anna")
    first = running(rounds=2)
    running(name="second", rounds=2)
    order = []
    for seconds in range(4):
        at = now + timedelta(seconds=seconds)
        settle(first, now=at)
        open_ = Round.objects.get(status=RoundStatus.COLLECTING)
        order.append((open_.session.name, open_.number))
        send("anna", now=at)
        settle(open_.session, now=at)
    assert order == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


def test_a_session_that_needs_many_is_not_starved_by_one_that_needs_few(enrol, running, now):
    enrol("anna", "ben")
    small = settle(running(name="small", cohort_size=1, rounds=10), now=now)
    large = running(name="large", quorum=2)
    busy = names(small.active_round())[0]
    settle(large, now=now)
    assert large.active_round() is None
    send(busy, now=now + timedelta(seconds=1))
    settle(small, now=now + timedelta(seconds=1))
    assert names(large.active_round()) == ["anna", "ben"]
    assert small.active_round() is None


def test_a_session_with_too_few_clients_online_holds_nobody_up(enrol, running, now):
    enrol("anna")
    running(name="too large", quorum=5)
    assert settle(running(name="small"), now=now).active_round() is not None


def test_one_round_of_a_session_is_open_at_a_time(open_round, now):
    round_ = open_round("anna")
    with pytest.raises(IntegrityError), transaction.atomic():
        Round.objects.create(
            session=round_.session, number=2, base_model=round_.base_model, opened_at=now, deadline=now
        )


# ---- closing


def test_a_round_closes_when_everybody_has_reported(open_round, now):
    session = open_round("anna", "ben").session
    send("anna", now=now)
    assert not rounds.advance(session, now=now)
    send("ben", now=now)
    assert settle(session, now=now).last_model().version == 1


def test_at_the_deadline_a_quorum_suffices_and_the_others_are_dropped(open_round, now):
    round_ = open_round("anna", "ben", quorum=1)
    send("anna", now=now)
    settle(round_.session, now=round_.deadline - timedelta(seconds=1))
    assert round_.session.active_round() == round_
    settle(round_.session, now=round_.deadline)
    round_.refresh_from_db()
    assert round_.status == RoundStatus.COMPLETED
    statuses = dict(round_.seats.values_list("client__name", "status"))
    assert statuses == {"anna": SeatStatus.AGGREGATED, "ben": SeatStatus.DROPPED}


def test_without_a_quorum_a_round_fails_and_is_tried_again_under_its_number(open_round, now):
    round_ = open_round("anna", "ben")
    send("anna", now=now)
    rounds.advance(round_.session, now=round_.deadline)
    round_.refresh_from_db()
    assert (round_.status, round_.closed_at) == (RoundStatus.FAILED, round_.deadline)
    assert round_.reason == "1 of 2 needed updates had arrived at the deadline."
    assert last_payload(round_.session, Event.Kind.ROUND_FAILED)["retried"] is True
    assert rounds.next_try(round_.session) == (1, 2)


def test_a_failed_round_is_retried_twice_and_then_fails_its_session_with_the_reason(open_round, now):
    session = open_round("anna").session
    for attempt in (1, 2, 3):
        assert (session.active_round().number, session.active_round().attempt) == (1, attempt)
        seats.fail(seat_of("anna"), reason="no data")
        now += timedelta(seconds=9 if attempt == 2 else 0)
        settle(session, now=now)
    assert session.status == SessionStatus.FAILED and session.ended_at == now
    assert session.reason == (
        "Round 1 failed 3 times. The last time: 0 of 1 needed updates had arrived when no seat was open any more. "
        "anna gave up: no data."
    )
    assert kinds(session)[-2:] == ["round.failed", "session.failed"]
    assert session.active_round() is None


def test_a_session_without_retries_fails_at_once(open_round, now):
    session = open_round("anna", max_retries=0).session
    seats.fail(seat_of("anna"), reason="no data")
    assert settle(session, now=now).status == SessionStatus.FAILED


def test_each_round_has_its_own_number_of_tries(open_round, now):
    session = open_round("anna", max_retries=1, rounds=2).session
    for _ in range(2):
        seats.fail(seat_of("anna"), reason="not now")
        settle(session, now=now)
        send("anna", now=now)
        settle(session, now=now)
    assert session.status == SessionStatus.COMPLETED
    assert list(session.round_set.values_list("number", "attempt")) == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_retry_asks_the_same_work_of_the_same_clients(open_round, now):
    session = open_round("anna", "ben").session
    first = session.active_round()
    for name in ("anna", "ben"):
        seats.fail(seat_of(name), reason="not now")
    settle(session, now=now)
    second = session.active_round()
    assert (names(second), second.base_model) == (names(first), first.base_model)


def test_a_paused_session_whose_round_fails_once_too_often_fails(open_round, alice, now):
    session = open_round("anna", max_retries=0).session
    sessions.pause(session, by=alice)
    seats.fail(seat_of("anna"), reason="no data")
    assert settle(session, now=now).status == SessionStatus.FAILED


def test_a_session_completes_with_its_last_round_even_if_it_was_paused_in_it(open_round, alice, now):
    session = open_round("anna", rounds=1).session
    sessions.pause(session, by=alice)
    send("anna", now=now)
    settle(session, now=now)
    assert (session.status, session.ended_at is not None) == (SessionStatus.COMPLETED, True)
    assert kinds(session)[-2:] == ["round.completed", "session.completed"]


def test_only_one_of_two_who_saw_the_round_closes_it(open_round, now):
    round_ = open_round("anna", max_retries=5)
    first, second = Round.objects.get(), Round.objects.get()
    assert rounds.close(first, now=round_.deadline)
    assert not rounds.close(second, now=round_.deadline)
    assert kinds(round_.session).count("round.failed") == 1


def test_only_one_of_two_who_saw_the_round_moves_it(open_round):
    open_round("anna")
    first, second = Round.objects.get(), Round.objects.get()
    assert rounds.move(first, RoundStatus.AGGREGATING)
    assert not rounds.move(second, RoundStatus.AGGREGATING)


def test_a_move_that_is_none_is_our_own_bug(open_round):
    round_ = open_round("anna")
    with pytest.raises(ValueError, match="is not a move"):
        rounds.move(round_, RoundStatus.COMPLETED)


# ---- steering


def test_finishing_closes_the_round_with_what_is_in(open_round, now):
    round_ = open_round("anna", "ben", quorum=1)
    send("anna", now=now)
    rounds.finish(round_.session, by="alice", now=now)
    assert seat_of("ben").reason == "The round was finished by alice."
    assert settle(round_.session, now=now).last_model().version == 1


def test_a_round_below_its_quorum_cannot_be_finished(open_round, now):
    session = open_round("anna", "ben", "carl").session
    send("anna", now=now)
    with pytest.raises(Conflict, match="2 more updates are needed"):
        rounds.finish(session, by="alice", now=now)
    send("ben", now=now)
    with pytest.raises(Conflict, match="1 more update is needed"):
        rounds.finish(session, by="alice", now=now)
    assert session.active_round().status == RoundStatus.COLLECTING


def test_extending_moves_the_deadline_from_where_it_was(open_round, now):
    round_ = open_round("anna")
    rounds.extend(round_.session, seconds=60, by="alice")
    round_.refresh_from_db()
    assert round_.deadline == now + timedelta(seconds=660)
    payload = last_payload(round_.session, Event.Kind.ROUND_EXTENDED)
    assert (payload["seconds"], payload["by"], payload["deadline"]) == (60, "alice", round_.deadline.isoformat())
    assert not rounds.close(round_, now=now + timedelta(seconds=601))


def test_a_round_that_closes_at_that_moment_is_not_extended(open_round, now):
    round_ = open_round("anna")
    send("anna", now=now)
    closed = []

    def first(execute, sql, *rest):
        if sql.startswith('UPDATE "federation_round"') and not closed:
            closed.append(None)  # closing is an UPDATE itself
            closed[0] = rounds.close(Round.objects.get(), now=now)
        return execute(sql, *rest)

    with connection.execute_wrapper(first), pytest.raises(Conflict, match="The round closed just now"):
        rounds.extend(round_.session, seconds=60, by="alice")
    assert closed == [True]
    assert Round.objects.get().deadline == round_.deadline
    assert "round.extended" not in kinds(round_.session)


@pytest.mark.parametrize("seconds", [0, -60, 2_592_001])
def test_a_round_is_extended_by_one_second_to_a_month(open_round, seconds):
    with pytest.raises(Invalid, match="seconds is"):
        rounds.extend(open_round("anna").session, seconds=seconds, by="alice")


def test_skipping_the_last_open_seat_lets_the_round_go_on(open_round, now):
    round_ = open_round("anna", "ben", quorum=1)
    send("anna", now=now)
    rounds.skip(round_.session, seat_of("ben").pk, by="alice")
    assert settle(round_.session, now=now).last_model().version == 1


def test_a_seat_of_another_round_cannot_be_skipped(open_round, now):
    session = open_round("anna", quorum=1).session
    old = seat_of("anna").pk
    send("anna", now=now)
    settle(session, now=now)
    with pytest.raises(Invalid, match=f"no participation {old}"):
        rounds.skip(session, old, by="alice")


STEER = {
    "finish": lambda session, now: rounds.finish(session, by="alice", now=now),
    "extend": lambda session, now: rounds.extend(session, seconds=60, by="alice"),
    "skip": lambda session, now: rounds.skip(session, 1, by="alice"),
}


@pytest.mark.parametrize("steer", STEER)
def test_where_no_round_is_open_none_is_steered(running, now, steer):
    with pytest.raises(Conflict, match="no open round"):
        STEER[steer](running(), now)


@pytest.mark.parametrize("steer", STEER)
def test_no_round_of_a_cancelled_session_is_steered(open_round, alice, now, steer):
    session = open_round("anna").session
    sessions.cancel(session, by=alice, now=now)
    with pytest.raises(Conflict, match="no open round"):
        STEER[steer](session, now)


@pytest.mark.parametrize("steer", STEER)
def test_a_round_that_is_aggregated_is_not_steered_any_more(closed, now, steer):
    with pytest.raises(Conflict, match="is aggregating"):
        STEER[steer](closed().session, now)


# ---- aggregating


def test_the_new_model_is_the_base_and_the_mean_of_the_updates_by_examples(closed, now):
    """anna moves by 0 with 10 examples, ben by 1 with 30: all by 0.75."""
    session = settle(closed().session, now=now)
    base, new = session.models.order_by("version")
    np.testing.assert_allclose(weight(new), weight(base) + np.float32(0.75), rtol=1e-6)
    assert (new.version, new.parent, new.round.number) == (1, base, 1)
    assert new.num_bytes == storage.path(new.digest).stat().st_size
    assert kinds(session).count("round.completed") == 1


def test_of_three_updates_each_weighs_as_its_examples(open_round, now):
    """By 0, 1 and 4 with 1, 2 and 1 examples: all by 1.5."""
    session = open_round("anna", "ben", "carl").session
    for name, value, examples in (("anna", 0.0, "1"), ("ben", 1.0, "2"), ("carl", 4.0, "1")):
        send(name, now=now, value=value, num_examples=examples)
    settle(session, now=now)
    base, new = session.models.order_by("version")
    np.testing.assert_allclose(weight(new) - weight(base), 1.5, rtol=1e-6)


def test_diagnostics_stand_on_the_seats(closed, now):
    settle(closed().session, now=now)
    anna, ben = Participation.objects.filter(round__number=1).order_by("seat")
    assert (anna.status, ben.status) == (SeatStatus.AGGREGATED, SeatStatus.AGGREGATED)
    assert (anna.norm, round(ben.norm, 5)) == (0.0, round(10**0.5, 5))
    assert (anna.cosine, round(ben.cosine, 5)) == (0.0, 1.0)


def test_nothing_is_left_in_the_making(closed, now, settings):
    settle(closed(rounds=1).session, now=now)
    assert list(settings.FL_SCRATCH_DIR.iterdir()) == []


def test_the_optimizers_state_is_kept_with_the_model_and_goes_into_the_next(open_round, now):
    session = open_round("anna", strategy="fedadam", rounds=2).session
    for _ in range(2):
        send("anna", now=now)
        settle(session, now=now)
    slots = [storage.path(model.slots_digest) for model in session.models.filter(version__gte=1)]
    first, second = (weights.load(path) for path in slots)
    assert not np.array_equal(first["m/weight"], second["m/weight"])


def test_clients_evaluation_of_the_base_is_weighted_by_their_examples(open_round, now):
    session = open_round("anna", "ben", "carl").session
    send("anna", now=now, num_examples="10", metrics='{"base_val_loss": 1.0, "base_val_accuracy": 0.5}')
    send("ben", now=now, num_examples="30", metrics='{"base_val_loss": 3.0}')
    send("carl", now=now, num_examples="60", metrics='{"base_val_loss": null}')
    settle(session, now=now)
    base = session.models.get(version=0)
    assert base.federated_metrics == {"loss": 2.5, "accuracy": 0.5}


def test_a_claim_is_held_by_one_worker(closed, now):
    round_ = closed()
    assert rounds.claim(round_, now=now)
    assert rounds.claim(Round.objects.get(), now=now) is None
    assert not rounds.advance(round_.session, now=now)


def test_a_dead_workers_claim_is_taken_over_after_its_lease(closed, now):
    round_ = closed(rounds=1)
    rounds.claim(round_, now=now)
    assert not rounds.advance(round_.session, now=now + timedelta(seconds=9))
    assert settle(round_.session, now=now + timedelta(seconds=11)).status == SessionStatus.COMPLETED


def test_a_server_that_starts_frees_all_leases(closed, now):
    round_ = closed()
    rounds.claim(round_, now=now)
    rounds.free_leases()
    assert rounds.claim(round_, now=now)


def test_only_the_holder_of_the_claim_publishes(closed, now):
    round_ = closed(rounds=1)
    lost = rounds.claim(round_, now=now)
    held = rounds.claim(round_, now=now + timedelta(seconds=11))
    stale = Round.objects.get()
    assert not rounds.aggregate(stale, lost, now=now)
    assert not GlobalModel.objects.filter(version=1).exists()
    assert rounds.aggregate(Round.objects.get(), held, now=now)
    assert GlobalModel.objects.filter(version=1).count() == 1


def test_a_worker_that_lost_its_lease_stops_at_the_next_block(closed, now):
    round_ = closed()
    lost = rounds.claim(round_, now=now)
    rounds.claim(round_, now=now + timedelta(seconds=11))
    lease = rounds.Lease(round_, lost)
    lease.renew()  # renewed a moment ago: it does not look
    lease.renewed -= timedelta(seconds=3)
    with pytest.raises(rounds.LeaseLost):
        lease.renew()


def test_a_lease_is_renewed_between_blocks(closed, now):
    round_ = closed()
    lease = rounds.Lease(round_, rounds.claim(round_, now=now))
    Round.objects.update(lease_until=now)
    lease.renewed -= timedelta(seconds=3)
    lease.renew()
    assert Round.objects.get().lease_until > now
    assert Server.objects.get().is_ticking(now), "a worker that aggregates for long is not silent"


def test_a_worker_does_not_publish_for_a_cancelled_session(closed, alice, now):
    round_ = closed()
    token = rounds.claim(round_, now=now)
    sessions.cancel(round_.session, by=alice, now=now)
    assert not rounds.aggregate(round_, token, now=now)
    assert Round.objects.get().status == RoundStatus.CANCELLED
    assert GlobalModel.objects.count() == 1


def test_a_model_that_is_not_finite_is_never_published(open_round, now):
    """Two updates near the end of float32, each finite, whose step is not."""
    session = open_round("anna", max_retries=0).session
    send("anna", now=now, value=3e38)
    base = settle(session, now=now).last_model()
    send("anna", now=now, value=3e38)
    settle(session, now=now)
    assert session.status == SessionStatus.FAILED
    assert "weight" in session.reason and "not finite" in session.reason
    assert session.last_model() == base


def test_a_full_disk_lets_the_round_wait_until_there_is_room(closed, now, monkeypatch):
    round_ = closed(rounds=1)
    with monkeypatch.context() as full:
        full.setattr(aggregation, "aggregate", no_space)
        assert not rounds.advance(round_.session, now=now)
    assert Round.objects.get().status == RoundStatus.AGGREGATING
    assert settle(round_.session, now=now + timedelta(seconds=11)).status == SessionStatus.COMPLETED


def no_space(*args, **kwargs):
    raise OSError(28, "No space left on device")


# ---- the same model


def test_the_model_does_not_depend_on_ids_attempts_or_the_order_of_arrival(open_round, running, now):
    first = open_round("anna", "ben", rounds=1, seed=3).session
    send("anna", now=now, value=0.1)
    send("ben", now=now, value=0.7)
    settle(first, now=now)
    second = settle(running(name="second", quorum=2, rounds=1, seed=3), now=now)
    for name in ("anna", "ben"):
        seats.fail(seat_of(name), reason="not now")
    settle(second, now=now)
    send("ben", now=now, value=0.7)
    send("anna", now=now, value=0.1)
    settle(second, now=now)
    assert second.last_model().digest == first.last_model().digest


# ---- races


def test_a_worker_that_was_overtaken_opens_nothing(enrol, running, now, monkeypatch):
    enrol("anna")
    session = running()
    seen, look = rounds.pool(now), rounds.pool

    def overtaken(now):
        monkeypatch.setattr(rounds.advancing, "pool", look)
        assert rounds.advance(session, now=now)
        return seen

    monkeypatch.setattr(rounds.advancing, "pool", overtaken)
    assert not rounds.advance(session, now=now)
    assert kinds(session).count("round.opened") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_two_workers_at_once_open_one_round(enrol, running, now, attempt):
    enrol("anna", "ben")
    session = running()
    results = at_once(*[lambda: rounds.advance(TrainingSession.objects.get(), now=now)] * 3)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert results.count(True) == 1
    assert kinds(session).count("round.opened") == 1
    assert Participation.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_two_sessions_at_once_never_give_a_client_two_open_seats(enrol, running, now, attempt):
    enrol("anna", "ben")
    first, second = running(cohort_size=2), running(name="second", cohort_size=2)
    results = at_once(*[lambda: rounds.advance(first, now=now), lambda: rounds.advance(second, now=now)] * 2)
    assert sorted(map(str, results)) == ["False", "False", "False", "True"]
    assert Participation.objects.count() == 2
    assert Round.objects.filter(status=RoundStatus.COLLECTING).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize("way", ["disable", "leave"])
def test_a_client_that_goes_as_a_round_opens_holds_no_open_seat(enrol, running, now, attempt, way):
    anna, _ = enrol("anna", "ben")
    session = running()
    go = {"disable": lambda: clients.set_enabled(anna, False, by="alice"), "leave": lambda: clients.leave(anna)}
    _, gone = at_once(lambda: rounds.advance(session, now=now), go[way])
    assert gone is None
    assert not Participation.objects.filter(client=anna, status=SeatStatus.INVITED).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_two_workers_at_once_publish_one_model(closed, now, attempt):
    round_ = closed(rounds=1)
    results = at_once(*[lambda: rounds.advance(TrainingSession.objects.get(), now=now)] * 3)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert GlobalModel.objects.filter(version=1).count() == 1
    assert kinds(round_.session).count("model.published") == 2  # the initial one and this


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_cancelling_and_closing_at_once_leave_one_end(open_round, alice, now, attempt):
    round_ = open_round("anna", "ben", quorum=1)
    send("anna", now=now)
    cancelled, _ = at_once(
        lambda: sessions.cancel(TrainingSession.objects.get(), by=alice, now=now),
        lambda: rounds.close(round_, now=round_.deadline),
    )
    assert cancelled is None
    round_.refresh_from_db()
    assert (round_.status, round_.session.status) == (RoundStatus.CANCELLED, SessionStatus.CANCELLED)
    assert not Participation.objects.filter(status__in=[SeatStatus.INVITED, SeatStatus.TRAINING]).exists()
