"""Updates are refused with the reason, kept when late, and counted once."""

import numpy as np
import pytest

from federation.errors import Conflict, Invalid, RoundClosed
from federation.lifecycle import SeatStatus
from federation.services import rounds, seats, sessions
from federation.services.seats import updates
from tests.federation.rules.clock import NOW, later

BAD_TENSORS = {
    "missing": lambda tensors: {},
    "extra": lambda tensors: tensors | {"surplus": np.zeros(3, np.float32)},
    "misshapen": lambda tensors: {n: a.reshape(-1)[:-1] for n, a in tensors.items()},
    "another dtype": lambda tensors: {n: a.astype(np.float64) for n, a in tensors.items()},
    "not a number": lambda tensors: {n: a * np.nan for n, a in tensors.items()},
    "infinite": lambda tensors: {n: a * np.inf for n, a in tensors.items()},
}
BAD_METADATA = [{"num_examples": v} for v in (None, "0", "-5", "many", "9" * 30)] + [{"base_digest": "0" * 64}]


@pytest.fixture
def seat(open_round):
    return seats.offer(open_round.seats.get(seat=1).client, now=NOW)


@pytest.mark.parametrize("change", BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_an_update_that_does_not_fit_is_refused_and_a_good_one_counts_after_it(seat, update_file, change):
    with pytest.raises(Invalid):
        updates.receive(seat, update_file(seat, change=change), now=NOW)
    assert seats.offer(seat.client, now=NOW).reason
    assert updates.receive(seat, update_file(seat), now=NOW)


@pytest.mark.parametrize("metadata", BAD_METADATA, ids=str)
def test_an_update_with_impossible_metadata_is_refused(seat, update_file, metadata):
    with pytest.raises(Invalid, match=next(iter(metadata))):
        updates.receive(seat, update_file(seat, **metadata), now=NOW)
    assert seats.offer(seat.client, now=NOW) is not None


def test_what_is_not_safetensors_is_refused(seat, tmp_path):
    file = tmp_path / "garbage"
    file.write_bytes(b"not safetensors at all")
    with pytest.raises(Invalid):
        updates.receive(seat, file, now=NOW)


def test_the_same_bytes_again_count_once_and_other_bytes_are_refused(seat, update_file, session):
    assert updates.receive(seat, update_file(seat), now=NOW)
    assert updates.receive(seat, update_file(seat), now=NOW) in (True, False)
    with pytest.raises(Conflict):
        updates.receive(seat, update_file(seat, value=2.0), now=NOW)
    assert session.events.filter(kind="update.received").count() == 1


def test_an_update_after_the_round_closed_is_kept_and_labelled_late(open_round, update_file, session):
    early, slow, gone = open_round.seats.order_by("seat")
    for seat in (early, gone):
        updates.receive(seats.of(seat.client, seat.pk), update_file(seat), now=NOW)
    assert rounds.advance(session, now=later(601))
    seat = seats.of(slow.client, slow.pk)
    with pytest.raises(RoundClosed, match="labelled late"):
        updates.receive(seat, update_file(seat), now=later(602))
    slow.refresh_from_db()
    assert slow.status == SeatStatus.LATE


def test_nothing_is_kept_for_a_cancelled_round(seat, session, alice):
    sessions.cancel(session, by=alice, now=NOW)
    with pytest.raises(RoundClosed):
        updates.check_receivable(seats.of(seat.client, seat.pk))


def test_a_round_is_the_mean_of_its_updates_weighted_by_examples(open_round, update_file, session):
    from federation import storage
    from federation.fl import weights

    for seat, value, examples in zip(open_round.seats.order_by("seat"), (0.0, 1.0, 4.0), ("1", "2", "1"), strict=True):
        file = update_file(seat, value=value, num_examples=examples)
        updates.receive(seats.of(seat.client, seat.pk), file, now=NOW)
    while session.active_round() and session.models.count() == 1:
        assert rounds.advance(session, now=later(1))
    old, new = (weights.load(storage.path(m.digest)) for m in session.models.order_by("version"))
    for name in old:
        np.testing.assert_allclose(new[name] - old[name], 1.5, rtol=1e-6)
