"""Pictures that are computed from counts: each class's numbers, ROC, precision and recall, calibration, residuals.

The counts are those that `federation/fl/measures/counted.py` makes, of one site or added over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.kit import formats
from federation.fl.measures import by_class, calibration, residuals, scores
from federation.fl.measures.by_class import OfClass
from federation.fl.measures.scores import Curves
from federation.fl.options import Option
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.site_files import names_of
from federation.models import TrainingSession

MOST_LINES = 8  # colours that can be told apart
WORST_LINES = 4  # of more classes than that, beside the line of all together
POOLED = "all classes together"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a picture. colour: its number in the palette, from 1. told: a number beside the name."""

    name: str
    told: str
    colour: int
    x: Sequence[float]
    y: Sequence[float]
    sizes: Sequence[float] = ()  # of points, from 0 to 1; none: a line without points

    def as_json(self) -> dict[str, Any]:
        x, y = ([float(f"{one:.6g}") for one in values] for values in (self.x, self.y))
        return {"name": self.name, "colour": f"run-{self.colour}", "x": x, "y": y, "sizes": list(self.sizes)}


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn of some counts. figure: what static/js/counts.js draws. finding: what one sees, in words."""

    figure: Mapping[str, Any]
    finding: str
    lines: Sequence[Line] = ()


@dataclass(frozen=True, slots=True)
class About:
    """What is known beside the counts. names: of the classes, in order; empty if unknown. unit: of residuals."""

    names: Sequence[str] = ()
    unit: float = 1.0

    def name(self, number: int) -> str:
        return self.names[number] if number < len(self.names) else str(number)


@dataclass(frozen=True, slots=True)
class View:
    """A picture that can be chosen. key: in the address. of: the counts that it needs."""

    key: str
    of: str
    title: str
    draw: Callable[[Mapping[str, Any], About], Drawing | None]


def about(session: TrainingSession) -> About:
    """What a session's workload and options say of classes and units."""
    workload = WORKLOADS.get(session.workload)
    options: Sequence[Option] = getattr(workload, "options", ())
    chosen = {one.name: one.default for one in options} | dict(session.workload_options)
    classes = chosen.get("classes")
    names = names_of(classes) if isinstance(classes, str) else getattr(workload, "label_names", ())
    scale = chosen.get("target_scale")
    return About(tuple(names), float(scale) if isinstance(scale, int | float) and scale > 0 else 1.0)


# ---- each class


def _by_class(counts: Mapping[str, Any], known: About) -> Drawing | None:
    found = classes_of(counts)
    if not found:
        return None
    order = list(range(len(found)))
    if len(found) > MOST_LINES:
        order.sort(key=lambda number: (found[number].f1 is None, found[number].f1 or 0.0, number))
    series = [
        {"name": title, "colour": f"run-{colour}", "x": [_rounded(getattr(found[number], name)) for number in order]}
        for colour, (name, title) in enumerate(OF_CLASS.items(), start=1)
    ]
    figure = {
        "kind": "dots",
        "title": "Each class",
        "names": [known.name(number) for number in order],
        "examples": [found[number].there for number in order],
        "series": series,
    }
    lines = [Line(title, "", colour, (), ()) for colour, title in enumerate(OF_CLASS.values(), start=1)]
    return Drawing(figure, _of_worst(found, known), lines)


OF_CLASS = {"precision": "Precision", "recall": "Recall", "f1": "F1"}


def classes_of(counts: Mapping[str, Any]) -> list[OfClass]:
    """From a confusion matrix, or from the scores of several labels."""
    if is_square(counts.get("confusion")):
        return by_class.of_confusion(counts["confusion"])
    return by_class.of_scores(counts["scores"]) if _are_scores(counts.get("scores")) else []


def _of_worst(found: Sequence[OfClass], known: About) -> str:
    there = [(one.f1, number) for number, one in enumerate(found) if one.f1 is not None]
    average = by_class.mean([one.f1 for one in found])
    if average is None:
        return "There is no example."
    lowest, number = min(there)
    missing = sum(not one.there for one in found)
    said = (
        f"F1 is {formats.metric(average)} on average; the lowest is {formats.metric(lowest)}, of {known.name(number)}."
    )
    without = f" {formats.count(missing, 'class', 'classes')} without an example."
    sorted_ = " The lowest F1 comes first." if len(found) > MOST_LINES else ""
    return said + (without if missing else "") + sorted_


# ---- scores


