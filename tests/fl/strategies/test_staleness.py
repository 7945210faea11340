"""How much an update counts that was trained from an older model."""

import numpy as np

from federation.fl.strategies import Updates
from federation.fl.strategies.strategy import discount


def shares(num_examples, staleness):
    given = Updates(np.array(num_examples), np.array(staleness), lambda function: None)
    return given.share_by_examples()


def test_the_discount_is_the_inverse_square_root_of_the_versions_since():
    assert discount(np.array([0, 3, 8])).tolist() == [1, 1 / 2, 1 / 3]


def test_shares_are_of_discounted_examples():
    assert shares([30, 20], [0, 3]).tolist() == [0.75, 0.25]


def test_without_stale_updates_they_are_plain_shares_to_the_last_bit():
    examples = [3, 7, 10**12, 1]
    assert shares(examples, [0] * 4).tolist() == [n / sum(examples) for n in examples]
