"""The curves that learning.py kept as SVG files, one for each way to split the data.

    .venv/bin/python benchmarks/learning_picture.py KEPT [--data digits] [--out docs/images]

KEPT is the file of learning.py's `--kept`. A line is the mean of a strategy's seeds, over the rounds that all of them
have. The files follow the reader's light or dark scheme.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Curves = Mapping[str, Sequence[float]]  # by strategy: the accuracy after each round

WIDTH, HEIGHT, LEFT, TOP, LABELS, BELOW = 190, 260, 44, 44, 132, 40  # of a panel, and its margins
LOW, HIGH, STEP = 0.5, 1.0, 0.1  # of the accuracies that are drawn
APART = 14  # between two names
BESIDE = "fedavg"  # in every panel
PANELS: Mapping[str, Sequence[str]] = {
    "Means and server optimizers": ("fedavgm", "fedexp", "fedadagrad", "fedadam", "fedyogi", "qfedavg"),
    "At the clients": ("fedprox", "fednova", "scaffold", "feddyn"),
    "Robust rules, nobody lies": (
        *("centered_clipping", "norm_clipping", "geometric_median", "trimmed_mean"),
        *("multi_krum", "bulyan", "fedmedian", "krum"),
    ),
}
NAMES = {"dirichlet:0.1": "dirichlet", "shards:2": "two-classes"}  # of files, where a split's own is none
LIGHT = ("#0b62b0", "#b0300b", "#23722c", "#7a3fb0", "#875200", "#0a7780", "#b0267a", "#5d6b00")
DARK = ("#6db3f2", "#ff8a66", "#6fcf7c", "#c39bf0", "#e0a84c", "#4fd0d8", "#f48bc8", "#c3d24a")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kept", type=Path, metavar="KEPT")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    for split, curves in read(args.kept.read_text(), args.data).items():
        path = args.out / f"{args.data}-{NAMES.get(split, split)}.svg"
        path.write_text(svg(curves))
        print(path)


def read(lines: str, data: str) -> dict[str, dict[str, list[float]]]:
    """Each strategy's mean curve, by split."""
    found: dict[str, dict[str, list[Sequence[float]]]] = {}
    for one in map(json.loads, lines.splitlines()):
        trial: Mapping[str, Any] = one["trial"]
        if trial["data"] == data:
            found.setdefault(trial["split"], {}).setdefault(trial["strategy"], []).append(one["told"]["accuracy"])
    return {split: {name: mean(curves) for name, curves in mine.items()} for split, mine in found.items()}


def mean(curves: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(values) for values in zip(*curves, strict=False)]


@dataclass(frozen=True, slots=True)
class Panel:
    """Where a round and an accuracy are. rounds: the last one."""

    left: int
    rounds: int

    def x(self, number: float) -> float:
        return self.left + LEFT + WIDTH * (number - 1) / max(1, self.rounds - 1)

    def y(self, accuracy: float) -> float:
        return TOP + HEIGHT * (HIGH - accuracy) / (HIGH - LOW)


def svg(curves: Curves) -> str:
    shown = {title: [name for name in names if name in curves] for title, names in PANELS.items()}
    shown = {title: names for title, names in shown.items() if names}
    each = LEFT + WIDTH + LABELS
    width, height = each * len(shown), TOP + HEIGHT + BELOW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    page = f'<style>{style()}</style><rect class="page" width="{width}" height="{height}"/>'
    clip = "".join(
        f'<clipPath id="c{place}"><rect x="{place * each + LEFT}" y="{TOP - 2}" width="{WIDTH}" '
        f'height="{HEIGHT + 4}"/></clipPath>'
        for place in range(len(shown))
    )
    drawn = [
        line
        for place, (title, names) in enumerate(shown.items())
        for line in panel(place, title, {name: curves[name] for name in (BESIDE, *names) if name in curves})
    ]
    return "\n".join([head, "<title>Accuracy on the test set by round</title>", page, clip, *drawn, "</svg>\n"])


def style() -> str:
    def colours(chosen: Sequence[str]) -> str:
        return " ".join(f".s{number} {{ --own: {colour}; }}" for number, colour in enumerate(chosen, 1))

    return f"""
svg {{ --text: #465061; --head: #1d2433; --page: #fff; --grid: #e4e7ec; }}
{colours(LIGHT)}
@media (prefers-color-scheme: dark) {{
svg {{ --text: #b4bdcb; --head: #e8ebf0; --page: #151a23; --grid: #2b3342; }}
{colours(DARK)}
}}
.s0 {{ --own: var(--text); }}
text {{ font: 12px system-ui, sans-serif; fill: var(--text); }}
.head {{ font-size: 13px; font-weight: 600; fill: var(--head); }}
.page {{ fill: var(--page); }}
.grid {{ stroke: var(--grid); }}
polyline {{ fill: none; stroke: var(--own); stroke-width: 1.6; }}
polyline.s0 {{ stroke-dasharray: 4 3; }}
.name {{ fill: var(--own); }}
.lead {{ stroke: var(--own); stroke-width: 0.7; }}
"""


def panel(place: int, title: str, curves: Curves) -> Iterator[str]:
    at = Panel(place * (LEFT + WIDTH + LABELS), max(len(curve) for curve in curves.values()))
    first, last = at.x(1), at.x(at.rounds)
    yield f'<text class="head" x="{first:g}" y="20">{title}</text>'
    for number in range(round((HIGH - LOW) / STEP) + 1):
        accuracy = HIGH - number * STEP
        y = at.y(accuracy)
        yield f'<line class="grid" x1="{first:g}" x2="{last:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{first - 6:g}" y="{y + 4:.1f}" text-anchor="end">{accuracy:.0%}</text>'
    for number in (1, *range(5, at.rounds + 1, 5)):
        yield f'<text x="{at.x(number):.1f}" y="{TOP + HEIGHT + 17}" text-anchor="middle">{number}</text>'
    yield f'<text x="{(first + last) / 2:.1f}" y="{TOP + HEIGHT + 34}" text-anchor="middle">rounds</text>'
    ends = spread({name: at.y(max(curve[-1], LOW)) for name, curve in curves.items()})
    for number, (name, curve) in enumerate(curves.items()):
        own = 0 if name == BESIDE else number
        points = " ".join(f"{at.x(k):.1f},{at.y(value):.1f}" for k, value in enumerate(curve, 1))
        yield f'<g clip-path="url(#c{place})"><polyline class="s{own}" points="{points}"/></g>'
        end = at.y(max(curve[-1], LOW))
        yield f'<line class="s{own} lead" x1="{last:g}" y1="{end:.1f}" x2="{last + 8:g}" y2="{ends[name]:.1f}"/>'
        yield f'<text class="s{own} name" x="{last + 11:g}" y="{ends[name] + 4:.1f}">{name}</text>'


def spread(wanted: Mapping[str, float]) -> dict[str, float]:
    """Where names stand: near what they want, in its order, none on another, and none below the panel."""
    order = sorted(wanted, key=lambda name: wanted[name])
    found: dict[str, float] = {}
    lowest = TOP + HEIGHT - APART * (len(order) - 1)
    at = float("-inf")
    for place, name in enumerate(order):
        at = max(at + APART, min(wanted[name], lowest + APART * place))
        found[name] = at
    return found


if __name__ == "__main__":
    main()
