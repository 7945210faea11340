"""Encoders of one tensor: what is sent and what stays behind always make the whole."""

import numpy as np
import pytest

from federation.fl import compression
from federation.fl.compression import BLOCK


def noise(seed, size, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32)


def test_float16_saturates_and_rounds_half_to_even():
    sent = compression.to_float16(np.float32([1e9, -1e9, 2049, 2051, 1e-9]))
    assert sent.tolist() == [65504, -65504, 2048, 2052, 0]


@pytest.mark.parametrize("size", [0, 1, BLOCK, 2 * BLOCK + 3])
def test_int8_and_its_residual_make_the_delta(size):
    delta = noise(1, size, 1e-3)
    residual, scale = delta.copy(), compression.int8_scale(delta)
    q = np.concatenate([[], *compression.quantize(residual, scale, np.random.default_rng(2))])
    np.testing.assert_allclose(q * scale + residual, delta, rtol=0, atol=1e-9)
    assert (np.abs(residual) <= scale * 1.001).all()


def test_int8_is_unbiased():
    values = np.full(200_000, 0.3, np.float32)
    q = np.concatenate(list(compression.quantize(values, np.float32(1), np.random.default_rng(3))))
    assert set(q.tolist()) == {0, 1}
    assert abs(q.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / len(q))


@pytest.mark.parametrize("values", [np.zeros(5, np.float32), np.full(5, 1e-45, np.float32)])
def test_int8_of_nothing_is_nothing(values):
    kept = values.copy()
    (q,) = compression.quantize(kept, compression.int8_scale(values), np.random.default_rng(1))
    assert not q.any()
    np.testing.assert_array_equal(kept, values)


@pytest.mark.parametrize("size, count", [(10, 3), (2 * BLOCK + 5, 700), (7, 7), (5, 0), (1, 1)])
def test_top_takes_the_largest_in_order_and_leaves_the_rest(size, count):
    delta = noise(4, size)
    residual = delta.copy()
    taken = list(compression.take_top(residual, count))
    indices = np.concatenate([part[0] for part in taken])
    expected = np.sort(np.argsort(-np.abs(delta), kind="stable")[:count])
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in taken]), delta[expected])
    residual[indices] += delta[indices]
    np.testing.assert_array_equal(residual, delta)


def test_of_equal_magnitudes_the_first_are_taken():
    taken = list(compression.take_top(np.float32([1, -1, 2, 1, -1]), 3))
    assert taken[0][0].tolist() == [0, 1, 2]


def test_a_fraction_is_rounded_up():
    assert [compression.top_count(size, 0.1) for size in (0, 1, 10, 11)] == [0, 1, 1, 2]
