import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.fl.strategies import Block, Plan, ordering
from federation.fl.strategies.fedmedian import FedMedian
from federation.fl.strategies.ordering import median, network


@pytest.mark.parametrize("num_clients", [*range(1, 34), 63, 64, 65, 100])
def test_the_network_finds_what_sorting_finds(num_clients):
    rows = np.random.default_rng(num_clients).standard_normal((num_clients, 200)).astype(np.float32)
    np.testing.assert_array_equal(median(rows), np.median(rows.astype(np.float64), axis=0))


@pytest.mark.parametrize("num_clients", range(1, 11))
def test_the_network_is_right_for_every_order(num_clients):
    # The 0-1 principle: a network that sorts all zeros and ones sorts everything.
    columns = np.arange(2**num_clients)
    rows = ((columns >> np.arange(num_clients)[:, np.newaxis]) & 1).astype(np.float32)
    np.testing.assert_array_equal(median(rows), np.median(rows, axis=0))


def test_beyond_the_network_selection_finds_the_same(monkeypatch):
    rows = np.random.default_rng(1).standard_normal((20, 300)).astype(np.float32)
    expected = median(rows)
    monkeypatch.setattr(ordering, "NETWORK_CLIENTS", 5)
    np.testing.assert_array_equal(median(rows), expected)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=9), st.floats(width=32, allow_nan=False), st.data()
)
def test_one_liar_cannot_move_it_beyond_the_honest(honest, lie, data):
    rows = [*honest, np.float32(lie)]
    order = data.draw(st.permutations(rows))
    assert min(honest) <= median(np.float32(order)[:, np.newaxis])[0] <= max(honest)


def test_a_liar_does_not_move_what_the_honest_agree_on():
    block = Block("w", np.array([1.0, 2.0]), np.float32([[3, 4], [3, 4], [1e30, -1e30]]), {})
    new, slots = FedMedian().step(Plan(np.array([1e-9, 1e-9, 1.0])), block)
    assert new.tolist() == [4, 6] and slots == {}


def test_an_even_number_meets_in_the_middle_in_float64():
    low, high = np.float32(1), np.nextafter(np.float32(1), np.float32(2))
    assert median(np.array([[low], [high]]))[0] == (float(low) + float(high)) / 2


def test_the_updates_are_left_as_they_are():
    rows = np.random.default_rng(1).standard_normal((5, 9)).astype(np.float32)
    before = rows.copy()
    median(rows)
    np.testing.assert_array_equal(rows, before)


def test_pruning_drops_what_nobody_reads():
    assert len(network(10, (4, 5))) < len(network(10, tuple(range(10))))
    assert network(1, (0, 0)) == []
