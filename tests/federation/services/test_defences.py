"""One bad update spoils nothing: capped, clipped or left out, and its client is named."""

import math

import numpy as np
import pytest

from federation import storage
from federation.errors import Invalid, RoundClosed
from federation.fl import weights
from federation.lifecycle import FileStatus, RoundStatus, SeatStatus, SessionStatus
from federation.models import Client, Event, Participation, Round, TrainingSession
from federation.services import repair, rounds, sessions
from federation.services.models import damage
from federation.services.rounds import aggregating
from tests.federation.cast import SIZE, kinds, last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db
NAMES = ("anna", "ben", "carl")


def weight(model):
    return weights.load(storage.path(model.digest))["weight"]


def step(session, version=1):
    """How far a round moved the model, the same in every coordinate."""
    moved = weight(session.models.get(version=version)) - weight(session.models.get(version=version - 1))
    return float(moved[0])


def codes(name):
    return [flag["code"] for flag in seat_of(name).flags]


# ---- examples


def test_a_claim_of_more_than_twice_what_was_told_counts_as_told(open_round, now):
    session = open_round(*NAMES, rounds=1).session
    Client.objects.update(num_examples=100)
    send("anna", now=now, value=0.0, num_examples="100")
    send("ben", now=now, value=0.0, num_examples="200")
    send("carl", now=now, value=1.0, num_examples=str(10**12), metrics='{"base_val_loss": 4.0}')
    settle(session, now=now)
    assert step(session) == pytest.approx(100 / 400)
    seat = seat_of("carl")
    assert (seat.num_examples, seat.counted_examples) == (10**12, 100)
    assert seat.flags == [{"code": "examples_capped", "claimed": 10**12, "counted": 100}]
    assert codes("anna") == codes("ben") == []
    received = Event.objects.filter(kind=Event.Kind.UPDATE_RECEIVED).latest("seq").payload
    assert received["flags"] == seat.flags
    assert session.models.get(version=0).federated_metrics == {"loss": 4.0}


def test_whoever_told_nothing_is_not_capped(open_round, now):
    session = open_round("anna", rounds=1).session
    send("anna", now=now, num_examples=str(10**12))
    settle(session, now=now)
    assert seat_of("anna").counted_examples is None
    assert codes("anna") == []


@pytest.mark.parametrize(
    ("examples", "counted"),
    [({"synthetic": 100}, 100), ({"digits": 100}, None), ({"digits": 100, "synthetic": 500}, None)],
)
def test_examples_of_another_workload_cap_nothing(open_round, now, examples, counted):
    session = open_round("anna", rounds=1).session
    Client.objects.update(num_examples=100, info={"num_examples": 100, "examples": examples})
    send("anna", now=now, num_examples="900")
    settle(session, now=now)
    assert seat_of("anna").counted_examples == counted
    assert codes("anna") == ([] if counted is None else ["examples_capped"])


@pytest.mark.parametrize("defences", [(), ("norms", "finite")])
def test_where_it_is_switched_off_claims_count_as_they_are(open_round, now, defences):
    session = open_round("anna", "ben", rounds=1, defences=defences).session
    Client.objects.update(num_examples=100)
    send("anna", now=now, value=0.0, num_examples="100")
    send("ben", now=now, value=1.0, num_examples="9900")
    settle(session, now=now)
    assert step(session) == pytest.approx(0.99)


def test_the_model_is_made_again_with_what_counted_then(open_round, now):
    session = open_round(*NAMES, rounds=1).session
    Client.objects.update(num_examples=100)
    for name, value in zip(NAMES, (0.1, 0.2, 1e6), strict=True):
        send(name, now=now, value=value, num_examples="100000" if name == "carl" else "100")
    settle(session, now=now)
    assert codes("carl") == ["examples_capped", "norm_clipped"]
    Client.objects.update(num_examples=7)
    model = session.models.get(version=1)
    storage.path(model.digest).unlink()
    damage.note([model.digest])
    assert repair.mend(session.pk)
    assert session.models.get(version=1).file_status == FileStatus.STORED
    assert storage.is_whole(model.digest)


# ---- norms


def test_a_huge_norm_is_clipped_and_flagged(open_round, now):
    session = open_round(*NAMES, rounds=1).session
    for name, value in zip(NAMES, (0.1, 0.1, 1e6), strict=True):
        send(name, now=now, value=value)
    settle(session, now=now)
    assert step(session) == pytest.approx((0.1 + 0.1 + 10.0) / 3, rel=1e-5)
    (flag,) = seat_of("carl").flags
    assert flag["code"] == "norm_clipped"
    assert flag["norm"] == pytest.approx(1e6 * math.sqrt(SIZE))
    assert flag["limit"] == pytest.approx(100 * flag["median"])
    assert seat_of("carl").norm == pytest.approx(flag["norm"])
    (told,) = last_payload(session, Event.Kind.ROUND_AGGREGATED)["clipped"]
    assert (told["client"]["name"], told["flags"]) == ("carl", [flag])


@pytest.mark.parametrize("defences", [(), ("examples", "finite")])
def test_where_it_is_switched_off_nothing_is_clipped(open_round, now, defences):
    session = open_round(*NAMES, rounds=1, defences=defences).session
    for name, value in zip(NAMES, (0.0, 0.0, 3e6), strict=True):
        send(name, now=now, value=value)
    settle(session, now=now)
    assert step(session) == pytest.approx(1e6)


# ---- values that spoil the model


