import os
from pathlib import Path

import numpy as np
import pytest

from federation import storage
from federation.errors import Conflict, Invalid, RoundClosed
from federation.fl import weights
from federation.lifecycle import SeatStatus
from federation.models import Client, Event
from federation.services import clients, rounds, seats, sessions
from federation.services.seats import updates
from tests.federation.cast import SIZE, at_once, kinds, last_payload, seat_of, send, settle, update

F32 = np.float32


def poisoned(value):
    array = np.zeros(SIZE, F32)
    array[3] = value
    return {"weight": array}


def stored():
    """The names of the files in the store, but for the initial model's."""
    return {file.stem for file in storage.path("00").parent.parent.glob("*/*")} - {
        seat_of("anna").round.base_model.digest
    }


def test_an_accepted_update_is_stored_under_its_digest_and_told(open_round, now):
    session = open_round("anna", "ben").session
    assert send("anna", now=now, num_examples="70", metrics='{"train_loss": 0.25}')
    seat = seat_of("anna")
    assert (seat.status, seat.num_examples, seat.metrics) == (SeatStatus.REPORTED, 70, {"train_loss": 0.25})
    assert storage.path(seat.digest).read_bytes() == update(seat, num_examples="70", metrics='{"train_loss": 0.25}')
    payload = last_payload(session, Event.Kind.UPDATE_RECEIVED)
    assert (payload["digest"], payload["num_examples"]) == (seat.digest, 70)


def test_the_same_bytes_again_are_accepted_and_counted_once(open_round, now):
    session = open_round("anna", "ben").session
    assert send("anna", now=now)
    assert not send("anna", now=now)
    assert kinds(session).count("update.received") == 1