def curves_of(counts: Mapping[str, Any], known: About) -> list[tuple[str, Curves]]:
    """Of each class, or of all together and the worst ones: with the name, the worst first."""
    histograms: Any = counts.get("scores")
    if not _are_scores(histograms):
        return []
    named = [(known.name(number), scores.curves(one)) for number, one in enumerate(histograms)]
    if len(histograms) == 1:
        named = [(POOLED, scores.curves(histograms[0]))]
    elif len(histograms) == 2 and is_square(counts.get("confusion")):
        named = named[1:]  # the other class has the same curve, seen from the other side
    there = [(name, curve) for name, curve in named if curve is not None]
    if len(there) <= MOST_LINES:
        return there
    worst = sorted(there, key=lambda one: one[1].area)[:WORST_LINES]
    together = scores.curves(scores.pooled(histograms))
    return [(POOLED, together), *worst] if together is not None else worst


def each_curve(counts: Mapping[str, Any]) -> list[Curves]:
    """Of each class that has examples and others."""
    histograms: Any = counts.get("scores")
    if not _are_scores(histograms):
        return []
    return [one for one in map(scores.curves, histograms) if one is not None]


def whole_curve(counts: Mapping[str, Any]) -> Curves | None:
    """One for all classes: of two the second one's, of more that of all together."""
    histograms: Any = counts.get("scores")
    if not _are_scores(histograms):
        return None
    is_binary = len(histograms) == 2 and is_square(counts.get("confusion"))
    return scores.curves(histograms[1] if is_binary else scores.pooled(histograms))


def roc_line(name: str, colour: int, curve: Curves) -> Line:
    return Line(name, f"AUC {formats.metric(curve.area)}", colour, curve.false_alarms.tolist(), curve.recall.tolist())


def precision_recall_line(name: str, colour: int, curve: Curves) -> Line:
    told = f"average precision {formats.metric(curve.average_precision)}"
    return Line(name, told, colour, curve.recall.tolist(), curve.precision.tolist())


def _roc(counts: Mapping[str, Any], known: About) -> Drawing | None:
    lines = [roc_line(name, number, one) for number, (name, one) in enumerate(curves_of(counts, known), start=1)]
    return _drawn("ROC curve", ("False alarms", "Recall"), lines, counts, diagonal=True)


def _precision_recall(counts: Mapping[str, Any], known: About) -> Drawing | None:
    lines = [
        precision_recall_line(name, number, one) for number, (name, one) in enumerate(curves_of(counts, known), start=1)
    ]
    return _drawn("Precision and recall", ("Recall", "Precision"), lines, counts, diagonal=False)


def _drawn(
    title: str, axes: tuple[str, str], lines: Sequence[Line], counts: Mapping[str, Any], *, diagonal: bool
) -> Drawing | None:
    if not lines:
        return None
    shown = formats.listed([f"{line.name} {line.told}" for line in lines])
    few = len(counts["scores"]) > MOST_LINES
    said = f"{formats.capital(shown) if lines[0].name == POOLED else shown}. "  # names of classes stay as they are
    said += f"The {WORST_LINES} classes with the smallest area are drawn. " if few else ""
    return Drawing(lines_figure(title, axes, lines, diagonal=diagonal), said.strip(), lines)


def lines_figure(
    title: str, axes: tuple[str, str], lines: Sequence[Line], *, diagonal: bool = False, bounded: bool = True
) -> dict[str, Any]:
    """bounded: lines are within the unit square, which is drawn whole."""
    return {
        "kind": "lines",
        "title": title,
        "columns": axes[0],
        "rows": axes[1],
        "diagonal": diagonal,
        "bounded": bounded,
        "series": [line.as_json() for line in lines],
    }


def _calibration(counts: Mapping[str, Any], known: About) -> Drawing | None:
    line = calibration_line(counts, "confidence", 1)
    if line is None:
        return None
    figure = lines_figure("Calibration", ("Confidence", "Right"), [line], diagonal=True)
    off = calibration.error(counts["calibration"])
    said = f"Confidence and the share that is right are {formats.share(off or 0.0)} apart on average."
    return Drawing(figure, f"{said} Below the diagonal the model is too sure of itself.", [])


