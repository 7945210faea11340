"""Counts that sites sent with an evaluation, as pictures: a matrix as a heat map, a row of numbers as bars.

Of counts that `drawings` knows, what follows from them: ROC, calibration and others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from dashboard.kit import drawings, formats
from dashboard.kit.drawings import Drawing
from dashboard.kit.evaluations import Evaluation, Site
from dashboard.kit.parameters import Parameters
from federation.fl import measures
from federation.fl.measures.combining import Counts, Why
from federation.models import Client
from federation.services.models import choosing

CONFUSION = "confusion"  # rows are labels, columns are predictions: what the agents' classifiers send
CONFUSION_TITLE = "Confusion matrix"
FEW_ROWS = 4  # of a matrix that needs little room
MOST_NAMES = 100  # of counts in one evaluation, as one result has at most


class Kind(StrEnum):
    """How counts are shown, by how deep they are nested."""

    NUMBER = "number"
    BARS = "bars"
    MATRIX = "matrix"
    LINES = "lines"  # within the unit square
    DOTS = "dots"  # numbers of each class
    NONE = "none"  # deeper, or of no regular shape


KINDS = {0: Kind.NUMBER, 1: Kind.BARS, 2: Kind.MATRIX}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which counts somebody wants to see. site: of which client; None for all sites together."""

    name: str = ""
    site: int | None = None


def asked(address: Parameters) -> Choice:
    return Choice(address.text("counts"), address.whole("site"))


@dataclass(frozen=True, slots=True)
class Picture:
    """The counts of one name: of all sites together, or of one (site).

    names: what can be chosen, as (name, title). sites: those that sent these counts. has_sum: they were added.
    finding: what the picture shows, in words. said: whose counts these are, and who sent none.
    drawing: what is drawn instead of the counts. labels: names of the classes of a matrix; empty if unknown.
    """

    name: str
    names: Sequence[tuple[str, str]]
    sites: Sequence[Client]
    site: Client | None
    has_sum: bool
    counts: Counts | None
    finding: str
    said: Sequence[str]
    drawing: Drawing | None = None
    labels: Sequence[str] = ()

    @property
    def title(self) -> str:
        return dict(self.names)[self.name]

    @property
    def kind(self) -> Kind:
        return Kind(self.drawing.figure["kind"]) if self.drawing else _kind(self.counts)

    @property
    def is_drawn(self) -> bool:
        return self.kind not in (Kind.NUMBER, Kind.NONE)

    @property
    def lines(self) -> Sequence[drawings.Line]:
        """Those that a legend names."""
        return self.drawing.lines if self.drawing else ()

    @property
    def has_few_rows(self) -> bool:
        return self.kind == Kind.MATRIX and isinstance(self.counts, list) and len(self.counts) <= FEW_ROWS

    @property
    def whose(self) -> str:
        return self.site.name if self.site else "all sites"

    @property
    def label(self) -> str:
        """For who does not see it."""
        return f"{self.title} of {self.whose}. {self.finding}"

    @property
    def figure(self) -> dict[str, Any]:
        """What static/js/counts.js draws."""
        if self.drawing:
            return dict(self.drawing.figure)
        is_confusion = _is_confusion(self.name, self.counts)
        rows, columns = ("Label", "Predicted") if is_confusion else ("Row", "Column")
        return {
            "kind": self.kind.value,
            "title": self.title,
            "counts": self.counts,
            "rows": rows,
            "columns": columns,
            "by_row": is_confusion,
            "names": list(self.labels) if is_confusion and isinstance(self.counts, list) else [],
        }

    @property
    def query(self) -> str:
        """What brings it back, beside what is usual."""
        usual = {"counts": self.name if self.name != self.names[0][0] else ""}
        usual |= {"site": str(self.site.pk) if self.site and self.has_sum else ""}
        return urlencode({name: value for name, value in usual.items() if value})


def of(evaluation: Evaluation | None, choice: Choice = Choice()) -> Picture | None:
    """The chosen counts of an evaluation, else the first ones. None where no site sent any."""
    reported = [site for site in evaluation.sites if site.seat.is_accepted] if evaluation else []
    sent = sorted({name for site in reported for name in _sent(site)})[:MOST_NAMES]
    if evaluation is None or not sent:
        return None
    names = _offered(evaluation, sent)
    chosen = choice.name if choice.name in dict(names) else names[0][0]
    view = next((one for one in drawings.VIEWS if one.key == chosen and one.of in sent), None)
    name = view.of if view else chosen
    told = {site.client.pk: site for site in reported if name in _sent(site)}
    found = _object(evaluation.round.metrics).get(name)
    has_sum = shape(found) is not None and name not in _object(evaluation.round.errors)
    site = told.get(choice.site or 0) or (None if has_sum else next(iter(told.values())))
    counts = _sent(site)[name] if site else found
    known = drawings.about(evaluation.session)
    drawing = view.draw(_sent(site) if site else _object(evaluation.round.metrics), known) if view else None
    labels = known.names if isinstance(counts, list) and len(known.names) == len(counts) else ()
    return Picture(
        name=chosen,
        names=names,
        sites=[one.client for one in told.values()],
        site=site.client if site else None,
        has_sum=has_sum,
        counts=counts if shape(counts) is not None else None,
        finding=drawing.finding if drawing else _finding(name, counts, labels),
        said=_said(evaluation, name, list(told.values()), reported, whose=site if has_sum else None, has_sum=has_sum),
        drawing=drawing,
        labels=labels,
    )


