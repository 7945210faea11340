"""Late updates in a session whose `late_policy` is `next_round`: each counts once, discounted, at a known place."""

from datetime import timedelta

import numpy as np
import pytest

from federation import storage
from federation.api import rows
from federation.errors import Invalid, RoundClosed
from federation.fl import weights
from federation.lifecycle import RoundStatus, SeatStatus
from federation.models import Client, Event, Participation, TrainingSession
from federation.services import repair, retention, rounds, seats, sessions
from federation.services.models import building, damage
from federation.services.seats import updates
from tests.federation.cast import (
    SIZE,
    at_once,
    damage_file,
    kinds,
    last_payload,
    settle,
    update,
)
from tests.federation.cast import send as send_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(open_round):
    """Round 1 is open for anna, ben and carl; one must report."""
    return open_round("anna", "ben", "carl", quorum=1, rounds=6, late_policy="next_round").session


def in_round(session, name, number):
    return (
        session.round_set.filter(number=number).latest("attempt").seats.select_related("client").get(client__name=name)
    )


def send(session, name, number, value, now, examples=50):
    """A client's update of a round arrives, late where that round has closed."""
    seat = seats.of(Client.objects.get(name=name), in_round(session, name, number).pk)
    with storage.scratch() as file:
        file.write_bytes(update(seat, value, num_examples=str(examples)))
        return updates.receive(seat, file, now=now)


def close(session, now):
    """The open round is finished with what is in and becomes a model; the next one opens."""
    rounds.finish(session, by="alice", now=now)
    return settle(session, now=now)


def late(session, name, number, value, now, **more):
    with pytest.raises(RoundClosed, match="labelled late. It counts in the next round."):
        send(session, name, number, value, now, **more)


def weight(session, version):
    return weights.load(storage.path(session.models.get(version=version).digest))["weight"]


def reference(base, *sent):
    """base + sum_k share_k * delta_k in float64 and in this order. sent: (value, examples, versions behind)."""
    counts = [examples * (1 / np.sqrt(1.0 + behind)) for _, examples, behind in sent]
    step = np.zeros(SIZE)
    for (value, _, _), count in zip(sent, counts, strict=True):
        step += np.full(SIZE, value, np.float32).astype(np.float64) * (count / np.sum(counts))
    return (base.astype(np.float64) + step).astype(np.float32)


def test_it_counts_in_the_next_round_as_a_step_from_the_present_model(session, now):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now, examples=70)
    send(session, "anna", 2, 0.125, now)
    close(session, now)
    assert weight(session, 2).tobytes() == reference(weight(session, 1), (0.125, 50, 0), (0.25, 70, 1)).tobytes()
    seat = in_round(session, "ben", 1)
    assert (seat.status, seat.counted_in.number, seat.staleness) == (SeatStatus.LATE, 2, 1)
    assert seat.norm and seat.cosine
    payload = last_payload(session, Event.Kind.ROUND_AGGREGATED)
    assert payload["updates"] == 2
    assert [(one["client"]["name"], one["round"], one["staleness"]) for one in payload["late"]] == [("ben", 1, 1)]


def test_the_older_its_base_the_less_it_counts_and_the_order_is_own_seats_first_then_by_round(session, now):
    for number, value in ((1, 0.5), (2, 0.25)):
        send(session, "anna", number, value, now)
        close(session, now)
    late(session, "carl", 2, 3.0, now)
    late(session, "ben", 2, 2.0, now)
    late(session, "carl", 1, 1.0, now)
    send(session, "carl", 3, 0.7, now)
    send(session, "anna", 3, 0.1, now)
    close(session, now)
    order = [(0.1, 50, 0), (0.7, 50, 0), (1.0, 50, 2), (2.0, 50, 1), (3.0, 50, 1)]
    assert weight(session, 3).tobytes() == reference(weight(session, 2), *order).tobytes()


def test_it_counts_once(session, now):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    for number in (2, 3):
        send(session, "anna", number, 0.0, now)
        close(session, now)
    late(session, "ben", 1, 0.25, now)  # sent twice: the answer was lost
    assert (weight(session, 3) == weight(session, 2)).all()
    assert [len(building.counted(session.round_set.get(number=n))) for n in (1, 2, 3)] == [1, 2, 1]


def test_dropping_is_the_default(open_round, now):
    session = open_round("anna", "ben", quorum=1).session
    assert session.late_policy == "drop"
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    with pytest.raises(RoundClosed, match="labelled late.$"):
        send(session, "ben", 1, 0.25, now)
    send(session, "anna", 2, 0.0, now)
    close(session, now)
    assert (weight(session, 2) == weight(session, 1)).all()
    assert in_round(session, "ben", 1).counted_in is None


def test_one_of_the_open_round_itself_waits_for_the_next(session, now):
    rounds.skip(session, in_round(session, "ben", 1).pk, by="alice")
    late(session, "ben", 1, 0.25, now)
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    assert [seat.client.name for seat in building.counted(session.round_set.get(number=1))] == ["anna"]
    send(session, "anna", 2, 0.0, now)
    close(session, now)
    assert in_round(session, "ben", 1).counted_in.number == 2


