"""The curves of papers.py as an SVG file, with the rounds that the paper needed.

    .venv/bin/python benchmarks/papers_picture.py LOG ... --out docs/images/papers.svg

LOG is what one or more runs of papers.py printed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, TOP = 400, 260, 52, 44  # of a panel, and its margins
LOW, HIGH, TARGET = 0.8, 1.0, 0.97  # of the accuracies that are drawn
TITLES = {"iid": "The same digits everywhere", "digits": "Two digits a client"}
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #465061; }
.head { font-size: 14px; font-weight: 600; fill: #1d2433; }
.page { fill: #fff; }
.grid { stroke: #e4e7ec; }
.target { stroke: #465061; stroke-dasharray: 2 3; }
.paper { stroke: #875200; stroke-dasharray: 6 3; }
.says { fill: #875200; }
polyline { fill: none; stroke-width: 1.5; }
.e1 { stroke: #0b62b0; }
.e5 { stroke: #b0300b; }
.t1 { fill: #0b62b0; }
.t5 { fill: #b0300b; }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """Where a round and an accuracy are. rounds: the end of the axis."""

    left: int
    rounds: int

    def x(self, number: float) -> float:
        return self.left + LEFT + WIDTH * number / self.rounds

    def y(self, accuracy: float) -> float:
        return TOP + HEIGHT * (HIGH - accuracy) / (HIGH - LOW)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    runs = [json.loads(line) for log in options.logs for line in log.read_text().splitlines() if line.startswith("{")]
    options.out.write_text(svg(runs))


def svg(runs: Sequence[dict[str, Any]]) -> str:
    """A panel for each way of dividing the data; a line for each run."""
    order = sorted(runs, key=lambda run: list(TITLES).index(run["data"]))
    panels = [list(group) for _, group in groupby(order, key=lambda run: run["data"])]
    width, height = len(panels) * (LEFT + WIDTH + 24), TOP + HEIGHT + 44
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    page = f'<style>{STYLE}</style><rect class="page" width="{width}" height="{height}"/>'
    drawn = [line for at, mine in enumerate(panels) for line in panel(mine, at * (LEFT + WIDTH + 24))]
    return "\n".join([head, "<title>Accuracy by round</title>", page, *drawn, "</svg>\n"])


def panel(runs: Sequence[dict[str, Any]], left: int) -> Iterator[str]:
    longest = max(max(len(run["curve"]) - 1, run["paper"] or 0) for run in runs)
    step = 20 if longest <= 120 else 200
    at = Panel(left, -(-longest // step) * step)
    ends = at.x(0), at.x(at.rounds)
    yield f'<text class="head" x="{ends[0]:g}" y="20">{TITLES[runs[0]["data"]]}</text>'
    for percent in range(80, 101, 5):
        y = at.y(percent / 100)
        yield f'<line class="grid" x1="{ends[0]:g}" x2="{ends[1]:g}" y1="{y:g}" y2="{y:g}"/>'
        yield f'<text x="{ends[0] - 8:g}" y="{y + 4:g}" text-anchor="end">{percent} %</text>'
    for number in range(0, at.rounds + 1, step):
        yield f'<text x="{at.x(number):g}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{number}</text>'
    yield f'<text x="{at.x(at.rounds / 2):g}" y="{TOP + HEIGHT + 36}" text-anchor="middle">rounds</text>'
    yield f'<line class="target" x1="{ends[0]:g}" x2="{ends[1]:g}" y1="{at.y(TARGET):g}" y2="{at.y(TARGET):g}"/>'
    for paper in {run["paper"] for run in runs if run["paper"]}:
        yield f'<line class="paper" x1="{at.x(paper):g}" x2="{at.x(paper):g}" y1="{TOP}" y2="{TOP + HEIGHT}"/>'
        yield (
            f'<text class="says" x="{at.x(paper) - 4:g}" y="{TOP + HEIGHT - 8}" text-anchor="end">'
            f"the paper, E = 1: {paper}</text>"
        )
    for run in runs:
        for is_shown, part in groupby(enumerate(run["curve"]), key=lambda one: one[1] >= LOW):
            points = " ".join(f"{at.x(number):.1f},{at.y(value):.1f}" for number, value in part)
            if is_shown:
                yield f'<polyline class="e{run["epochs"]}" points="{points}"/>'
    for row, epochs in enumerate(sorted({run["epochs"] for run in runs})):
        mine = [run["rounds"] for run in runs if run["epochs"] == epochs]
        said = ", ".join("not reached" if rounds is None else str(rounds) for rounds in mine)
        yield (
            f'<text class="t{epochs}" x="{at.x(at.rounds / 2):g}" y="{TOP + HEIGHT - 60 + 18 * row}" '
            f'text-anchor="middle">E = {epochs}: {said}</text>'
        )


if __name__ == "__main__":
    main()
