"""Pictures of several sessions: shares of residuals by unit, and classes by their names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.kit.drawings import About
from dashboard.pages.compare import pictures
from dashboard.pages.compare.pictures import Measured
from federation.fl.measures import residuals
from tests.dashboard.kit.test_drawings import COUNTS, classified, predicted
from tests.properties import PROPERTY

CATS_AND_DOGS = {"confusion": [[8, 2], [1, 9]]}


def drawn(key: str, *sessions: Measured) -> Any:
    return pictures.drawn(sessions)[key]


@pytest.mark.parametrize("unit", [1e-4, 1.0, 50.0])
def test_of_one_session_residuals_are_the_shares_of_its_bins(unit: float) -> None:
    sent = predicted(200, 1)
    found = drawn("residuals", Measured("a run", 3, sent, About(unit=unit)))
    (line,) = found.figure["series"]
    assert line["y"] == pytest.approx([count / 200 for count in sent["residuals"]], abs=1e-6)
    assert line["x"][0] == pytest.approx(-1.95 * unit) and line["x"][-1] == pytest.approx(1.95 * unit)
    assert line["colour"] == "run-3" and not found.figure["bounded"]
    assert found.figure["rows"] == f"Share of examples in steps of {unit / 10:.4g}"


def test_residuals_of_different_units_are_put_into_the_same_steps() -> None:
    bins = [0] * residuals.BINS
    sent = {"residuals": [*bins[:19], 1, 3, *bins[21:]], "sums": [4, 0, 0, 0, 3000, 1000, 5000]}  # 1 unit off, each
    found = drawn("residuals", Measured("run 1", 1, sent, About(unit=1.0)), Measured("run 2", 2, sent, About(unit=4.0)))
    assert [line.told for line in found.lines] == ["off by 1.000 on average", "off by 4.000 on average"]
    one, other = (series for series in found.figure["series"])
    assert one["x"] == other["x"] and one["y"][19:21] == other["y"][19:21] == [0.25, 0.75]
    wide = {"residuals": [1, *bins[2:], 3], "sums": []}
    found = drawn("residuals", Measured("run 1", 1, wide, About(unit=1.0)), Measured("run 2", 2, sent, About(unit=2.0)))
    assert sum(found.figure["series"][0]["y"]) == pytest.approx(1) and found.lines[0].told == ""
    assert [place for place, share in enumerate(found.figure["series"][0]["y"]) if share] == [10, 29]


def test_without_an_example_there_are_no_residuals() -> None:
    assert pictures.drawn([Measured("a run", 1, {"residuals": [0, 0]}, About())]) == {}


def test_classes_are_found_by_their_names() -> None:
    first = Measured("first", 1, CATS_AND_DOGS, About(("cat", "dog")))
    other = Measured("other", 2, {"confusion": [[5, 5, 0], [0, 10, 0], [0, 0, 0]]}, About(("dog", "cat", "cow")))
    figure = drawn("recall", first, other).figure
    assert figure["names"] == ["cat", "dog", "cow"] and figure["title"] == "Recall of each class"
    assert [one["x"] for one in figure["series"]] == [[0.8, 0.9, None], [1.0, 0.5, None]]
    assert [one["x"] for one in drawn("precision", first).figure["series"]] == [[0.8889, 0.8182]]


def test_of_many_classes_the_lowest_comes_first_whichever_session_has_it() -> None:
    sessions = [Measured(f"run {n}", n, classified(900, 30, n), About()) for n in (1, 2)]
    found = drawn("f1", *sessions)
    one, other = (series["x"] for series in found.figure["series"])
    lowest = [min(pair) for pair in zip(one, other, strict=True)]
    assert (
        len(lowest) == 30
        and lowest == sorted(lowest)
        and found.finding == "The class with the lowest number comes first."
    )
    assert [(line.name, line.colour) for line in found.lines] == [("run 1", 1), ("run 2", 2)]


@settings(PROPERTY)
@given(st.dictionaries(st.sampled_from(["confusion", "scores", "calibration", "residuals", "sums"]), COUNTS))
def test_counts_of_any_shape_stop_no_page(sent: dict[str, Any]) -> None:
    for key, found in pictures.drawn([Measured("a run", 1, sent, About())]).items():
        assert found.figure["title"] == pictures.VIEWS[key].title and found.lines
