"""Where a model came from, as a drawing."""

from __future__ import annotations

from dataclasses import dataclass, field

from dashboard.kit import results
from federation.lifecycle import WorkKind
from federation.models import GlobalModel
from federation.services.models import choosing

GENERATIONS = 5  # of one session that the lineage shows beside the model
MOST_DESCENDANTS = 12
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 152, 40, 28, 22


@dataclass(slots=True)
class Box:
    """A model in the drawing. `row` is its session's, `column` grows with the version."""

    model: GlobalModel
    row: int
    column: int
    is_here: bool

    @property
    def x(self) -> int:
        return self.column * (BOX_WIDTH + GAP_X)

    @property
    def y(self) -> int:
        return self.row * (BOX_HEIGHT + GAP_Y) + 2

    @property
    def text_x(self) -> int:
        return self.x + 10

    @property
    def value(self) -> float | None:
        """Of the leading measure of its session."""
        return results.leading(self.model, choosing.ordered(self.model.session))[1]


@dataclass(slots=True)
class Edge:
    path: str
    is_across: bool  # from one session to another
    skipped: int = 0  # models between, which are left out


@dataclass(slots=True)
class Lineage:
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    more: int = 0  # descendants that are left out
    box_width = BOX_WIDTH
    box_height = BOX_HEIGHT

    @property
    def width(self) -> int:
        return max((box.x for box in self.boxes), default=0) + BOX_WIDTH + 4

    @property
    def height(self) -> int:
        return max((box.y for box in self.boxes), default=0) + BOX_HEIGHT + 4


def of(model: GlobalModel) -> Lineage:
    """Where a model came from, through the sessions that it went on from, and what went on from it."""
    chain = _ancestors(model)
    drawn = Lineage()
    rows: dict[int, int] = {}
    for column, one in enumerate(chain):
        rows.setdefault(one.session_id, len(rows))
        drawn.boxes.append(Box(one, rows[one.session_id], column, one.pk == model.pk))
    for before, after in zip(drawn.boxes, drawn.boxes[1:], strict=False):
        drawn.edges.append(_edge(before, after))
    _add_children(drawn, model, len(chain), len(rows))
    return drawn


def _ancestors(model: GlobalModel) -> list[GlobalModel]:
    """From the oldest that is shown to the model itself: of each session its first, its last and those near."""
    kept: list[GlobalModel] = []
    at: GlobalModel | None = model
    seen: set[int] = set()
    while at is not None and at.session_id not in seen and len(kept) < 40:
        seen.add(at.session_id)
        rows = GlobalModel.objects.filter(session=at.session_id, version__lte=at.version).select_related("session")
        newest = list(rows.prefetch_related("tags").order_by("-version")[:GENERATIONS])
        first = rows.prefetch_related("tags").order_by("version").first()
        kept += newest
        if first is not None and first not in newest:
            kept.append(first)
        parent_id = kept[-1].parent_id
        at = GlobalModel.objects.filter(pk=parent_id).first() if parent_id else None
    return kept[::-1]


def _add_children(drawn: Lineage, model: GlobalModel, column: int, row: int) -> None:
    here = drawn.boxes[-1]
    trained = GlobalModel.objects.filter(parent=model, session__kind=WorkKind.TRAIN)
    children = trained.select_related("session").prefetch_related("tags")
    own = [child for child in children if child.session_id == model.session_id]
    others = [child for child in children if child.session_id != model.session_id]
    for child in own[:1]:
        box = Box(child, here.row, column, False)
        drawn.boxes.append(box)
        drawn.edges.append(_edge(here, box))
    for offset, child in enumerate(others[:MOST_DESCENDANTS]):
        box = Box(child, row + offset, column, False)
        drawn.boxes.append(box)
        drawn.edges.append(_edge(here, box))
    drawn.more = max(0, len(others) - MOST_DESCENDANTS)


def _edge(before: Box, after: Box) -> Edge:
    x1, y1 = before.x + BOX_WIDTH, before.y + BOX_HEIGHT // 2
    x2, y2 = after.x, after.y + BOX_HEIGHT // 2
    middle = (x1 + x2) // 2
    across = before.model.session_id != after.model.session_id
    skipped = 0 if across else max(0, after.model.version - before.model.version - 1)
    return Edge(f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}", across, skipped)
