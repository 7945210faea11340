"""What a site counts of a model for pictures: exact where it can be, additive over sites, and within the limit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.fl.measures import by_class, calibration, classification, counted, residuals, scores
from tests.properties import PROPERTY

LABELS = np.array([0, 0, 1, 1])


def added(one, other):
    if isinstance(one, list):
        return [added(*parts) for parts in zip(one, other, strict=True)]
    return one + other


def integers(counts):
    return sum(integers(part) for part in counts) if isinstance(counts, list) else 1


def classified(size, classes, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, size)
    return labels, rng.normal(size=(size, classes)) + 2 * np.eye(classes)[labels]


# ---- scores


def test_odds_of_softmax_are_exact_where_a_probability_is_one_within_rounding():
    odds = scores.of_softmax(np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 0.0]], np.float32))
    assert odds.tolist() == [[0, 0], [50, -50], [0, 0]]
    three = scores.of_softmax(np.log([[0.5, 0.25, 0.25]]))
    assert np.allclose(three, [[0, np.log(1 / 3), np.log(1 / 3)]])


@settings(PROPERTY)
@given(st.lists(st.lists(st.floats(-200, 200), min_size=3, max_size=3), min_size=1, max_size=5))
def test_odds_agree_with_probabilities(logits):
    given_ = np.array(logits)
    odds = scores.of_softmax(given_)
    weights = np.exp(given_ - given_.max(axis=1, keepdims=True))
    assert not np.isnan(odds).any() and ((odds > 0).sum(axis=1) <= 1).all()
    assert np.allclose(1 / (1 + np.exp(-np.clip(odds, -700, 700))), weights / weights.sum(axis=1, keepdims=True))


def test_curves_of_four_examples():
    odds = np.array([[-5.0], [1.0], [0.0], [5.0]])
    found = scores.curves(scores.histograms(odds, LABELS[:, np.newaxis] == 1, 24)[0])
    assert found.area == 0.75  # of four pairs, three are in order
    assert found.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found.precision[-1] == 0.5 and found.recall[-1] == found.false_alarms[-1] == 1


def test_a_class_without_examples_or_without_others_has_no_curve():
    odds = np.zeros((3, 1))
    for members in (np.zeros((3, 1), bool), np.ones((3, 1), bool)):
        assert scores.curves(scores.histograms(odds, members, 20)[0]) is None


@settings(PROPERTY)
@given(st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=2, max_size=60))
def test_an_area_of_histograms_is_near_that_of_the_scores(examples):
    odds = np.array([[score] for score, _ in examples])
    mine = np.array([member for _, member in examples])
    found = scores.curves(scores.histograms(odds, mine[:, np.newaxis], 60)[0])
    if found is None:
        return
    high, low = odds[mine][:, 0].clip(-12, 12), odds[~mine][:, 0].clip(-12, 12)
    pairs = high[:, np.newaxis] - low
    near = (np.abs(pairs) < 24 / 60).mean()
    assert abs(found.area - ((pairs > 0).mean() + (pairs == 0).mean() / 2)) <= near / 2 + 1e-9
    assert (np.diff(found.recall) >= 0).all() and (np.diff(found.false_alarms) >= 0).all()
    assert 0 <= found.average_precision <= 1 + 1e-9


# ---- calibration


def test_calibration_is_exact_within_its_bins():
    odds = np.log(np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]]) / np.array([[0.2, 0.8], [0.2, 0.8], [0.6, 0.4]]))
    bins = calibration.of_classes(odds, np.array([0, 1, 1]))
    assert calibration.points(bins) == [(0.6, 1.0, 1), (0.8, 0.5, 2)]
    assert calibration.error(bins) == pytest.approx((0.4 + 2 * 0.3) / 3)
    assert calibration.error([[0, 0, 0]]) is None


def test_a_confidence_of_one_is_in_the_last_bin():
    assert calibration.counted(np.array([1.0]), np.array([True]))[-1] == [1, 1, 10_000]


# ---- numbers


def test_sums_of_residuals_are_those_of_all_sites_together():
    rng = np.random.default_rng(3)
    targets = rng.normal(300, 5, 90)
    predictions = targets + rng.normal(1, 2, 90)
    parts = [residuals.sums(targets[at], predictions[at], 5.0) for at in (slice(0, 20), slice(20, 90))]
    found = residuals.read(added(*parts))
    off = predictions - targets
    assert found.examples == 90 and 5 * found.bias == pytest.approx(off.mean(), abs=1e-3)
    assert 5 * found.mean_absolute == pytest.approx(np.abs(off).mean(), abs=1e-3)
    assert 5 * found.root_mean_square == pytest.approx(np.sqrt((off**2).mean()), abs=1e-3)
    assert found.determination == pytest.approx(1 - (off**2).sum() / ((targets - targets.mean()) ** 2).sum(), abs=1e-3)


def test_targets_that_do_not_vary_have_no_determination():
    assert residuals.read(residuals.sums(np.full(5, 7.0), np.zeros(5), 1.0)).determination is None
    assert residuals.read([0] * 7) is None and residuals.read([1, 2]) is None


def test_what_lies_beyond_is_in_the_outer_bins():
    found = residuals.histogram(np.zeros(3), np.array([-1e9, 0.0, 1e9]), 1.0)
    assert found[0] == found[-1] == 1 and sum(found) == 3


def test_numbers_that_do_not_fit_or_are_not_finite_are_not_counted():
    assert counted.of_numbers(np.array([1e12]), np.array([1.0]), 1.0) == {}
    assert counted.of_numbers(np.array([1.0]), np.array([np.nan]), 1.0) == {}


# ---- each class


def test_precision_recall_and_f1_of_a_matrix():
    first, second, third = by_class.of_confusion([[8, 2, 0], [1, 9, 0], [0, 0, 0]])
    assert (first.precision, first.recall, first.f1) == (8 / 9, 0.8, 16 / 19)
    assert second.precision == 9 / 11 and (third.precision, third.recall, third.f1) == (None, None, None)
    assert by_class.mean([1.0, None, 0.5]) == 0.75 and by_class.mean([None]) is None


def test_labels_are_there_from_a_probability_of_one_half():
    odds = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    (found,) = by_class.of_scores(scores.histograms(odds, np.array([[1], [1], [0], [0]]) > 0, 20))
    assert (found.right, found.predicted, found.there) == (1, 2, 2)


# ---- all of it


@pytest.mark.parametrize("classes", [2, 3, 10, 30, 85, 86, 98, 99, 100, 101, 311, 312, 1000])
def test_counts_fit_into_one_result(classes):
    labels, outputs = classified(50, classes)
    counts = counted.of_classes(labels, outputs.argmax(axis=1), scores.of_softmax(outputs), classes)
    assert sum(map(integers, counts.values())) <= counted.MOST_INTEGERS
    assert ("confusion" in counts) == (classes <= classification.MOST_CLASSES)
    if "scores" in counts:
        assert np.sum(counts["scores"]) == 50 * classes and np.sum(counts["calibration"], axis=0)[0] == 50
    assert (len(counts.get("scores", [])) == classes) == (classes <= 85 or 101 <= classes <= 311)


@settings(PROPERTY)
@given(st.integers(2, 6), st.integers(1, 30), st.integers(1, 30), st.integers(0, 9))
def test_counts_of_two_sites_add_up_to_those_of_both(classes, first, second, seed):
    labels, outputs = classified(first + second, classes, seed)
    odds, predicted = scores.of_softmax(outputs), outputs.argmax(axis=1)
    parts = [
        counted.of_classes(labels[at], predicted[at], odds[at], classes) for at in (slice(0, first), slice(first, None))
    ]
    whole = counted.of_classes(labels, predicted, odds, classes)
    for name, counts in whole.items():
        assert np.abs(np.array(added(parts[0][name], parts[1][name])) - counts).max() <= (name == "calibration")


def test_several_labels_have_scores_and_calibration():
    odds, members = np.array([[3.0, -3.0], [-3.0, 3.0]]), np.array([[1, 0], [0, 1]], np.float32)
    counts = counted.of_labels(members, odds)
    assert scores.curves(counts["scores"][0]).area == 1.0
    assert np.sum(counts["calibration"], axis=0)[:2].tolist() == [4, 2]
    assert counted.of_labels(members, None) == counted.of_labels(members, odds * np.nan) == {}


def test_scores_that_are_no_number_leave_the_matrix():
    counts = counted.of_classes(LABELS, LABELS, np.full((4, 2), np.nan), 2)
    assert counts == {"confusion": [[2, 0], [0, 2]]}