def _offered(evaluation: Evaluation, sent: Sequence[str]) -> list[tuple[str, str]]:
    """What can be chosen, with titles: the confusion matrix, what follows from counts, other counts."""
    known = choosing.declared(evaluation.session)
    views = [(view.key, view.title) for view in drawings.offered(sent)]
    own = {name: _title(name, measures.of(name, known).title) for name in sent if name not in drawings.HIDDEN}
    first = [(CONFUSION, own.pop(CONFUSION))] if CONFUSION in own else []
    found = [*first, *views, *((name, title) for name, title in own.items() if name not in dict(views))]
    return found or [(name, _title(name, "")) for name in sent]


def _title(name: str, declared: str) -> str:
    return declared or (CONFUSION_TITLE if name == CONFUSION else formats.spaced(name))


def _sent(site: Site) -> Mapping[str, Any]:
    return _object(site.seat.counts)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def shape(counts: object) -> tuple[int, ...] | None:
    """(10, 10) of a matrix of ten rows and columns, () of a number; None where parts differ, or of anything else."""
    if isinstance(counts, bool) or not isinstance(counts, (int, list)):
        return None
    if isinstance(counts, int):
        return ()
    parts = {shape(part) for part in counts}
    inner = parts.pop() if len(parts) == 1 else None
    return None if inner is None else (len(counts), *inner)


def _kind(counts: object) -> Kind:
    found = shape(counts)
    return Kind.NONE if found is None else KINDS.get(len(found), Kind.NONE)


def _is_confusion(name: str, counts: object) -> bool:
    found = shape(counts)
    return name == CONFUSION and found is not None and len(found) == 2 and found[0] == found[1]


# ---- in words


def _finding(name: str, counts: Any, labels: Sequence[str]) -> str:
    """What one sees in the picture."""
    match _kind(counts):
        case Kind.MATRIX if _is_confusion(name, counts):
            return _of_confusion(counts, labels)
        case Kind.MATRIX:
            return f"{formats.number(sum(chain.from_iterable(counts)))} in all."
        case Kind.BARS:
            top = counts.index(max(counts))
            return f"{formats.number(sum(counts))} in all; the most, {formats.number(counts[top])}, at {top}."
        case Kind.NUMBER:
            return f"{formats.number(counts)}."
    return "These counts are not drawn: only numbers, rows and tables of numbers are."


def _of_confusion(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    whole = sum(chain.from_iterable(counts))
    right = sum(row[label] for label, row in enumerate(counts))
    wrong = [(count, a, b) for a, row in enumerate(counts) for b, count in enumerate(row) if a != b and count]
    share = f" ({formats.share(right / whole)})" if whole else ""
    found = f"{formats.number(right)} of {formats.number(whole)} examples are right{share}."
    if not wrong:
        return found
    most, *which = max(wrong, key=lambda one: (one[0], -one[1], -one[2]))
    label, taken = (labels[number] if labels else number for number in which)
    return f"{found} The most frequent mistake: {label} taken for {taken}, {formats.count(most, 'time')}."


def _said(
    evaluation: Evaluation,
    name: str,
    told: Sequence[Site],
    reported: Sequence[Site],
    *,
    whose: Site | None,
    has_sum: bool,
) -> list[str]:
    """whose: the one site whose counts are shown, though there is a sum."""
    if whose:
        return [f"Of {whose.client.name} alone."]
    without = [site.client.name for site in reported if site not in told]
    said = [_of_sum(evaluation, name, told) if not has_sum else f"The sum is of {formats.count(len(told), 'site')}."]
    if without:
        said.append(f"{formats.listed(without)} sent none.")
    if without and name == CONFUSION:
        said.append("An agent sends its confusion matrix if it was started with --share-histogram.")
    elif without and name in drawings.HIDDEN:
        said.append("An agent sends its counts if it was started with --share-histogram.")
    return said


def _of_sum(evaluation: Evaluation, name: str, told: Sequence[Site]) -> str:
    """Why the sites' counts were not added."""
    if evaluation.is_open:
        return "They are added when the evaluation ends."
    code = _object(_object(evaluation.round.errors).get(name)).get("code")
    if code == Why.NAMESAKE:
        return "They were not added: a number has the same name."
    if code == Why.SHAPES:
        shapes = [f"{site.client.name} {_size(_sent(site)[name])}" for site in told]
        return f"They were not added, because their shapes differ: {formats.listed(shapes)}."
    return "They were not added."


def _size(counts: object) -> str:
    found = shape(counts)
    return "irregular" if found is None else " × ".join(map(str, found)) or "a number"
