"""What stands before a robust rule: the same bytes as each sum by itself, and the same neighbours as exact products."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl.strategies import mixing, sums
from federation.fl.strategies.gram import gram, rough
from federation.fl.strategies.strategy import Block, Updates, weighted_sum

finite = st.floats(-(2.0**100), 2.0**100, width=32)


def one_by_one(rows, mixture):
    return np.stack([weighted_sum(rows, weights) for weights in mixture]).astype(rows.dtype)


def updates_of(*blocks):
    """A round whose model has one tensor for each of these arrays of updates."""
    count = len(blocks[0])
    made = [Block("w", np.zeros(rows.shape[1]), rows, {}) for rows in blocks]
    return Updates(np.ones(count, np.int64), np.zeros(count, np.int64), lambda f: sum(f(block) for block in made))


def noise(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            st.lists(st.lists(finite, min_size=n, max_size=n), min_size=1, max_size=9),
            st.lists(st.sets(st.integers(0, n - 1), min_size=1), min_size=1, max_size=9),
            st.sampled_from([np.float32, np.float64]),
        )
    )
)
def test_sums_are_those_of_each_by_itself_to_the_last_bit(given_):
    columns, chosen, dtype = given_
    rows = np.array(columns, dtype).T.copy()
    mixture = np.zeros((len(chosen), len(rows)))
    for row, members in enumerate(chosen):
        mixture[row, list(members)] = 1 / len(members)
    assert sums.sums(rows, mixture).tobytes() == one_by_one(rows, mixture).tobytes()


@pytest.mark.parametrize("size", [1, 8_192, 8_193, 20_001])
def test_pieces_meet(size):
    rows, mixture = noise(1, 7, size), mixing.nearest(noise(2, 7, 7).astype(float), 2)
    assert sums.sums(rows, mixture).tobytes() == one_by_one(rows, mixture).tobytes()


def test_sums_with_different_weights_are_made_too():
    rows, mixture = noise(1, 4, 300), np.array([[0.5, 0.25, 0.25, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    assert sums.sums(rows, mixture).tobytes() == one_by_one(rows, mixture).tobytes()


def test_sums_of_many_updates_need_little_more_memory_than_their_result():
    rows = noise(1, 60, 10_000)
    mixture = mixing.nearest(rows.astype(float) @ rows.T, 10)
    tracemalloc.start()
    found = sums.sums(rows, mixture)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < found.nbytes + 2 * 60 * sums.COLUMNS * 8 + 2**20


@given(st.integers(0, 2**32 - 1), st.integers(3, 14), st.floats(1e-3, 1e15))
def test_rough_products_are_as_near_as_they_say(seed, count, lie):
    rows = noise(seed, count, 5_000)
    rows[0] *= np.float32(lie)
    exact, (products, error) = (of(updates_of(rows, rows[:, :77])) for of in (gram, rough))
    lengths = np.sqrt(np.diagonal(exact))
    assert (np.abs(products - exact) <= error * np.outer(lengths, lengths)).all()


@given(st.integers(0, 2**32 - 1), st.integers(3, 14), st.data())
def test_neighbours_that_are_sure_are_those_of_exact_products(seed, count, data):
    liars = data.draw(st.integers(0, (count - 1) // 2))
    rows = noise(seed, count, 200)
    for copy, of in data.draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=3)):
        rows[copy] = rows[of]
    updates = updates_of(rows)
    products, error = rough(updates)
    found = mixing.surely_nearest(products, liars, error)
    if found is not None:
        np.testing.assert_array_equal(found, mixing.nearest(gram(updates), liars))


def test_who_is_as_near_as_another_is_not_told_by_rough_products():
    rows = noise(3, 5, 100)
    rows[3], rows[4] = rows[1], rows[2]  # from row 0, two are as near as two others
    assert mixing.surely_nearest(*_rough_of(rows, 2)) is None
    assert mixing.surely_nearest(*_rough_of(noise(3, 5, 100), 2)) is not None


def test_products_that_overflow_leave_a_doubt():
    rows = noise(4, 5, 100, dtype=np.float64)
    rows[2] *= 1e200
    with np.errstate(all="ignore"):  # as where the engine asks for blocks
        assert mixing.surely_nearest(*_rough_of(rows, 1)) is None


def _rough_of(rows, liars):
    products, error = rough(updates_of(rows))
    return products, liars, error
