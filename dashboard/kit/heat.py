"""A table by client whose cells are coloured by how large their numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils.safestring import SafeString

from federation.models import Client

MOST_CLIENTS = 30  # rows
LEVELS = 8  # colours, h0 to h7


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    title: str
    level: int

    @property
    def shade(self) -> str:
        return f"h{self.level}"


@dataclass(slots=True)
class HeatRow:
    """counts_another: its client counted the labels of another workload than the session's."""

    client: Client
    cells: list[Cell | None] = field(default_factory=list)
    counts_another: bool = False


@dataclass(slots=True)
class Heat:
    """is_ahead: of clients that could be asked, before any was. is_uncounted: nobody can have counted it so far."""

    heads: Sequence[str]
    rows: list[HeatRow]
    hidden: int = 0
    foot: SafeString | str = ""
    is_ahead: bool = False
    is_uncounted: bool = False

    @property
    def is_empty(self) -> bool:
        return not any(row.cells for row in self.rows)

    @property
    def some_do_not_share(self) -> bool:
        return any(not row.cells and not row.counts_another for row in self.rows)

    @property
    def columns(self) -> int:
        return len(self.heads)


def level(share: float) -> int:
    """A colour for 0 to 1; only what is nothing gets the first one."""
    return 0 if share <= 0 else max(1, min(LEVELS - 1, round(share * (LEVELS - 1))))