def test_an_update_that_would_spoil_the_model_is_left_out_and_named(open_round, now):
    session = open_round(*NAMES, rounds=1, quorum=2, defences=("finite",)).session
    storage_of_base = session.models.get(version=0)
    large = np.full(SIZE, 3e38, np.float32)
    replace_base(storage_of_base, large)
    for name, value in zip(NAMES, (0.0, 0.0, 1e38), strict=True):
        send(name, now=now, value=value)
    settle(session, now=now)
    assert session.status == SessionStatus.COMPLETED
    seat = seat_of("carl")
    assert (seat.status, codes("carl")) == (SeatStatus.REJECTED, ["left_out"])
    assert "weight would hold a value that is not finite" in seat.reason
    assert kinds(session).count("update.rejected") == 1
    assert last_payload(session, Event.Kind.UPDATE_REJECTED)["client"]["name"] == "carl"
    assert [seat_of(name).status for name in ("anna", "ben")] == [SeatStatus.AGGREGATED] * 2
    with pytest.raises(RoundClosed):
        send("carl", now=now, value=0.0)


def replace_base(model, values):
    """Give a model other values, before anybody has worked on it."""
    with storage.scratch() as file:
        digest = weights.save(file, {"weight": values})
        storage.put(file, digest)
    type(model).objects.filter(pk=model.pk).update(digest=digest)


@pytest.mark.parametrize("defences", [(), ("finite",)])
def test_below_the_quorum_the_round_fails_and_names_the_client(open_round, now, defences):
    session = open_round("anna", "ben", max_retries=0, defences=defences).session
    replace_base(session.models.get(version=0), np.full(SIZE, 3e38, np.float32))
    send("anna", now=now, value=0.0)
    send("ben", now=now, value=3e38)
    settle(session, now=now)
    assert session.status == SessionStatus.FAILED
    assert "ben" in session.reason and "weight would hold" in session.reason and "anna" not in session.reason
    assert seat_of("ben").status == (SeatStatus.REJECTED if defences else SeatStatus.REPORTED)


def test_several_are_left_out_one_after_the_other(open_round, now):
    session = open_round(*NAMES, rounds=1, quorum=1, defences=("finite",)).session
    replace_base(session.models.get(version=0), np.full(SIZE, 3e38, np.float32))
    for name, value in zip(NAMES, (1e38, 0.0, 1e38), strict=True):
        send(name, now=now, value=value)
    settle(session, now=now)
    assert session.status == SessionStatus.COMPLETED
    assert step(session) == 0.0
    assert [seat_of(name).status for name in NAMES] == ["rejected", "aggregated", "rejected"]


def test_a_worker_that_is_killed_before_it_publishes_changes_nothing_of_it(open_round, now, monkeypatch):
    session = open_round(*NAMES, rounds=1, quorum=2, defences=("finite",)).session
    replace_base(session.models.get(version=0), np.full(SIZE, 3e38, np.float32))
    for name, value in zip(NAMES, (1e37, 1e37, 1e38), strict=True):
        send(name, now=now, value=value)
    digests = []

    class Killed(BaseException):
        pass

    def publish(round_, token, counted, made, *args, **kwargs):
        digests.append(made.digest)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(aggregating, "publish", publish)
        settle(session, now=now)
    assert seat_of("carl").status == SeatStatus.REPORTED
    rounds.free_leases()
    settle(session, now=now)
    assert [session.models.get(version=1).digest] == digests
    model = session.models.get(version=1)
    storage.path(model.digest).unlink()
    damage.note([model.digest])
    assert repair.mend(session.pk), "it is made again without what was left out"


def test_a_late_update_that_would_spoil_the_model_counts_never(open_round, now):
    session = open_round(*NAMES, rounds=3, quorum=2, late_policy="next_round", defences=("finite",)).session
    send("anna", now=now, value=0.0)
    send("ben", now=now, value=0.0)
    rounds.finish(session, by="mara", now=now)
    late = seat_of("carl")
    with pytest.raises(RoundClosed):
        send("carl", now=now, value=3.3e38)
    settle(session, now=now)
    replace_base(session.models.get(version=1), np.full(SIZE, 3e38, np.float32))
    for name in NAMES:
        send(name, now=now, value=0.0)
    settle(session, now=now)
    late.refresh_from_db()
    assert (late.status, late.counted_in) == (SeatStatus.REJECTED, None)
    assert session.models.filter(version=2).exists()


# ---- sessions


def test_new_sessions_have_every_defence_and_old_ones_none(draft):
    assert draft().defences == ["examples", "norms", "finite"]
    assert TrainingSession(name="old", workload="synthetic", rounds=1, train={}).defences == []
    assert draft(defences=("finite", "examples")).defences == ["examples", "finite"]


def test_a_defence_that_is_not_known_is_refused(draft):
    with pytest.raises(Invalid, match="hope"):
        draft(defences=("hope",))


def test_running_again_keeps_what_was_switched_off(draft, alice, now):
    session = draft(defences=("norms",))
    assert sessions.again(session, by=alice, now=now).defences == ["norms"]


def test_a_seat_that_is_asked_again_starts_without_flags(open_round, now):
    round_ = open_round("anna")
    Client.objects.update(num_examples=1)
    send("anna", now=now)
    seat = seat_of("anna")
    assert seat.flags and seat.counted_examples == 1
    storage.path(seat.digest).unlink()
    assert rounds.advance(round_.session, now=now)
    rounds.advance(TrainingSession.objects.get(), now=now)
    seat = Participation.objects.get()
    assert (seat.status, seat.flags, seat.counted_examples) == (SeatStatus.INVITED, [], None)
    assert Round.objects.get().status == RoundStatus.COLLECTING