def fail_round(session, now):
    round_ = session.active_round()
    round_.deadline = now
    round_.save(update_fields=["deadline"])
    return settle(session, now=now)


def test_a_quorum_is_of_the_rounds_own_updates(session, now):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    fail_round(session, now)
    assert session.round_set.get(number=2, attempt=1).status == RoundStatus.FAILED
    assert in_round(session, "ben", 1).counted_in == session.round_set.get(number=2, attempt=2), (
        "it waits with the next"
    )


def test_the_same_work_counts_once_though_its_round_was_tried_twice(session, now):
    fail_round(session, now)
    first = session.round_set.get(number=1, attempt=1).seats.get(client__name="ben")
    body = update(first, 0.25)
    with pytest.raises(RoundClosed, match="late"):
        _send(first, body, now)
    for name in ("anna", "ben"):
        send_now(name, now=now)  # the second try
    rounds.finish(session, by="alice", now=now)
    settle(session, now=now)
    send(session, "anna", 2, 0.0, now)
    close(session, now)
    first.refresh_from_db()
    assert first.counted_in is None
    assert (weight(session, 2) == weight(session, 1)).all()


def test_of_the_updates_for_two_failed_tries_the_first_counts(session, now):
    first, second = (failed_seat(session, "ben", now) for _ in range(2))
    say = "labelled late. It counts in the next round."
    with pytest.raises(RoundClosed, match=say):
        _send(second, update(second, 0.25), now)
    with pytest.raises(RoundClosed, match="Another update of this client counts for that round."):
        _send(first, update(first, 0.75), now + timedelta(seconds=1))
    assert last_payload(session, Event.Kind.UPDATE_LATE)["superseded"] is True
    for number in (1, 2, 3):
        send(session, "anna", number, 0.5, now)
        close(session, now)
    base = weight(session, 1)
    assert weight(session, 2).tobytes() == reference(base, (0.5, 50, 0), (0.25, 50, 1)).tobytes()
    assert weight(session, 3).tobytes() == reference(weight(session, 2), (0.5, 50, 0)).tobytes()
    assert [one.counted_in and one.counted_in.number for one in again(first, second)] == [None, 2]
    retention.expire(TrainingSession.objects.all())


def failed_seat(session, name, now):
    """A client's seat in a try that then fails."""
    seat = Client.objects.get(name=name).seats.latest("pk")
    fail_round(session, now)
    return seat


def again(*rows_):
    return [Participation.objects.get(pk=row.pk) for row in rows_]


def test_if_the_first_is_lost_the_other_counts(session, now):
    first, second = (failed_seat(session, "ben", now) for _ in range(2))
    for seat, value in ((first, 0.25), (second, 0.75)):
        with pytest.raises(RoundClosed):
            _send(seat, update(seat, value), now)
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    damage_file(again(first)[0].digest)
    send(session, "anna", 2, 0.5, now)
    close(session, now)
    assert weight(session, 2).tobytes() == reference(weight(session, 1), (0.5, 50, 0)).tobytes()
    send(session, "anna", 3, 0.5, now)
    close(session, now)
    assert [one.counted_in and one.counted_in.number for one in again(first, second)] == [None, 3]


def test_a_seat_that_went_on_is_accepted_though_another_update_counts(session, now):
    first = failed_seat(session, "ben", now)
    with pytest.raises(RoundClosed):
        _send(first, update(first, 0.25), now)
    second = seats.offer(Client.objects.get(name="ben"), now=now)
    assert second is not None and second.round.attempt == 2
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    assert in_second_try(session, "ben").status == SeatStatus.TRAINING
    for _ in range(2):  # sent twice: the answer was lost
        _send(second, update(second, 0.75), now + timedelta(seconds=1))
    payload = last_payload(session, Event.Kind.UPDATE_LATE)
    assert (payload["accepted"], payload["superseded"], payload["counts"]) == (True, True, False)
    send(session, "anna", 2, 0.5, now)
    close(session, now)
    assert weight(session, 2).tobytes() == reference(weight(session, 1), (0.5, 50, 0), (0.25, 50, 1)).tobytes()
    assert [one.counted_in and one.counted_in.number for one in again(first, second)] == [2, None]


def in_second_try(session, name):
    return session.round_set.get(number=1, attempt=2).seats.get(client__name=name)


def test_a_report_that_failed_with_its_try_keeps_no_later_one_from_counting(open_round, now):
    session = open_round("anna", "ben", "carl", quorum=2, rounds=4, late_policy="next_round").session
    send_now("ben", now=now)
    fail_round(session, now)
    send_now("anna", now=now, value=0.5)
    send_now("carl", now=now, value=0.5)
    ben = in_second_try(session, "ben")
    close(session, now)
    with pytest.raises(RoundClosed, match="It counts in the next round"):
        _send(ben, update(ben, 0.25), now)
    for name in ("anna", "carl"):
        send(session, name, 2, 0.0, now)
    close(session, now)
    assert again(ben)[0].counted_in.number == 2


