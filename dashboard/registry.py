"""Models over all sessions: found, sorted, compared, and where each came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce

from dashboard.kit import charts
from dashboard.kit.measured import Measured
from federation import parsing, storage
from federation.fl.strategies.strategy import discount
from federation.models import GlobalModel, Participation
from federation.services.models import building, choosing

SORTS = {"new": "Newest", "accuracy": "Accuracy", "loss": "Loss", "size": "Size"}
ORDER = {
    "new": (F("created_at").desc(), F("pk").desc()),
    "accuracy": (F("accuracy").desc(nulls_last=True), F("measured_loss").asc(nulls_last=True), F("pk").desc()),
    "loss": (F("measured_loss").asc(nulls_last=True), F("pk").desc()),
    "size": (F("num_bytes").desc(), F("pk").desc()),
}
GENERATIONS = 5  # of one session that the lineage shows beside the model
MOST_DESCENDANTS = 12
BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 152, 40, 28, 22


def found(*, query: str = "", workload: str = "", tag: str = "", sort: str = "new") -> QuerySet[GlobalModel]:
    """Models that fit, each with `accuracy` and `measured_loss`: the central value, else the clients'."""
    rows = GlobalModel.objects.select_related("session").prefetch_related("tags").defer("slots_digest")
    if query:
        rows = rows.filter(session__name__icontains=query) | rows.filter(digest__startswith=query.lower())
    if workload:
        rows = rows.filter(session__workload=workload)
    if tag:
        rows = rows.filter(tags__name=tag)
    measured = {
        name: Coalesce(Measured("metrics", key), Measured("federated_metrics", key)) for name, key in KEYS.items()
    }
    return rows.annotate(**measured).order_by(*ORDER.get(sort, ORDER["new"]))


KEYS = {"accuracy": "accuracy", "measured_loss": "loss"}


def best(workload: str) -> dict[str, GlobalModel]:
    """The best of a workload by each measure, of what was trained."""
    tops = {name: found(workload=workload, sort=name).filter(version__gt=0).first() for name in choosing.METRICS}
    return {name: model for name, model in tops.items() if model is not None and charts.value(model, name) is not None}


# ---- one model


@dataclass(slots=True)
class Ingredient:
    """An update that went into a model, and its share by examples, discounted where it was late."""

    seat: Participation
    share: float

    @property
    def late(self) -> bool:
        return self.seat.counted_in_id is not None


def ingredients(model: GlobalModel) -> list[Ingredient]:
    seats = list(building.counted(model.round)) if model.round else []
    counts = discount(np.array([seat.staleness for seat in seats])) * [max(0, seat.weight) for seat in seats]
    shares = (counts / (counts.sum() or 1)).tolist()
    return [Ingredient(seat, share) for seat, share in zip(seats, shares, strict=True)]


def retention() -> str:
    """Which files stay, in a sentence."""
    policy, _, every = settings.FL_KEEP_MODELS.partition("_")
    if policy == "all":
        return "Every file is kept."
    which = f"every {every}th" if policy == "every" else "the best and the last"
    return (
        f"Of a session, the files of the last {settings.FL_KEEP_UPDATES} rounds and {which} are kept, and tagged ones."
    )


def is_stored(model: GlobalModel) -> bool:
    return storage.exists(model.digest)


# ---- lineage


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
    def accuracy(self) -> float | None:
        return charts.value(self.model, "accuracy")


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


def lineage(model: GlobalModel) -> Lineage:
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
    children = GlobalModel.objects.filter(parent=model).select_related("session").prefetch_related("tags")
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


# ---- two beside each other


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    values: Sequence[float | None]

    @property
    def change(self) -> float | None:
        first, second = self.values
        return None if first is None or second is None else second - first

    @property
    def is_better(self) -> bool | None:
        """Whether the second is better; None where it is not known which way is better."""
        known = next((name for name in choosing.METRICS if self.name.startswith(name)), None)
        if known is None or not self.change:
            return None
        return (self.change > 0) == (choosing.METRICS[known] is max)


def measures(models: Sequence[GlobalModel]) -> list[Measure]:
    """Everything that was measured of any of two models."""
    given: list[Mapping[str, Any]] = [
        {
            **{f"{k}, by the clients": v for k, v in choosing.measured(m, "federated_metrics").items()},
            **choosing.measured(m, "metrics"),
        }
        for m in models
    ]
    names = sorted({name for one in given for name in one})
    return [Measure(name, [parsing.number(one.get(name)) for one in given]) for name in names]
