"""A session's last model is measured at the sites before it completes; nothing that goes wrong there stops it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from federation import reasons, work
from federation.errors import Conflict, Invalid, RoundClosed
from federation.lifecycle import Outcome, RoundStatus, SeatStatus, SessionStatus, WorkKind
from federation.models import Client, Event, Round, TrainingSession
from federation.services import clients, rounds, seats, sessions, waiting
from federation.services.rounds import measuring
from federation.services.seats import updates
from tests.federation.cast import kinds, last_payload, seat_of, send, settle
from tests.federation.services.evaluating import declare, idle, measure, take, train

pytestmark = pytest.mark.django_db
BOTH = ["train", "evaluate"]


@pytest.fixture
def trained(enrol, running, now):
    """A session whose only round is done, with anna and ben, who evaluate, and carl, who only trains."""
    enrol("anna", "ben", kinds=BOTH)
    enrol("carl")
    session = declare(running(rounds=1, quorum=3))
    return train(session, "anna", "ben", "carl", now=now)


def evaluation(session: TrainingSession) -> Round:
    return session.round_set.get(kind=WorkKind.EVALUATE)


def test_free_clients_that_evaluate_are_asked_before_the_session_completes(trained, now):
    assert trained.status == SessionStatus.RUNNING
    asked = evaluation(trained)
    assert [seat.client.name for seat in asked.seats.order_by("seat")] == ["anna", "ben"]
    assert (asked.number, asked.base, asked.status) == (1, trained.last_model(), RoundStatus.COLLECTING)
    assert idle("carl", now)
    assert kinds(trained)[-1] == Event.Kind.EVALUATION_OPENED
    assert trained.active_round() is None and trained.last_round().kind == WorkKind.TRAIN


def test_the_work_names_the_model_and_asks_for_no_update(trained, now):
    told = work.describe(take("anna", now))
    base = trained.last_model()
    assert (told["kind"], told["round"], told["attempt"]) == ("evaluate", 1, 1)
    assert (told["base_model"]["version"], told["base_model"]["digest"]) == (1, base.digest)
    assert told.keys() == {
        *("participation", "kind", "session", "round", "attempt", "workload", "config", "base_model"),
        *("buffers", "deadline", "last_update"),
    }


def test_the_work_names_the_clients_own_update_that_counted_last(trained, now):
    own = trained.round_set.get(kind=WorkKind.TRAIN).seats.get(client__name="anna")
    assert work.describe(take("anna", now))["last_update"] == {"participation": str(own.pk), "digest": own.digest}


def test_the_results_of_all_sites_are_combined_and_kept_with_the_model(trained, now):
    measure("anna", now, num_examples=30, accuracy=1.0, errors=3, gap=0.1, note=7, counts={"seen": [1, 2]})
    assert settle(trained, now=now).status == SessionStatus.RUNNING
    measure("ben", now, num_examples=10, accuracy=0.0, errors=4, gap=0.4, note=8, counts={"seen": [10, 20]})
    assert settle(trained, now=now).status == SessionStatus.COMPLETED
    found = evaluation(trained)
    assert (found.status, found.outcome, found.errors) == (RoundStatus.COMPLETED, Outcome.NUMBERS, {})
    assert found.metrics == {"accuracy": 0.75, "errors": 7.0, "gap": 0.4, "seen": [11, 22]}
    assert trained.last_model().federated_metrics == {"accuracy": 0.75, "errors": 7.0, "gap": 0.4}
    assert kinds(trained)[-2:] == [Event.Kind.EVALUATION_COMPLETED, Event.Kind.SESSION_COMPLETED]
    assert last_payload(trained, Event.Kind.SESSION_COMPLETED) == {"rounds": 1}
    assert last_payload(trained, Event.Kind.EVALUATION_COMPLETED)["metrics"] == found.metrics


def test_one_result_is_enough_and_a_silent_client_delays_no_longer_than_the_deadline(trained, now):
    measure("anna", now, accuracy=0.5)
    assert settle(trained, now=now).status == SessionStatus.RUNNING
    later = now + timedelta(seconds=601)
    clients_are_online(later)
    assert settle(trained, now=later).status == SessionStatus.COMPLETED
    assert evaluation(trained).metrics == {"accuracy": 0.5}
    assert seat_of("ben").status == SeatStatus.DROPPED


def clients_are_online(now):
    Client.objects.update(last_seen=now)


def test_it_takes_at_most_the_shorter_of_a_round_and_ten_minutes(enrol, running, now):
    enrol("anna", kinds=BOTH)
    short, long = declare(running(rounds=1, round_seconds=20)), declare(running(rounds=1, round_seconds=9000))
    for session, seconds in ((short, 20), (long, 600)):
        train(session, "anna", now=now)
        assert evaluation(session).deadline == now + timedelta(seconds=seconds)
        measure("anna", now, accuracy=1.0)
        settle(session, now=now)


@pytest.mark.parametrize("answer", ["fail", "leave", "disable", "silence"])
def test_the_session_completes_whatever_its_clients_do(trained, now, answer):
    later = now + timedelta(seconds=601)
    for name in ("anna", "ben"):
        client = Client.objects.get(name=name)
        if answer == "fail":
            seats.fail(take(name, now), reason="no data")
        elif answer == "leave":
            clients.leave(client)
        elif answer == "disable":
            clients.set_enabled(client, False, by="alice")
    session = settle(trained, now=later if answer == "silence" else now)
    assert session.status == SessionStatus.COMPLETED
    found = evaluation(session)
    assert (found.status, found.outcome) == (RoundStatus.FAILED, Outcome.NOTHING)
    assert session.round_set.filter(kind=WorkKind.EVALUATE).count() == 1
    assert kinds(session)[-2:] == [Event.Kind.EVALUATION_FAILED, Event.Kind.SESSION_COMPLETED]
    assert "0 of 1 needed results" in found.reason
    assert session.last_model().federated_metrics == {}


def test_numbers_that_nobody_can_use_fail_the_evaluation_alone(trained, now):
    for name in ("anna", "ben"):
        measure(name, now, accuracy=None)
    session = settle(trained, now=now)
    assert session.status == SessionStatus.COMPLETED
    assert evaluation(session).reason == "No client reported a usable number of accuracy."


def test_a_site_without_a_usable_number_is_named(trained, now):
    measure("anna", now, accuracy=None)
    measure("ben", now, accuracy=0.5)
    settle(trained, now=now)
    found = evaluation(trained)
    assert found.metrics == {"accuracy": 0.5}
    assert found.errors == {"accuracy": {"code": "unusable", "clients": ["anna"]}}


# ---- where it is left out


def test_a_session_of_clients_that_only_train_completes_as_before(enrol, running, now):
    enrol("anna", "ben")
    session = train(declare(running(rounds=1, quorum=2)), "anna", "ben", now=now)
    assert session.status == SessionStatus.COMPLETED
    assert kinds(session)[-3:] == ["model.published", "round.completed", "session.completed"]
    assert not session.round_set.exclude(kind=WorkKind.TRAIN).exists()


def test_a_workload_without_measures_is_not_measured(enrol, running, now):
    enrol("anna", kinds=BOTH)
    assert train(running(rounds=1), "anna", now=now).status == SessionStatus.COMPLETED


def test_a_paused_session_is_not_measured(enrol, running, alice, now):
    enrol("anna", kinds=BOTH)
    session = declare(running(rounds=1))
    settle(session, now=now)
    sessions.pause(session, by=alice)
    assert train(session, "anna", now=now).status == SessionStatus.COMPLETED
    assert not session.round_set.exclude(kind=WorkKind.TRAIN).exists()


def test_a_client_at_work_elsewhere_is_not_asked(enrol, running, now):
    enrol("anna", "ben", kinds=BOTH)
    first = declare(running(rounds=1, cohort_size=1, client_tags=[]))
    settle(first, now=now)
    second = running(rounds=1, quorum=1, cohort_size=1)
    settle(second, now=now)
    mine = first.active_round().seats.get().client.name
    take(mine, now)
    send(mine, now=now)
    assert [seat.client.name for seat in evaluation(settle(first, now=now)).seats.all()] == [mine]


# ---- steering, and what happens meanwhile


def test_a_pause_during_the_evaluation_changes_nothing(trained, alice, now):
    sessions.pause(trained, by=alice)
    for name in ("anna", "ben"):
        measure(name, now, accuracy=1.0)
    assert settle(trained, now=now).status == SessionStatus.COMPLETED


def test_a_cancelled_session_drops_the_evaluation(trained, alice, now):
    sessions.cancel(trained, by=alice, now=now)
    assert evaluation(trained).status == RoundStatus.CANCELLED
    assert idle("anna", now)
    with pytest.raises(RoundClosed):
        measure("anna", now, accuracy=1.0)


def test_rounds_that_are_added_meanwhile_are_trained_and_the_new_last_model_is_measured(trained, alice, now):
    sessions.add_rounds(trained, 1, by=alice)
    for name in ("anna", "ben"):
        measure(name, now, accuracy=1.0)
    session = train(trained, "anna", "ben", "carl", now=now)
    assert session.last_round().number == 2
    assert [one.number for one in session.round_set.filter(kind=WorkKind.EVALUATE)] == [1, 2]
    for name in ("anna", "ben"):
        measure(name, now, accuracy=0.5)
    assert settle(session, now=now).status == SessionStatus.COMPLETED
    assert [model.federated_metrics for model in session.models.order_by("version")] == [
        {},
        {"accuracy": 1.0},
        {"accuracy": 0.5},
    ]


def test_an_evaluation_can_be_finished_with_the_results_that_are_in(trained, now):
    with pytest.raises(Conflict, match="too few sites"):
        rounds.finish(trained, by="alice", now=now)
    measure("anna", now, accuracy=1.0)
    rounds.finish(trained, by="alice", now=now)
    assert settle(trained, now=now).status == SessionStatus.COMPLETED
    assert evaluation(trained).metrics == {"accuracy": 1.0}


def test_why_it_waits_is_told(trained, now):
    found = [one for one in waiting.reasons(trained, now=now) if one["reason"] == "collecting"]
    assert found[0]["lead"].startswith("The sites measure model v1")
    left_out = [one for one in waiting.reasons(trained, now=now) if one["reason"] == "left_out"]
    assert left_out[0]["lead"] == "Not asked: carl (its agent does not do this kind of work)."


def test_a_worker_that_died_after_publishing_is_made_up_for(enrol, running, now, monkeypatch):
    """The evaluation is begun with the model and nobody was asked yet: the next worker asks."""
    enrol("anna", kinds=BOTH)
    session = declare(running(rounds=1))
    settle(session, now=now)
    take("anna", now)
    send("anna", now=now)
    monkeypatch.setattr("federation.services.rounds.measuring.invite", died)
    with pytest.raises(KeyboardInterrupt):
        settle(session, now=now)
    assert evaluation(session).seats.count() == 0
    monkeypatch.undo()
    settle(session, now=now)
    assert evaluation(session).seats.count() == 1


def died(*args):
    raise KeyboardInterrupt


def test_nobody_left_to_ask_fails_the_evaluation_at_once(enrol, running, now, monkeypatch):
    enrol("anna", kinds=BOTH)
    session = declare(running(rounds=1))
    settle(session, now=now)
    take("anna", now)
    send("anna", now=now)
    monkeypatch.setattr("federation.services.rounds.measuring.invite", lambda round_, now: False)
    assert settle(session, now=now).status == SessionStatus.COMPLETED
    assert evaluation(session).status == RoundStatus.FAILED


def test_a_lost_model_fails_the_evaluation_and_not_the_session(trained, now):
    rounds.give_up(trained, reason=reasons.model_lost("v1", "Its round's updates were removed."), now=now)
    trained.refresh_from_db()
    assert trained.status == SessionStatus.COMPLETED
    assert evaluation(trained).reason_code == "model_lost"


# ---- results


def test_the_same_result_is_taken_once_and_another_one_refused(trained, now):
    assert measure("anna", now, accuracy=0.25, counts={"seen": [[1, 2], [3, 4]]})
    assert not measure("anna", now, accuracy=0.25, counts={"seen": [[1, 2], [3, 4]]})
    with pytest.raises(Conflict):
        measure("anna", now, accuracy=0.5, counts={"seen": [[1, 2], [3, 4]]})
    assert kinds(trained).count(Event.Kind.RESULT_RECEIVED) == 1
    assert kinds(trained).count(Event.Kind.UPDATE_RECEIVED) == 3


def test_the_same_result_is_known_after_the_evaluation_closed(trained, now):
    for name in ("anna", "ben"):
        measure(name, now, accuracy=0.25)
    settle(trained, now=now)
    assert not measure("anna", now, accuracy=0.25)


def test_a_result_that_comes_too_late_is_refused(trained, now):
    measure("anna", now, accuracy=0.25)
    rounds.finish(trained, by="alice", now=now)
    with pytest.raises(RoundClosed, match="Evaluation 1 went on without this seat"):
        measure("ben", now, accuracy=0.25)


def test_a_training_seat_takes_no_result_and_an_evaluation_no_update(trained, running, now):
    with pytest.raises(Conflict, match="answered with numbers"):
        updates.check_receivable(seat_of("anna"))
    other = settle(running(quorum=1, cohort_size=1), now=now)
    with pytest.raises(Conflict, match="not answered with a result"):
        measure(other.active_round().seats.get().client.name, now, accuracy=1.0)


@pytest.mark.parametrize(
    "counts", [{"seen": -1}, {"seen": 10**12 + 1}, {"seen": [[[[1]]]]}, {"seen": 1.5}, {"seen": True}]
)
def test_counts_that_cannot_be_are_refused_and_the_seat_stays_open(trained, now, counts):
    with pytest.raises(Invalid, match="The counts of seen must be"):
        measure("anna", now, accuracy=1.0, counts=counts)
    assert seat_of("anna").is_open


def test_too_many_counts_are_refused(trained, now):
    with pytest.raises(Invalid, match="10001 integers"):
        measure("anna", now, counts={"seen": [1] * 10_001})


def test_an_evaluation_and_training_count_their_rounds_apart(trained, now):
    """Round 1 of both kinds: a report in one says nothing about the other."""
    measure("anna", now, accuracy=1.0)
    assert rounds.next_try(trained) == (2, 1)


def test_no_evaluation_opens_in_a_session_that_is_cancelled_meanwhile(enrol, running, now, monkeypatch):
    enrol("anna", kinds=BOTH)
    session = declare(running(rounds=1))

    def cancelled_meanwhile(now):
        TrainingSession.objects.filter(pk=session.pk).update(status=SessionStatus.CANCELLED)
        return True

    settle(session, now=now)
    take("anna", now)
    send("anna", now=now)
    monkeypatch.setattr(measuring.server, "may_open", cancelled_meanwhile)
    settle(session, now=now)
    assert not session.round_set.filter(kind=WorkKind.EVALUATE).exists()
