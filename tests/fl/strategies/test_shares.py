"""How much each client counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl.strategies import STRATEGIES, Launch, Updates, build, shares
from tests.properties import PROPERTY


def updates(num_examples, staleness=None):
    return Updates(np.array(num_examples), np.array(staleness or [0] * len(num_examples)), lambda function: None)


def test_all_count_the_same_whatever_they_claim():
    assert shares.of(updates([1, 3, 10**12, 7]), "equal", 0.5).tolist() == [0.25] * 4


def test_stale_ones_count_less_where_all_count_the_same():
    assert shares.of(updates([1, 1], [0, 3]), "equal", 0.5).tolist() == [2 / 3, 1 / 3]


def test_what_the_largest_loses_goes_to_the_others_in_proportion():
    np.testing.assert_allclose(shares.of(updates([80, 10, 30]), "capped", 0.5), [0.5, 0.125, 0.375])


def test_a_second_one_may_reach_the_limit_by_what_the_first_loses():
    np.testing.assert_allclose(shares.of(updates([90, 8, 1, 1]), "capped", 0.4), [0.4, 0.4, 0.1, 0.1])


def test_too_few_to_keep_to_the_limit_count_the_same():
    assert shares.of(updates([90, 10]), "capped", 0.4).tolist() == [0.5, 0.5]


@PROPERTY
@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=12), st.floats(0.01, 1.0))
def test_shares_sum_to_one_keep_to_the_limit_and_keep_their_order(examples, most):
    found = shares.of(updates(examples), "capped", most)
    assert found.sum() == pytest.approx(1.0)
    assert found.max() <= max(most, 1 / len(examples)) + 1e-12
    assert (np.diff(found[np.argsort(examples, kind="stable")]) >= -1e-12).all()
    if max(examples) / sum(examples) <= most:
        np.testing.assert_allclose(found, np.array(examples) / sum(examples))


CAPPED = [name for name, one in STRATEGIES.items() if "most_share" in {option.name for option in one.options}]


def test_these_can_be_capped():
    assert CAPPED == ["fedavg", "ditto", "fedavgm", "fedprox"]


@pytest.mark.parametrize("strategy", CAPPED)
def test_a_quorum_that_cannot_keep_to_the_limit_is_refused_at_launch(strategy):
    capped = build(strategy, {"weighting": "capped", "most_share": 0.3})
    found = capped.misfit(Launch(quorum=3))
    assert found.field == "strategy.options.most_share"
    assert "quorum of at least 4, or a largest share of at least 0.34." in found.sentence
    assert capped.misfit(Launch(quorum=4)) is None
    assert build(strategy, {"most_share": 0.3}).misfit(Launch(quorum=1)) is None  # it is not capped
