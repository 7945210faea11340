"""Pictures in which each compared session has a line, or a dot in each class: from counts added over its sites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from dashboard.kit import drawings
from dashboard.kit.drawings import About, Drawing, Line
from dashboard.pages.compare import comparison
from federation.fl.measures import residuals


@dataclass(frozen=True, slots=True)
class Measured:
    """A session's counts. number: its colour."""

    name: str
    number: int
    counts: Mapping[str, Any]
    known: About


@dataclass(frozen=True, slots=True)
class View:
    """draw: None where no session has the counts that it needs."""

    title: str
    draw: Callable[[str, Sequence[Measured]], Drawing | None]


def measured(line: comparison.Line, counts: Mapping[str, Any]) -> Measured:
    return Measured(line.session.name, line.number, counts, drawings.about(line.session))


def drawn(sessions: Sequence[Measured]) -> dict[str, Drawing]:
    """What can be drawn, by its key in the address."""
    found = {key: view.draw(view.title, sessions) for key, view in VIEWS.items()}
    return {key: drawing for key, drawing in found.items() if drawing is not None}


# ---- lines


def _lines(
    columns: str,
    rows: str,
    make: Callable[[Measured], Line | None],
    title: str,
    sessions: Sequence[Measured],
    *,
    diagonal: bool = False,
) -> Drawing | None:
    lines = [line for line in map(make, sessions) if line is not None]
    return (
        Drawing(drawings.lines_figure(title, (columns, rows), lines, diagonal=diagonal), "", lines) if lines else None
    )


def _roc(one: Measured) -> Line | None:
    curve = drawings.whole_curve(one.counts)
    return None if curve is None else drawings.roc_line(one.name, one.number, curve)


def _precision_recall(one: Measured) -> Line | None:
    curve = drawings.whole_curve(one.counts)
    return None if curve is None else drawings.precision_recall_line(one.name, one.number, curve)


def _calibration(one: Measured) -> Line | None:
    return drawings.calibration_line(one.counts, one.name, one.number)


def _residuals(title: str, sessions: Sequence[Measured]) -> Drawing | None:
    """Of all sessions in the same steps, although each counted in those of its own unit."""
    widest = max((one.known.unit for one in sessions if one.counts.get("residuals")), default=1.0)
    found = [drawings.residuals_line(one.counts, one.name, one.number, one.known.unit, widest) for one in sessions]
    lines = [line for line in found if line is not None]
    if not lines:
        return None
    step = 2 * residuals.LIMIT * widest / residuals.BINS
    axes = ("Predicted minus true", f"Share of examples in steps of {step:.4g}")
    said = "A session's outermost steps also hold what is beyond them."
    return Drawing(drawings.lines_figure(title, axes, lines, bounded=False), said, lines)


# ---- classes


def _each_class(of: str, title: str, sessions: Sequence[Measured]) -> Drawing | None:
    """A row a class, by its name: sessions may have the same classes in another order, or others."""
    found = [(one, _values(one, of)) for one in sessions]
    there = [(one, values) for one, values in found if values]
    if not there:
        return None
    names = list(dict.fromkeys(name for _, values in there for name in values))
    if is_sorted := len(names) > drawings.MOST_LINES:
        names.sort(key=partial(_lowest, [values for _, values in there]))
    series = [
        {"name": one.name, "colour": f"run-{one.number}", "x": [values.get(name) for name in names]}
        for one, values in there
    ]
    figure = {"kind": "dots", "title": title, "names": names, "series": series}
    lines = [Line(one.name, "", one.number, (), ()) for one, _ in there]
    return Drawing(figure, "The class with the lowest number comes first." if is_sorted else "", lines)


def _values(one: Measured, of: str) -> dict[str, float | None]:
    """By the name of the class; None where there is none to tell."""
    found = ((number, getattr(each, of)) for number, each in enumerate(drawings.classes_of(one.counts)))
    return {one.known.name(number): None if value is None else round(value, 4) for number, value in found}


def _lowest(each: Sequence[Mapping[str, float | None]], name: str) -> float:
    return min((value for values in each if (value := values.get(name)) is not None), default=2.0)  # unknown: last


VIEWS: Mapping[str, View] = {
    **{key: View(f"{title} of each class", partial(_each_class, key)) for key, title in drawings.OF_CLASS.items()},
    "roc": View("ROC curve", partial(_lines, "False alarms", "Recall", _roc, diagonal=True)),
    "precision_recall": View("Precision and recall", partial(_lines, "Recall", "Precision", _precision_recall)),
    "calibration": View("Calibration", partial(_lines, "Confidence", "Right", _calibration, diagonal=True)),
    "residuals": View("Residuals", _residuals),
}