def calibration_line(counts: Mapping[str, Any], name: str, colour: int) -> Line | None:
    """None without examples."""
    bins: Any = counts.get("calibration")
    points = calibration.points(bins) if _is_table(bins, 3) else []
    if not points:
        return None
    most = max(count for _, _, count in points)
    told = f"off by {formats.share(calibration.error(bins) or 0.0)}"
    x, y = [one for one, _, _ in points], [one for _, one, _ in points]
    return Line(name, told, colour, x, y, [round((count / most) ** 0.5, 3) for _, _, count in points])


# ---- numbers


def _residuals(counts: Mapping[str, Any], known: About) -> Drawing | None:
    bins: Any = counts.get("residuals")
    if not _is_row(bins) or not bins:
        return None
    beyond = bins[0] + bins[-1]
    found = sums_of(counts)
    said = _of_sums(found, known.unit) if found else f"{formats.number(sum(bins))} in all."
    said += f" The outer bars, which also hold what is beyond, have {formats.number(beyond)}." if beyond else ""
    figure = {
        "kind": "bars",
        "title": "Residuals",
        "counts": bins,
        "rows": "Examples",
        "columns": "Predicted minus true",
        "by_row": False,
        "x": [float(f"{one:.6g}") for one in _middles(len(bins), known.unit)],
    }
    return Drawing(figure, said)


def _middles(bins: int, unit: float) -> list[float]:
    """Of bins of residuals, in the target's own unit."""
    width = 2 * residuals.LIMIT * unit / bins
    return [(number + 0.5) * width - residuals.LIMIT * unit for number in range(bins)]


def residuals_line(counts: Mapping[str, Any], name: str, colour: int, unit: float, widest: float) -> Line | None:
    """The share of examples in each bin, as if the unit were the widest of several. None without examples.

    Within one of its own bins, examples are taken to lie evenly.
    """
    bins: Any = counts.get("residuals")
    if not _is_row(bins) or not sum(bins):
        return None
    own = np.linspace(-residuals.LIMIT * unit, residuals.LIMIT * unit, len(bins) + 1)
    edges = np.linspace(-residuals.LIMIT * widest, residuals.LIMIT * widest, residuals.BINS + 1)
    shares = np.diff(np.interp(edges, own, np.cumsum([0, *bins]) / sum(bins)))
    found = sums_of(counts)
    told = f"off by {formats.metric(found.mean_absolute * unit)} on average" if found else ""
    return Line(name, told, colour, _middles(residuals.BINS, widest), shares.tolist())


def sums_of(counts: Mapping[str, Any]) -> residuals.Sums | None:
    found: Any = counts.get("sums")
    return residuals.read(found) if _is_row(found) else None


def _of_sums(found: residuals.Sums, unit: float) -> str:
    errors = [
        f"mean absolute error {formats.metric(found.mean_absolute * unit)}",
        f"root mean square error {formats.metric(found.root_mean_square * unit)}",
        f"bias {formats.metric(found.bias * unit)}",
    ]
    if found.determination is not None:
        errors.insert(0, f"R² {formats.metric(found.determination)}")
    return f"{formats.capital(formats.listed(errors))}."


VIEWS = (
    View("by_class", "confusion", "Each class", _by_class),
    View("by_label", "scores", "Each label", _by_class),
    View("roc", "scores", "ROC curve", _roc),
    View("precision_recall", "scores", "Precision and recall", _precision_recall),
    View("calibration", "calibration", "Calibration", _calibration),
    View("residuals", "residuals", "Residuals", _residuals),
)
HIDDEN = frozenset(("scores", "calibration", "residuals", "sums"))  # counts that are shown by views alone


def offered(names: Sequence[str]) -> list[View]:
    """The views that the counts of these names allow."""
    return [view for view in VIEWS if view.of in names and not (view.key == "by_label" and "confusion" in names)]


# ---- shapes


def is_square(counts: object) -> bool:
    return isinstance(counts, list) and bool(counts) and _is_table(counts, len(counts))


def _is_row(counts: object) -> bool:
    return isinstance(counts, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in counts)


def _is_table(counts: object, columns: int) -> bool:
    return isinstance(counts, list) and all(_is_row(row) and len(row) == columns for row in counts)


def _are_scores(counts: object) -> bool:
    """[class][two][bins], with the same even number of bins everywhere."""
    if not isinstance(counts, list) or not counts:
        return False
    first = counts[0][0] if isinstance(counts[0], list) and counts[0] else None
    bins = len(first) if isinstance(first, list) else 0
    return bins > 1 and all(isinstance(one, list) and len(one) == 2 and _is_table(one, bins) for one in counts)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
