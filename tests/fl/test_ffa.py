"""FFA-LoRA: with one A for all, the mean of the adapters is the adapter of the mean; with two factors it is not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import weights
from tests.fl.test_staying import aggregate

A, B = "layer.lora_a", "layer.lora_b"
WHOLE = st.integers(-100, 100)


def adapters(folder, base, deltas, stays=()):
    """What the mean of updates, each counted the same, makes of a model with adapters."""
    aggregate(folder, "fedavg", base, deltas, stays=stays, options={"weighting": "equal"})
    return weights.load(folder / "out")


def test_the_mean_of_both_factors_is_not_the_mean_of_the_products(tmp_path):
    """Clients with 1 * 1 and 3 * 3: the mean of the products is 5, the product of the means 4."""
    base = {A: np.zeros((1, 1), np.float32), B: np.zeros((1, 1), np.float32)}
    deltas = [{A: np.full((1, 1), value, np.float32), B: np.full((1, 1), value, np.float32)} for value in (1, 3)]
    found = adapters(tmp_path, base, deltas)
    assert found[B] @ found[A] == 4
    assert np.mean([delta[B] @ delta[A] for delta in deltas]) == 5


@given(
    st.lists(st.lists(WHOLE, min_size=6, max_size=6), min_size=2, max_size=5),
    st.lists(WHOLE, min_size=8, max_size=8),
)
def test_with_a_frozen_the_mean_of_the_products_is_exact(tmp_path_factory, changes, first):
    """In whole numbers of 2 or 4 clients nothing is rounded, so that both sides are the same to the bit."""
    changes = changes[: 1 << (len(changes).bit_length() - 1)]
    a = np.float32(first).reshape(2, 4)
    base = {A: a, B: np.zeros((3, 2), np.float32)}
    deltas = [{B: np.float32(change).reshape(3, 2)} for change in changes]
    found = adapters(tmp_path_factory.mktemp("ffa"), base, deltas, stays=[A])
    assert found[A].tobytes() == a.tobytes()
    products = np.mean([delta[B] @ a for delta in deltas], axis=0)
    np.testing.assert_array_equal(found[B] @ found[A], products)
