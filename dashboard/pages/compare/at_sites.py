"""What sites measured of the compared sessions' models, side by side: each session's newest evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.kit import drawings, evaluations
from dashboard.kit.evaluations import Column, Evaluation
from dashboard.pages.compare import comparison
from federation.fl.measures import Measure

Make = Callable[[Mapping[str, Any], str, int], drawings.Line | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of each session, None where it was not measured."""

    measure: Measure
    columns: Sequence[Column | None]


@dataclass(frozen=True, slots=True)
class AtSites:
    """views: pictures that can be chosen, as (key, title). chosen: one of them, empty if there is none."""

    rows: Sequence[Row]
    views: Sequence[tuple[str, str]]
    chosen: str
    lines: Sequence[drawings.Line]

    @property
    def title(self) -> str:
        return dict(self.views)[self.chosen]

    @property
    def label(self) -> str:
        """The picture for those who do not see it."""
        return f"{self.title} of each session, of all its sites together."

    @property
    def figure(self) -> dict[str, Any]:
        """What static/js/counts.js draws."""
        title, columns, rows, diagonal, _ = PICTURES[self.chosen]
        return drawings.lines_figure(title, (columns, rows), self.lines, diagonal=diagonal)


def of(shown: Sequence[comparison.Line], wanted: str) -> AtSites:
    """wanted: the picture that somebody chose. Two queries, whatever the number of sessions."""
    found = evaluations.newest_of([line.session for line in shown])
    all_lines = {key: _lines(shown, found, make) for key, (*_, make) in PICTURES.items()}
    views = [(key, PICTURES[key][0]) for key, lines in all_lines.items() if lines]
    chosen = wanted if wanted in dict(views) else next((key for key, _ in views), "")
    return AtSites(_rows(shown, found), views, chosen, all_lines.get(chosen, []))


def _rows(shown: Sequence[comparison.Line], found: Mapping[int, Evaluation]) -> list[Row]:
    """Every measure that any of them has, in the order of the first that has it."""
    columns = {
        line.session.pk: {one.measure.name: one for one in found[line.session.pk].columns}
        for line in shown
        if line.session.pk in found
    }
    known = {name: one.measure for by_name in columns.values() for name, one in by_name.items()}
    return [
        Row(measure, [columns.get(line.session.pk, {}).get(name) for line in shown]) for name, measure in known.items()
    ]


def _lines(shown: Sequence[comparison.Line], found: Mapping[int, Evaluation], make: Make) -> list[drawings.Line]:
    there = [(line, found[line.session.pk].counts) for line in shown if line.session.pk in found]
    made = [make(counts, line.session.name, line.number) for line, counts in there]
    return [line for line in made if line is not None]


def _roc(counts: Mapping[str, Any], name: str, number: int) -> drawings.Line | None:
    curve = drawings.whole_curve(counts)
    return None if curve is None else drawings.roc_line(name, number, curve)


def _precision_recall(counts: Mapping[str, Any], name: str, number: int) -> drawings.Line | None:
    curve = drawings.whole_curve(counts)
    return None if curve is None else drawings.precision_recall_line(name, number, curve)


PICTURES: Mapping[str, tuple[str, str, str, bool, Make]] = {  # title, x, y, whether with a diagonal, each line
    "roc": ("ROC curve", "False alarms", "Recall", True, _roc),
    "precision_recall": ("Precision and recall", "Recall", "Precision", False, _precision_recall),
    "calibration": ("Calibration", "Confidence", "Right", True, drawings.calibration_line),
}
