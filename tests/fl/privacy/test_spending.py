"""What rounds cost. The first examples are those that the accountant's library and its forerunner publish."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl.privacy.spending import Cost, affordable, epsilon
from tests.properties import PROPERTY

ROOT = Path(__file__).parents[3]


def test_the_library_s_own_example_of_a_gaussian():
    """rdp_privacy_accountant_test.py: 4.530877117 is chosen for exactly (1, 1e-6)."""
    assert epsilon([Cost(4.530877117)], 1e-6) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "examples, batch, noise, epochs, delta, published",
    [
        (60_000, 150, 1.3, 15, 1e-5, 0.7242234026109595),
        (100_000, 100, 1.0, 30, 1e-7, 1.4154988495444845),
    ],
)
def test_published_examples_of_poisson_samples(examples, batch, noise, epochs, delta, published):
    """compute_dp_sgd_privacy_test.py of TensorFlow Privacy."""
    steps = math.ceil(epochs * examples / batch)
    assert epsilon([Cost(noise, batch / examples)] * steps, delta) == pytest.approx(published, rel=1e-9)


@pytest.mark.parametrize("noise, rounds, delta", [(1.0, 1, 1e-5), (1.0, 10, 1e-5), (5.0, 100, 1e-6), (20.0, 100, 1e-3)])
def test_it_is_close_above_the_exact_epsilon_of_gaussians(noise, rounds, delta):
    """Balle and Wang 2018 (arXiv:1805.06530), theorem 8, of which rounds of equal noise are one with less of it."""
    sensitivity, found = math.sqrt(rounds) / noise, epsilon([Cost(noise)] * rounds, delta)

    def exact_delta(of):
        def above(x):
            return math.erfc(x / math.sqrt(2)) / 2

        return above(of / sensitivity - sensitivity / 2) - math.exp(of) * above(of / sensitivity + sensitivity / 2)

    assert exact_delta(found) <= delta  # it promises no more than is true
    assert exact_delta(0.85 * found) > delta  # and not much less


def test_nothing_costs_nothing():
    assert epsilon([], 1e-5) == 0.0


def test_amplification_makes_rounds_cheaper_and_rate_one_is_none():
    assert epsilon([Cost(1.0, 0.1)] * 5, 1e-5) < epsilon([Cost(1.0)] * 5, 1e-5) == epsilon([Cost(1.0, 1.0)] * 5, 1e-5)


costs = st.builds(Cost, st.floats(0.5, 20), st.sampled_from([0.05, 0.5, 1.0]))


@given(st.lists(costs, min_size=1, max_size=4), costs, st.randoms())
@PROPERTY
def test_each_round_costs_more_and_their_order_does_not_matter(rounds, another, random):
    more = [*rounds, another]
    assert epsilon(rounds, 1e-5) <= epsilon(more, 1e-5) * (1 + 1e-12)
    assert epsilon(random.sample(more, len(more)), 1e-5) == epsilon(more, 1e-5)


@pytest.mark.parametrize("budget", [0.1, 1.0, 5.0, 5.3, 12.0, 1000.0])
def test_affordable_is_the_most_rounds_within_a_budget(budget):
    before, each = [Cost(2.0)], Cost(1.0)
    found = affordable(before, each, 1e-5, budget, 50)
    assert found == 0 or epsilon([*before, *[each] * found], 1e-5) <= budget
    assert found == 50 or epsilon([*before, *[each] * (found + 1)], 1e-5) > budget


def test_the_accountant_is_loaded_only_where_something_is_counted():
    code = "from federation.fl.privacy import spending; import sys; before = 'dp_accounting' in sys.modules\n"
    code += "spending.epsilon([spending.Cost(1.0)], 1e-5); print(before, 'dp_accounting' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == "False True\n"
