"""What sites measured of the compared sessions' models, side by side: each session's newest evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.kit import evaluations
from dashboard.kit.drawings import Drawing
from dashboard.kit.evaluations import Column, Evaluation
from dashboard.pages.compare import comparison, pictures
from federation.fl.measures import Measure

FIRST = "roc"  # of the pictures, where there is one


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
    drawing: Drawing | None

    @property
    def title(self) -> str:
        return dict(self.views)[self.chosen]

    @property
    def label(self) -> str:
        """The picture for those who do not see it."""
        return f"{self.title}, for each session, of all its sites together."


def of(shown: Sequence[comparison.Line], wanted: str) -> AtSites:
    """wanted: the picture that somebody chose. Two queries, whatever the number of sessions."""
    found = evaluations.newest_of([line.session for line in shown])
    there = [pictures.measured(line, found[line.session.pk].counts) for line in shown if line.session.pk in found]
    drawn = pictures.drawn(there)
    first = FIRST if FIRST in drawn else next(iter(drawn), "")
    chosen = wanted if wanted in drawn else first
    views = [(key, pictures.VIEWS[key].title) for key in drawn]
    return AtSites(_rows(shown, found), views, chosen, drawn.get(chosen))


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
