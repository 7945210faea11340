"""Clipping and noise, by hand and by properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl.privacy import mechanism
from federation.fl.privacy.clippings import Adaptation, build
from federation.fl.privacy.mechanism import Private, noised_mean
from federation.fl.strategies import Block
from tests.properties import PROPERTY


class Silent:
    """No noise, or the same everywhere."""

    def __init__(self, value=0.0):
        self.value = value

    def of_tensor(self, name, start, count):
        return np.full(count, self.value)

    def of_count(self):
        return self.value


def private(kind="fixed", noise=0.0, expected=None, **options):
    return Private(build(kind, options), Silent(noise), expected)


def mean_of(updates, **options):
    """The mean of some updates without noise."""
    rows = np.asarray(updates, np.float64)
    found = noised_mean(private(**options), (rows**2).sum(axis=1), 0.0)
    return found.block(Block("w", np.zeros(rows.shape[1]), rows, {}), 0).deltas[0]


def test_long_updates_are_shortened_and_all_count_the_same():
    # norms 5 and 1, clip 1: (0.6, 0.8) and (0, 1), halved
    assert mean_of([[3, 4], [0, 1]], clip=1.0) == pytest.approx([0.3, 0.9])


def test_a_short_update_stays_as_it_is():
    assert mean_of([[3, 4]], clip=5.0).tolist() == [3, 4]


def test_an_update_of_zeros_stays_zero():
    assert mean_of([[0, 0], [0, 0]], clip=1.0).tolist() == [0, 0]


def test_an_update_whose_norm_overflows_counts_nothing():
    found = noised_mean(private(clip=1.0), np.array([math.inf, 1.0]), 0.0)
    assert found.factors.tolist() == [0.0, 0.5]


def test_the_noise_is_the_multiplier_times_the_clip_over_the_clients():
    found = noised_mean(private(clip=3.0, noise_multiplier=2.0, noise=1.0), np.ones(4), 0.0)
    assert found.released.deviation == 1.5
    block = Block("w", np.zeros(2), np.zeros((4, 2)), {})
    assert found.block(block, 0).deltas.tolist() == [[1.5, 1.5]]


def test_poisson_divides_by_the_expected_number():
    found = noised_mean(private(clip=3.0, noise_multiplier=2.0, expected=8.0), np.ones(4), 0.0)
    assert found.factors.tolist() == [0.125] * 4 and found.released.deviation == 0.75


updates = st.integers(1, 6).flatmap(
    lambda size: st.lists(st.lists(st.floats(-1e6, 1e6), min_size=size, max_size=size), min_size=1, max_size=8)
)


@given(updates, st.floats(1e-3, 1e3), st.data())
@PROPERTY
def test_leaving_out_what_one_client_sent_moves_the_mean_by_at_most_the_clip_over_the_clients(rows, clip, data):
    which = data.draw(st.integers(0, len(rows) - 1))
    without = [row if index != which else [0.0] * len(row) for index, row in enumerate(rows)]
    moved = np.linalg.norm(mean_of(rows, clip=clip) - mean_of(without, clip=clip))
    assert moved <= clip / len(rows) * (1 + 1e-9)


@given(updates, st.floats(1e-3, 1e3), st.data())
@PROPERTY
def test_another_update_in_its_place_moves_it_by_at_most_twice_that(rows, clip, data):
    which = data.draw(st.integers(0, len(rows) - 1))
    size = len(rows[0])
    another = data.draw(st.lists(st.floats(-1e6, 1e6), min_size=size, max_size=size))
    changed = [row if index != which else another for index, row in enumerate(rows)]
    moved = np.linalg.norm(mean_of(rows, clip=clip) - mean_of(changed, clip=clip))
    assert moved <= 2 * clip / len(rows) * (1 + 1e-9)


@given(updates, st.floats(1e-3, 1e3), st.randoms())
@PROPERTY
def test_order_does_not_matter(rows, clip, random):
    mixed = random.sample(rows, len(rows))
    np.testing.assert_allclose(mean_of(rows, clip=clip), mean_of(mixed, clip=clip), atol=1e-9 * clip)


# ---- the adaptive clip


def test_the_clip_follows_the_share_of_norms_within_it():
    adaptive = private("adaptive", clip=2.0, noise_multiplier=1.0, quantile=0.5, clip_rate=0.2)
    found = noised_mean(adaptive, np.array([1.0, 1.0, 1.0, 100.0]), 0.0).released  # three of four within
    assert found.within == 0.75
    assert found.next_clip == pytest.approx(2.0 * math.exp(-0.2 * 0.25))
    found = noised_mean(adaptive, np.array([100.0, 100.0]), 0.0).released
    assert found.next_clip == pytest.approx(2.0 * math.exp(0.1))


def test_it_goes_on_from_the_clip_that_was_kept():
    found = noised_mean(private("adaptive", clip=2.0), np.array([9.0]), 3.0)
    assert found.released.clip == 3.0 and found.factors.tolist() == [1.0]


def test_the_count_is_noised():
    silent, loud = (private("adaptive", noise=value, noise_multiplier=1.0) for value in (0.0, 1.0))
    quiet, noised = (noised_mean(one, np.zeros(40), 0.0).released.within for one in (silent, loud))
    assert quiet == 1.0 and noised == pytest.approx(1.0 + 2.0 / 40)  # a twentieth of 40 clients


@pytest.mark.parametrize(
    "noise, clients, count_noise, of_updates", [(1.0, 100, 5.0, 0.99**-0.5), (1.0, 10, 1.0, 0.75**-0.5)]
)
def test_noise_on_the_count_is_paid_for_by_more_on_the_updates(noise, clients, count_noise, of_updates):
    """Theorem 1: 1 / z^2 = 1 / z_delta^2 + 1 / (2 sigma_b)^2."""
    assert mechanism.deviation_of_count(noise, clients) == count_noise
    assert mechanism.multiplier_of_updates(noise, count_noise) == pytest.approx(of_updates)
    adaptive = private("adaptive", noise_multiplier=noise, clip=1.0)
    assert noised_mean(adaptive, np.ones(clients), 0.0).released.deviation == pytest.approx(of_updates / clients)


@given(st.floats(1e-3, 100), st.floats(1, 1e4))
@PROPERTY
def test_together_they_are_one_mechanism_with_the_noise_that_is_accounted(noise, clients):
    count_noise = mechanism.deviation_of_count(noise, clients)
    of_updates = mechanism.multiplier_of_updates(noise, count_noise)
    assert (of_updates**-2 + (2 * count_noise) ** -2) ** -0.5 == pytest.approx(noise)


@given(st.lists(st.booleans(), min_size=1, max_size=50), st.data())
@PROPERTY
def test_one_client_moves_the_count_by_one_half(within, data):
    which = data.draw(st.integers(0, len(within) - 1))
    centred = np.array(within) - 0.5
    without = np.delete(centred, which)
    whole = mechanism.noised_share(np.array(within), 0.0, len(within))
    assert abs(whole - (0.5 + without.sum() / len(within))) == pytest.approx(0.5 / len(within))


@given(st.floats(1e-12, 1e12), st.floats(-1e9, 1e9), st.floats(0, 1), st.floats(1e-3, 10))
@PROPERTY
def test_the_clip_stays_a_usable_number(clip, within, quantile, rate):
    assert 0 < mechanism.adapted(clip, within, Adaptation(quantile, rate)) < math.inf


def test_a_constant_distribution_draws_the_clip_to_its_quantile():
    norms = np.linspace(1, 100, 100)
    adaptive, kept = private("adaptive", clip=0.1, noise_multiplier=1.0, quantile=0.5), 0.0
    for _ in range(200):
        kept = noised_mean(adaptive, norms**2, kept).released.next_clip
    assert kept == pytest.approx(50, rel=0.05)