class Shrinking(type(Path())):
    """A file that is cut in the middle when it is opened for the second time."""

    opened = 0

    def open(self, *given, **more):
        self.opened += 1
        if self.opened == 2:
            os.truncate(self, self.stat().st_size // 2)
        return super().open(*given, **more)


def test_an_update_that_is_cut_off_while_it_is_read_is_refused_and_may_come_again(open_round, now):
    session = open_round("anna").session
    with storage.scratch() as file:
        file.write_bytes(update(seat_of("anna")))
        with pytest.raises(Invalid, match="The file was cut off while it was read"):
            updates.receive(seat_of("anna"), Shrinking(file), now=now)
    assert seat_of("anna").is_open and stored() == set()
    assert last_payload(session, Event.Kind.UPDATE_REJECTED)["reason"] == "The file was cut off while it was read."
    assert send("anna", now=now)


def test_other_bytes_after_acceptance_are_refused_and_not_kept(open_round, now):
    open_round("anna", "ben")
    send("anna", now=now)
    before = stored()
    with pytest.raises(Conflict, match="other bytes"):
        send("anna", now=now, value=0.25)
    assert stored() == before == {seat_of("anna").digest}


def test_the_same_bytes_are_accepted_for_ever_once_aggregated(open_round, now):
    session = open_round("anna").session
    body = update(seat_of("anna"))
    send("anna", body, now=now)
    settle(session, now=now)
    sessions.cancel(session, by=None, now=now)
    seat = session.round_set.get(number=1).seats.get()
    assert seat.status == SeatStatus.AGGREGATED
    with storage.scratch() as file:
        file.write_bytes(body)
        assert not updates.receive(seats.of(seat.client, seat.pk), file, now=now)


ENCODED = {
    "float16": {"values/weight": np.full(SIZE, 0.5, np.float16)},
    "int8": {"values/weight": np.full(SIZE, 50, np.int8), "scale/weight": np.array(0.01, F32)},
    "topk": {"values/weight": np.array([5.0], F32), "indices/weight": np.array([2], np.int32)},
}


@pytest.mark.parametrize("name", ENCODED)
def test_an_encoded_update_counts_beside_a_plain_one(open_round, now, name):
    session = open_round("anna", "ben", compression=name, rounds=1).session
    base = weights.load(storage.path(seat_of("anna").round.base_model.digest))["weight"]
    send("anna", update(seat_of("anna"), tensors=ENCODED[name], encoding=name), now=now)
    send("ben", now=now)
    settle(session, now=now)
    delta = np.zeros(SIZE)
    delta[slice(2, 3) if name == "topk" else slice(None)] = 5.0 if name == "topk" else 0.5
    made = weights.load(storage.path(session.last_model().digest))["weight"]
    np.testing.assert_allclose(made, base + (delta + 0.5) / 2, rtol=1e-5)
    assert seat_of("anna").norm == pytest.approx(np.linalg.norm(delta), rel=1e-5)
    assert seat_of("anna").cosine == pytest.approx(_cosine(delta, delta + 0.5), rel=1e-4)


def _cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize(("session", "sent"), [("none", "int8"), ("int8", "topk"), ("topk", "float16")])
def test_an_encoding_that_is_not_the_sessions_is_refused(open_round, now, session, sent):
    open_round("anna", compression=session)
    with pytest.raises(Invalid, match=f"encoding is {sent}, but this session takes float32"):
        send("anna", update(seat_of("anna"), tensors=ENCODED[sent], encoding=sent), now=now)
    assert seat_of("anna").is_open
    assert send("anna", now=now)


def test_a_sparse_update_may_be_larger_than_its_model(open_round):
    seat = open_round("anna", compression="topk", compression_options={"fraction": 1.0}).seats.get()
    assert updates.most_bytes(seat) >= 8 * SIZE > seat.round.base_model.num_bytes - 100


REFUSED = {
    "nothing at all": (b"", "safetensors"),
    "not safetensors": (b"PK\x03\x04 not safetensors at all", "safetensors"),
    "a missing tensor": ({"tensors": {}}, "weight"),
    "an extra tensor": ({"tensors": poisoned(0) | {"surprise": np.zeros(2, F32)}}, "surprise"),
    "a misshapen tensor": ({"tensors": {"weight": np.zeros(SIZE - 1, F32)}}, "weight"),
    "another dtype": ({"tensors": {"weight": np.zeros(SIZE, np.float64)}}, "weight"),
    "NaN": ({"tensors": poisoned(np.nan)}, "weight"),
    "infinity": ({"tensors": poisoned(-np.inf)}, "weight"),
    "no number of examples": ({"num_examples": None}, "num_examples"),
    "no examples": ({"num_examples": "0"}, "num_examples"),
    "a negative number of examples": ({"num_examples": "-5"}, "num_examples"),
    "a number of examples in words": ({"num_examples": "many"}, "num_examples"),
    "an absurd number of examples": ({"num_examples": str(10**12 + 1)}, "num_examples"),
    "a number of more than 64 bits": ({"num_examples": "9" * 30}, "num_examples"),
    "a number that no int holds": ({"num_examples": "9" * 5000}, "num_examples"),
    "half an example": ({"num_examples": "1.5"}, "num_examples"),
    "no base": ({"base_digest": None}, "base_digest"),
    "the digest of another base": ({"base_digest": "0" * 64}, "base_digest"),
    "metrics that are not JSON": ({"metrics": "{"}, "metrics"),
    "metrics that are NaN": ({"metrics": '{"loss": NaN}'}, "metrics"),
    "metrics that are not numbers": ({"metrics": '{"loss": "low"}'}, "loss"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_content_that_cannot_be_aggregated_is_refused_by_name_and_a_good_update_taken_next(open_round, now, what):
    session = open_round("anna", "ben").session
    given, named = REFUSED[what]
    body = given if isinstance(given, bytes) else update(seat_of("anna"), **given)
    with pytest.raises(Invalid, match=named) as refused:
        send("anna", body, now=now)
    seat = seat_of("anna")
    assert seat.is_open and seat.reason == str(refused.value)
    assert last_payload(session, Event.Kind.UPDATE_REJECTED)["reason"] == str(refused.value)
    assert stored() == set()
    assert send("anna", now=now)
    assert (seat_of("anna").status, seat_of("anna").reason) == (SeatStatus.REPORTED, "")


def test_a_cut_off_file_is_refused(open_round, now):
    open_round("anna")
    with pytest.raises(Invalid, match="cut off"):
        send("anna", update(seat_of("anna"))[:-4], now=now)


@pytest.mark.parametrize("examples", ["1", str(10**12)])
def test_the_limits_of_the_number_of_examples_are_allowed(open_round, now, examples):
    open_round("anna")
    assert send("anna", now=now, num_examples=examples)


def test_a_seat_whose_update_was_refused_ends_rejected_if_no_better_one_comes(open_round, now):
    round_ = open_round("anna", "ben", quorum=1)
    with pytest.raises(Invalid):
        send("anna", b"nonsense", now=now)
    send("ben", now=now)
    rounds.close(round_, now=round_.deadline)
    seat = seat_of("anna")
    assert seat.status == SeatStatus.REJECTED and "safetensors" in seat.reason
    with pytest.raises(RoundClosed):
        updates.check_receivable(seat)


def test_a_dropped_seats_update_is_kept_labelled_late_and_not_counted(open_round, now):
    round_ = open_round("anna", "ben", quorum=1)
    send("ben", now=now)
    session = settle(round_.session, now=round_.deadline)
    seat = round_.seats.get(client__name="anna")
    body = update(seats.of(seat.client, seat.pk))
    with storage.scratch() as file, pytest.raises(RoundClosed, match="kept, labelled late"):
        file.write_bytes(body)
        updates.receive(seats.of(seat.client, seat.pk), file, now=now)
    seat.refresh_from_db()
    assert seat.status == SeatStatus.LATE and storage.path(seat.digest).read_bytes() == body
    assert "update.late" in kinds(session)
    assert session.last_model().version == 1


def test_an_update_for_a_skipped_seat_is_late_while_the_round_is_still_open(open_round, now):
    round_ = open_round("anna", "ben", quorum=1)
    seats.skip(seat_of("anna"), by="alice")
    with pytest.raises(RoundClosed):
        send("anna", now=now)
    assert seat_of("anna").status == SeatStatus.LATE
    assert round_.tally() == {"open_seats": 1, "reported": 0}


def test_nothing_is_kept_for_a_cancelled_round(open_round, alice, now):
    session = open_round("anna").session
    sessions.cancel(session, by=alice, now=now)
    with pytest.raises(RoundClosed):
        updates.check_receivable(seat_of("anna"))


def test_a_round_that_is_cancelled_while_an_update_is_checked_keeps_nothing_of_it(open_round, alice, now):
    session = open_round("anna").session
    seat = seat_of("anna")
    sessions.cancel(session, by=alice, now=now)
    with storage.scratch() as file, pytest.raises(RoundClosed):
        file.write_bytes(update(seat))
        updates.receive(seat, file, now=now)
    assert seat_of("anna").status == SeatStatus.DROPPED
    assert stored() == set()


def test_a_seat_that_was_given_up_takes_no_update(open_round):
    open_round("anna", "ben")
    seats.fail(seat_of("anna"), reason="no data")
    with pytest.raises(RoundClosed, match="failed"):
        updates.check_receivable(seat_of("anna"))


def test_two_clients_may_send_the_same_bytes(open_round, now):
    session = open_round("anna", "ben").session
    send("anna", now=now)
    assert send("ben", now=now)
    assert settle(session, now=now).last_model().version == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_update_at_once_counts_once(open_round, now):
    session = open_round("anna", "ben").session
    results = at_once(*[lambda: send("anna", now=now)] * 3)
    assert not [result for result in results if isinstance(result, Exception)]
    assert kinds(session).count("update.received") == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_different_updates_at_once_one_is_accepted(open_round, now):
    session = open_round("anna", "ben").session
    results = at_once(lambda: send("anna", now=now, value=0.25), lambda: send("anna", now=now, value=0.5))
    assert sorted(str(result) for result in results if result is True) == ["True"]
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert kinds(session).count("update.received") == 1
    assert storage.exists(seat_of("anna").digest)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_an_update_at_the_moment_of_closing_counts_or_is_late_and_never_neither(open_round, now, attempt):
    round_ = open_round("anna", "ben", quorum=1)
    send("ben", now=now)
    closed, sent = at_once(lambda: rounds.close(round_, now=round_.deadline), lambda: send("anna", now=now))
    assert closed is True
    status = seat_of("anna").status
    assert (status, type(sent)) in [(SeatStatus.REPORTED, bool), (SeatStatus.LATE, RoundClosed)]
    assert ("seat.dropped" in kinds(round_.session)) == (status == SeatStatus.LATE)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_a_client_that_leaves_as_its_update_comes_has_reported_or_is_dropped(open_round, now, attempt):
    session = open_round("anna", "ben").session
    anna = Client.objects.get(name="anna")
    left, sent = at_once(lambda: clients.leave(anna), lambda: send("anna", now=now))
    assert left is None
    status = seat_of("anna").status
    assert (status, type(sent)) in [(SeatStatus.REPORTED, bool), (SeatStatus.LATE, RoundClosed)]
    assert ("seat.dropped" in kinds(session)) == (status == SeatStatus.LATE)


def test_the_model_that_was_trained_from_stays_readable(open_round, now):
    """An update is checked against the header of its base, read anew each time."""
    open_round("anna")
    base = seat_of("anna").round.base_model
    assert weights.read_header(storage.path(base.digest)).tensors["weight"].shape == (SIZE,)
