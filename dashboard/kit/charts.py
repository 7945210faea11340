"""Rows become figures. Colours are the browser's: a trace says in `meta` what it is, static/js/plot.js paints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federation.models import GlobalModel
from federation.services.models.choosing import METRICS, best
from federation.services.models.choosing import value as _value

Figure = dict[str, Any]
MOST_SPARK = 96  # points of a small line


def value(model: GlobalModel, name: str) -> float | None:
    """The central value, else the clients'."""
    central = _value(model, "metrics", name)
    return _value(model, "federated_metrics", name) if central is None else central


def global_figures(models: Sequence[GlobalModel]) -> dict[str, Figure]:
    """The global model by version: {'accuracy': figure, 'loss': figure}, of what was measured more than once."""
    ordered = sorted(models, key=lambda model: model.version)
    return {name: _global(ordered, name) for name in METRICS if _measured(ordered, name)}


def _measured(models: Sequence[GlobalModel], name: str) -> bool:
    return any(sum(_value(m, of, name) is not None for m in models) > 1 for of in ("metrics", "federated_metrics"))


def _global(models: Sequence[GlobalModel], name: str) -> Figure:
    traces = [
        _line(models, "federated_metrics", name, meta="federated", dash="4px,3px", width=1.25),
        _line(models, "metrics", name, meta="central", dash="solid", width=1.75),
    ]
    data = [trace for trace in traces if len(trace["x"]) > 1]
    top = data[-1]
    mark = _best(models, top, name)
    data.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [top["x"][mark]],
            "y": [top["y"][mark]],
            "text": [f"{top['y'][mark]:.3f}"],
            "textposition": "top center" if name == "accuracy" else "bottom center",
            "hoverinfo": "skip",
            "cliponaxis": False,
            "marker": {"symbol": "star", "size": 11},
            "meta": "best",
        }
    )
    last = max(trace["x"][-1] for trace in data)
    layout = {
        "xaxis": {
            "tickformat": "d",
            "tick0": 0,
            "dtick": max(1, -(-last // 8)),
            "range": [-0.2, max(1, last) + 0.2],
            "title": {"text": "version"},
        },
        "yaxis": {"nticks": 4, "tickformat": ".2f" if name == "accuracy" else "~g"},
    }
    return {"data": data, "layout": layout}


def _best(models: Sequence[GlobalModel], line: Figure, name: str) -> int:
    """Which point of a line is the best: where several are, the session's best model if it is among them."""
    highest = METRICS[name](line["y"])
    alike = [n for n, found in enumerate(line["y"]) if found == highest]
    model = best([model for model in models if model.version])
    chosen = [n for n in alike if model is not None and line["x"][n] == model.version]
    return (chosen or alike)[-1]


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


def losses(models: Sequence[GlobalModel]) -> list[float]:
    """The loss by version: the central one where there is one, else the clients'."""
    ordered = sorted(models, key=lambda model: model.version)
    for of in ("metrics", "federated_metrics"):
        found = [loss for model in ordered if (loss := _value(model, of, "loss")) is not None]
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
