"""A picture of who has what: a row for each client, a column for each label, as an SVG file that any browser shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

MOST_ROWS, MOST_COLUMNS = 200, 100
FEW_ROWS, FEW_COLUMNS = 40, 20  # up to which each cell says its number
FULL = 0.75  # of the strongest colour; above it numbers have the page's colour
LEFT, TOP, BARS, GAP = 64, 96, 220, 24  # pixels
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1d2433; }
.head { font-size: 15px; font-weight: 600; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.empty { fill: #eceff4; }
.some, .bar { fill: #2f4fd0; }
.on { fill: #fff; }
.page { fill: #fff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e8f0; }
  .empty { fill: #232a37; }
  .some, .bar { fill: #7f97ff; }
  .on { fill: #10141c; }
  .page { fill: #12161e; }
}
"""


@dataclass(frozen=True, slots=True)
class Shares:
    """examples: of each client. counts: for each client, how many of its examples have each label.

    An example may have several labels.
    """

    title: str
    labels: Sequence[str]
    examples: Sequence[int]
    counts: Sequence[Sequence[int]]

    @property
    def most(self) -> int:
        """The highest of the counts."""
        return max((max(counts, default=0) for counts in self.counts), default=0)

    @property
    def hidden(self) -> str:
        """What is left out of the picture, in words; empty if nothing is."""
        rows, columns = len(self.examples) - MOST_ROWS, len(self.labels) - MOST_COLUMNS
        return " and ".join(filter(None, (_last(rows, "client"), _last(columns, "label"))))


def svg(shares: Shares) -> str:
    """A cell is the stronger, the more examples it stands for; the bars at the right are all examples of a client."""
    rows, columns = min(len(shares.examples), MOST_ROWS), min(len(shares.labels), MOST_COLUMNS)
    high, wide = (22 if rows <= FEW_ROWS else 8), (56 if columns <= FEW_COLUMNS else 9)
    bars, most = LEFT + columns * wide + GAP, shares.most
    width, height = max(bars + BARS + 80, 640), TOP + rows * high + 40
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img">',
            f"<title>{escape(shares.title)}</title><style>{STYLE}</style>",
            f'<rect class="page" width="{width}" height="{height}"/>',
            f'<text class="head" x="16" y="28">{escape(shares.title)}</text>',
            f'<text x="16" y="48">{escape(_legend(shares, most))}</text>',
            *_heads(shares.labels[:columns], wide),
            f'<text x="{bars}" y="{TOP - 8}">Examples of each client</text>',
            *(line for row in range(rows) for line in _row(shares, row, most, columns, high, wide, bars)),
            "</svg>",
        ]
    )


def _last(count: int, what: str) -> str:
    """So many of a list's end, in words; empty if there are none."""
    if count < 1:
        return ""
    return f"the last {what}" if count == 1 else f"the last {count:,} {what}s"


def _legend(shares: Shares, most: int) -> str:
    scale = f"A cell is the number of examples of a client with a label, from 0 (pale) to {most:,} (full). "
    return (scale if shares.labels else "") + (f"Not shown: {shares.hidden}." if shares.hidden else "")


def _heads(labels: Sequence[str], wide: int) -> Iterator[str]:
    """Names of labels where there is room for them."""
    if len(labels) > FEW_COLUMNS:
        yield f'<text x="{LEFT}" y="{TOP - 8}">Labels, from {escape(labels[0])} to {escape(labels[-1])}</text>'
        return
    for column, label in enumerate(labels):
        short = label if len(label) <= 8 else f"{label[:7]}…"
        middle = LEFT + (column + 0.5) * wide
        yield f'<text class="middle" x="{middle:g}" y="{TOP - 8}">{escape(short)}<title>{escape(label)}</title></text>'


def _row(shares: Shares, row: int, most: int, columns: int, high: int, wide: int, bars: int) -> Iterator[str]:
    top, base = TOP + row * high, TOP + row * high + (high + 8) / 2
    says = len(shares.examples) <= FEW_ROWS and columns <= FEW_COLUMNS
    every = 1 if len(shares.examples) <= FEW_ROWS else 10
    if row == 0 or (row + 1) % every == 0:
        yield f'<text class="end" x="{LEFT - 8}" y="{base:g}">{row + 1}</text>'
    for column in range(columns):
        count, left = shares.counts[row][column], LEFT + column * wide
        box = f'x="{left}" y="{top}" width="{wide - 1}" height="{high - 1}"'
        said = f"<title>Client {row + 1}, {escape(shares.labels[column])}: {count:,}</title>"
        yield f'<rect class="empty" {box}>{said}</rect>'
        if count:
            yield f'<rect class="some" {box} fill-opacity="{count / most:.3f}">{said}</rect>'
        if count and says:
            shade = " on" if count > FULL * most else ""
            yield f'<text class="middle{shade}" x="{left + wide / 2:g}" y="{base:g}">{count:,}</text>'
    length = BARS * shares.examples[row] / (max(shares.examples) or 1)
    yield f'<rect class="bar" x="{bars}" y="{top}" width="{length:.1f}" height="{high - 1}"/>'
    if len(shares.examples) <= FEW_ROWS:
        yield f'<text x="{bars + length + 6:.1f}" y="{base:g}">{shares.examples[row]:,}</text>'
