"""When a session has learnt enough."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from federation.fl.early_stop import OPTIONS, Why, due, may_be_due
from federation.fl.measures import Direction, Measure
from federation.fl.options import check

LOSS, SCORE = Measure("loss", direction=Direction.MIN), Measure("score", direction=Direction.MAX)


def rule(**given_: Any) -> dict[str, Any]:
    return check(given_, OPTIONS, "early_stop")


@pytest.mark.parametrize(
    ("measure", "values", "given_", "why"),
    [
        (LOSS, [1.0, 0.9, 0.9, 0.95], {"patience": 2}, Why.PATIENCE),
        (LOSS, [1.0, 0.9, 0.9], {"patience": 2}, None),
        (LOSS, [1.0, 0.9, 0.9, 0.8], {"patience": 2}, None),
        (SCORE, [0.1, 0.2, 0.2, 0.1], {"patience": 2}, Why.PATIENCE),
        (SCORE, [0.1, 0.2, 0.3], {"patience": 1}, None),
        (SCORE, [0.1, 0.2, 0.21, 0.22], {"patience": 2, "min_delta": 0.05}, Why.PATIENCE),
        (SCORE, [0.1, 0.9], {"target": 0.9}, Why.TARGET),
        (SCORE, [0.1, 0.89], {"target": 0.9}, None),
        (LOSS, [0.4, 0.3], {"target": 0.3}, Why.TARGET),
        (SCORE, [0.95, 0.1], {"target": 0.9}, None),
        (SCORE, [], {"patience": 1, "target": 0.0}, None),
        (Measure("x"), [1.0, 1.0, 1.0], {"patience": 1}, None),
    ],
)
def test_when_it_stops(measure, values, given_, why):
    found = due(rule(**given_), measure, values)
    assert (found and found.why) == why


def test_it_says_how_good_the_last_and_the_best_model_were():
    found = due(rule(patience=1), SCORE, [0.5, 0.7, 0.6])
    assert found is not None and (found.value, found.best) == (0.6, 0.7)


@given(draw.lists(draw.floats(0, 1), min_size=2, max_size=30, unique=True), draw.integers(1, 5))
def test_while_it_gets_better_it_never_stops(values, patience):
    assert due(rule(patience=patience), SCORE, sorted(values)) is None
    assert due(rule(patience=patience), LOSS, sorted(values, reverse=True)) is None


@given(draw.lists(draw.floats(0, 1), max_size=30), draw.integers(1, 5))
def test_what_gains_nothing_stops_after_its_patience(values, patience):
    stuck = [*values, 2.0, *([2.0] * patience)]
    assert due(rule(patience=patience), SCORE, stuck) is not None


GIVEN = draw.fixed_dictionaries(
    {"patience": draw.none() | draw.integers(1, 5), "target": draw.none() | draw.floats(0, 1)},
    optional={"min_delta": draw.floats(0, 1)},
)


@given(
    draw.lists(draw.floats(0, 1), min_size=1, max_size=30), GIVEN, draw.sampled_from([LOSS, SCORE]), draw.integers(0, 9)
)
def test_where_the_earlier_values_are_not_needed_none_of_them_would_stop(values, given_, measure, unmeasured):
    its = rule(**given_)
    if not may_be_due(its, measure, values[-1], len(values) + unmeasured):
        assert due(its, measure, values) is None
