"""Measures: declared, found, and combined across sites."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as draw

from federation.fl import measures
from federation.fl.measures import KNOWN, Combine, Direction, Measure, classification
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.measured import measures_of

NUMBERS = draw.floats(-1e30, 1e30)
GIVEN = draw.lists(draw.tuples(NUMBERS, draw.integers(1, 10**12)), min_size=1, max_size=20)


def test_each_measure_is_found_by_its_file():
    assert {"accuracy", "loss", "mae", "mse"} <= KNOWN.keys()
    assert all(one.title and one.name == name for name, one in KNOWN.items())


def test_a_workload_declares_what_it_measures_the_most_telling_first():
    assert [one.name for one in measures_of(WORKLOADS["digits"])] == ["accuracy", "loss"]
    assert measures_of(WORKLOADS["synthetic"]) == measures_of(None) == ()

    class Foreign:
        name = "xray"
        measures = (Measure("auc", "AUC", Direction.MAX),)

    assert [one.name for one in measures_of(Foreign())] == ["auc"]


@pytest.mark.parametrize("name", ["toString", "__proto__", "constructor", "a/b/c", "loss\u00e9"])
def test_a_name_that_nobody_declared_says_nothing_but_itself(name):
    assert measures.of(name) == Measure(name)
    assert measures.of(name).direction == Direction.NONE


def test_a_declaration_of_the_session_wins_over_a_known_one():
    mine = Measure("loss", "Negative log likelihood", Direction.MIN)
    assert measures.of("loss", [mine]) is mine


@pytest.mark.parametrize(
    ("reported", "parts"),
    [
        ("base_val_f1", ("base_val_", "f1")),
        ("base_f1", ("base_", "f1")),
        ("val_accuracy", ("val_", "accuracy")),
        ("train_loss", ("train_", "loss")),
        ("base_train_loss", ("base_train_", "loss")),
        ("base_val_", ("base_", "val_")),
        ("accuracy", ("", "accuracy")),
        ("base_", ("", "base_")),
    ],
)
def test_a_reported_name_is_a_prefix_and_a_measure(reported, parts):
    assert measures.split(reported) == parts


def test_how_the_numbers_of_sites_become_one():
    given_ = [(0.2, 10), (0.8, 30)]
    found = {way: Measure("m", combine=way).combined(given_) for way in Combine}
    assert found[Combine.MEAN] == pytest.approx(0.65)
    assert (found[Combine.SUM], found[Combine.MIN], found[Combine.MAX]) == (1.0, 0.2, 0.8)
    assert found[Combine.NONE] is None


@given(GIVEN)
def test_a_mean_lies_between_the_sites_numbers(told):
    mean = Measure("m").combined(told)
    low, high = min(value for value, _ in told), max(value for value, _ in told)
    slack = 1e-9 * max(abs(low), abs(high))
    assert mean is not None and low - slack <= mean <= high + slack


@pytest.mark.parametrize("way", Combine)
def test_of_nothing_nothing_is_made(way):
    assert Measure("m", combine=way).combined([]) is None
    assert Measure("m").combined([(0.5, 0)]) is None, "examples that do not count"


@given(draw.lists(NUMBERS, min_size=1), draw.sampled_from([Direction.MIN, Direction.MAX]))
def test_nothing_is_better_than_the_best(values, direction):
    measure = Measure("m", direction=direction)
    best = measure.best(values)
    assert best in values and all(measure.gain(value, best) <= 0 for value in values)


def test_without_a_direction_nothing_is_the_best():
    assert Measure("m").best([1.0, 2.0]) is None
    assert Measure("m").gain(2.0, 1.0) == 0.0


@pytest.mark.parametrize("measure", KNOWN.values(), ids=KNOWN)
def test_a_measure_survives_its_declaration(measure):
    assert measures.from_json(measure.as_json()) == measure


@given(draw.recursive(draw.none() | draw.booleans() | draw.floats() | draw.text(), lambda inner: draw.dictionaries(
    draw.sampled_from(["name", "title", "direction", "unit", "combine", "x"]), inner) | draw.lists(inner)))  # fmt: skip
def test_whatever_a_site_declares_is_read_without_an_error(told):
    found = measures.from_json(told)
    assert found is None or (1 <= len(found.name) <= 64 and found.name.isprintable())


def test_a_direction_mark_in_a_declared_name_is_refused():
    assert measures.from_json({"name": "a\u202eb"}) is None


def test_a_confusion_matrix_counts_each_example_once():
    labels, predicted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 0, 2])
    assert classification.confusion(labels, predicted, 3) == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]


@pytest.mark.parametrize(
    ("labels", "predicted", "classes"),
    [([0], [1], 1), ([-1], [0], 2), ([0], [5], 2), ([0], [0], 0), ([0], [0], 101), ([], [0], 2)],
)
def test_there_is_no_confusion_matrix_where_an_example_is_in_no_class(labels, predicted, classes):
    assert classification.confusion(np.array(labels, int), np.array(predicted, int), classes) is None