def _send(seat, body, now):
    with storage.scratch() as file:
        file.write_bytes(body)
        updates.receive(seats.of(seat.client, seat.pk), file, now=now)


def test_a_round_that_makes_no_model_gives_it_back(session, now):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    send(session, "anna", 2, 0.0, now)
    rounds.finish(session, by="alice", now=now)
    assert in_round(session, "ben", 1).counted_in.number == 2
    sessions.cancel(session, by=None, now=now)
    seat = in_round(session, "ben", 1)
    assert (seat.counted_in, seat.staleness) == (None, 0)


def test_of_two_workers_that_close_a_round_one_takes_it(session, now, transactional_db):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    send(session, "anna", 2, 0.125, now)
    results = at_once(*[lambda: rounds.finish(session, by="alice", now=now)] * 2)
    assert results.count(None) >= 1
    settle(session, now=now)
    assert weight(session, 2).tobytes() == reference(weight(session, 1), (0.125, 50, 0), (0.25, 50, 1)).tobytes()


# ---- damage


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_a_damaged_late_update_is_gone_on_without(session, now, how):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    damage_file(in_round(session, "ben", 1).digest, how)
    send(session, "anna", 2, 0.125, now)
    close(session, now)
    assert weight(session, 2).tobytes() == reference(weight(session, 1), (0.125, 50, 0)).tobytes()
    seat = in_round(session, "ben", 1)
    assert (seat.status, seat.counted_in, seat.file_status) == (SeatStatus.LATE, None, "lost")
    payload = last_payload(session, Event.Kind.STORAGE_DAMAGED)
    assert (payload["client"]["name"], payload["then"]) == ("ben", "lost")
    assert "round.reopened" not in kinds(session)


def test_while_an_own_update_is_asked_for_again_the_late_one_stays(session, now):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    send(session, "anna", 2, 0.125, now)
    damage_file(in_round(session, "anna", 2).digest)
    close(session, now)
    assert kinds(session)[-2:] == ["storage.damaged", "round.reopened"]
    send(session, "anna", 2, 0.125, now)
    settle(session, now=now)
    assert weight(session, 2).tobytes() == reference(weight(session, 1), (0.125, 50, 0), (0.25, 50, 1)).tobytes()


def test_a_model_is_made_again_with_its_late_updates(session, now):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    send(session, "anna", 2, 0.125, now)
    close(session, now)
    model = session.models.get(version=2)
    damage_file(model.digest)
    damage.note([model.digest])
    assert repair.mend(session.pk)
    model.refresh_from_db()
    assert model.file_status == "stored"
    assert weights.load(storage.path(model.digest))["weight"].shape == (SIZE,)


# ---- told


def test_the_api_tells_where_it_counts(session, now):
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    late(session, "ben", 1, 0.25, now)
    assert last_payload(session, Event.Kind.UPDATE_LATE)["counts"] is True
    send(session, "anna", 2, 0.125, now)
    close(session, now)
    told = rows.round_(session.round_set.get(number=1))["participations"]
    assert {seat["client"]["name"]: seat["counted_in"] for seat in told} == {"anna": None, "ben": 2, "carl": None}
    assert rows.session(session, now=now)["late_policy"] == "next_round"


def test_after_the_last_round_it_is_kept_and_does_not_count(open_round, now):
    session = open_round("anna", "ben", quorum=1, rounds=1, late_policy="next_round").session
    send(session, "anna", 1, 0.5, now)
    close(session, now)
    with pytest.raises(RoundClosed, match="labelled late.$"):
        send(session, "ben", 1, 0.25, now)
    assert Participation.objects.get(client__name="ben").status == SeatStatus.LATE


def test_another_policy_is_refused_with_those_that_are_known(draft):
    with pytest.raises(Invalid, match="late_policy is 'hope': choose one of drop, next_round"):
        draft(late_policy="hope")


def test_the_file_of_one_that_waits_is_kept_and_of_one_that_counted_as_long_as_its_round(session, now, settings):
    settings.FL_KEEP_UPDATES = 1
    for number in (1, 2, 3):
        send(session, "anna", number, 0.5, now)
        close(session, now)
    late(session, "ben", 1, 0.25, now)
    everything = TrainingSession.objects.all()
    retention.expire(everything)
    assert not storage.exists(in_round(session, "anna", 1).digest)
    assert storage.exists(in_round(session, "ben", 1).digest), "it counts in round 4"
    send(session, "anna", 4, 0.5, now)
    close(session, now)
    retention.expire(everything)
    assert in_round(session, "ben", 1).counted_in.number == 4
    assert storage.exists(in_round(session, "ben", 1).digest), "model 4 may have to be made again"
    send(session, "anna", 5, 0.5, now)
    close(session, now)
    retention.expire(everything)
    assert not storage.exists(in_round(session, "ben", 1).digest)
