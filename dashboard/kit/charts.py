"""Rows become figures. Colours are the browser's: a trace says in `meta` what it is, static/js/plot.js paints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federation.fl import measures
from federation.fl.measures import Direction, Measure
from federation.models import GlobalModel
from federation.services.models.choosing import USUAL, best
from federation.services.models.choosing import measured as _measured
from federation.services.models.choosing import value as _value

Figure = dict[str, Any]
MOST_SPARK = 96  # points of a small line
MOST_FIGURES = 40  # of one session
MOST_DRAWN = 120_000  # points of all figures
OF = ("metrics", "federated_metrics")  # the server's numbers, and the clients'


def value(model: GlobalModel, name: str) -> float | None:
    """The central value, else the clients'."""
    central = _value(model, "metrics", name)
    return _value(model, "federated_metrics", name) if central is None else central


def global_figures(models: Sequence[GlobalModel], by: Sequence[Measure] = USUAL) -> dict[str, Figure]:
    """The global model by version: a figure for each measure with a direction, those of `by` first."""
    ordered = sorted(models, key=lambda model: model.version)
    most = max(1, min(MOST_FIGURES, MOST_DRAWN // max(1, len(ordered))))
    known = [measure for measure in measured(ordered, by) if measure.direction != Direction.NONE]
    drawn = [measure for measure in known if _often(ordered, measure)][:most]
    return {measure.name: _global(ordered, measure, by) for measure in drawn}


def measured(models: Sequence[GlobalModel], by: Sequence[Measure] = USUAL) -> list[Measure]:
    """Every measure of which some model has a number: those of `by` first, the others by name."""
    names = {name for model in models for of in OF for name in _measured(model, of)}
    known = [one for one in by if one.name in names]
    rest = sorted(names - {one.name for one in known})
    return known + [measures.of(name) for name in rest]


def _often(models: Sequence[GlobalModel], measure: Measure) -> bool:
    return any(sum(_value(model, of, measure.name) is not None for model in models) > 1 for of in OF)


def _global(models: Sequence[GlobalModel], measure: Measure, by: Sequence[Measure]) -> Figure:
    name = measure.name
    traces = [
        _line(models, "federated_metrics", name, meta="federated", dash="4px,3px", width=1.25),
        _line(models, "metrics", name, meta="central", dash="solid", width=1.75),
    ]
    data = [trace for trace in traces if len(trace["x"]) > 1]
    data.append(_star(models, data[-1], measure, by))
    last = max(trace["x"][-1] for trace in data)
    shares = all(0 <= value <= 1 for trace in data for value in trace["y"]) and measure.direction == Direction.MAX
    layout = {
        "xaxis": {
            "tickformat": "d",
            "tick0": 0,
            "dtick": max(1, -(-last // 8)),
            "range": [-0.2, max(1, last) + 0.2],
            "title": {"text": "version"},
        },
        "yaxis": {"nticks": 4, "tickformat": ".2f" if shares else "~g"},
    }
    return {"data": data, "layout": layout}


def _star(models: Sequence[GlobalModel], line: Figure, measure: Measure, by: Sequence[Measure]) -> Figure:
    """Marks the best point of a line: where several are, the session's best model if it is among them."""
    top = measure.best(line["y"])
    alike = [n for n, found in enumerate(line["y"]) if found == top]
    model = best([model for model in models if model.version], by)
    mark = ([n for n in alike if model is not None and line["x"][n] == model.version] or alike)[-1]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [line["x"][mark]],
        "y": [line["y"][mark]],
        "text": [f"{line['y'][mark]:.3f}"],
        "textposition": "top center" if measure.direction == Direction.MAX else "bottom center",
        "hoverinfo": "skip",
        "cliponaxis": False,
        "marker": {"symbol": "star", "size": 11},
        "meta": "best",
    }


def _line(models: Sequence[GlobalModel], of: str, name: str, *, meta: str, dash: str, width: float) -> Figure:
    points = [(model.version, found) for model in models if (found := _value(model, of, name)) is not None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [version for version, _ in points],
        "y": [measured for _, measured in points],
        "line": {"dash": dash, "width": width},
        "hovertemplate": f"v%{{x}}: %{{y:.4f}} {meta}<extra></extra>",
        "meta": meta,
    }


def by_version(models: Sequence[GlobalModel], by: Sequence[Measure] = USUAL) -> list[float]:
    """The numbers of the first measure that was taken more than once, by version: the server's, else the clients'."""
    ordered = sorted(models, key=lambda model: model.version)
    for measure in by:
        for of in OF:
            found = [number for model in ordered if (number := _value(model, of, measure.name)) is not None]
            if len(found) > 1:
                return found
    return []


def spark(values: Sequence[float], *, width: float = 96, height: float = 24) -> str:
    """The points of an SVG polyline; empty for fewer than two values. Of many, every n-th and the last are drawn."""
    if len(values) < 2:
        return ""
    stride = -(-len(values) // MOST_SPARK)
    values = [*values[:-1:stride], values[-1]]
    low, high = min(values), max(values)
    across, spread = width / (len(values) - 1), (high - low) or 1.0
    return " ".join(
        f"{i * across:.1f},{height - 2 - (value - low) / spread * (height - 4):.1f}" for i, value in enumerate(values)
    )
