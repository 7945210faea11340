"""Several sessions beside each other: their curves on one chart, and what came out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, Sum

from dashboard.kit import results, statuses
from dashboard.kit.statuses import Word
from federation.fl.measures import Measure
from federation.lifecycle import Outcome, SessionStatus, WorkKind
from federation.models import GlobalModel, Participation, Round, TrainingSession
from federation.services.models import choosing

MOST = 8  # sessions at a time: as many as there are colours
MOST_WANTED = 100  # sessions that an address may name
MOST_POINTS = 1500  # of one line; of more, every n-th and the last
HOW = {"metrics": "central", "federated_metrics": "by the clients"}
AXES = {"round": "Round", "time": "Time", "bytes": "Bytes"}
AXIS_TITLES = {"round": "round", "time": "minutes since the start", "bytes": "MB sent, up and down"}


@dataclass(frozen=True, slots=True)
class Line:
    """One session with its place in the palette, its models, and the bytes that each round sent."""

    session: TrainingSession
    number: int
    models: Sequence[GlobalModel]  # by version
    completed: int  # rounds that made a model; the last version may be higher, where rounds were skipped
    sent: Mapping[int, int]  # bytes by round

    @property
    def word(self) -> Word:
        return statuses.SESSION[SessionStatus(self.session.status)]

    @property
    def best(self) -> GlobalModel | None:
        return choosing.best([model for model in self.models if model.version], self._by)

    @property
    def _by(self) -> Sequence[Measure]:
        return choosing.ordered(self.session)

    @property
    def measure(self) -> Measure | None:
        """By which the best model is the best."""
        return results.leading(self.best, self._by)[0]

    @property
    def value(self) -> float | None:
        """Of the best model."""
        return results.leading(self.best, self._by)[1]

    @property
    def all_bytes(self) -> int:
        return sum(self.sent.values())

    @property
    def took(self) -> float | None:
        """Seconds from the start to the newest model."""
        if self.session.started_at is None or not self.completed:
            return None
        return max(0.0, (self.models[-1].created_at - self.session.started_at).total_seconds())

    def drawn(self) -> Sequence[GlobalModel]:
        stride = -(-len(self.models) // MOST_POINTS) or 1
        return self.models if stride == 1 else [*self.models[:-1:stride], self.models[-1]]


def chosen(ids: Iterable[int]) -> tuple[list[TrainingSession], int]:
    """The sessions that an address names, in its order, each once; and how many of them are not there."""
    wanted = list(dict.fromkeys(ids))[:MOST_WANTED]
    trained = TrainingSession.objects.filter(kind=WorkKind.TRAIN)
    found = trained.select_related("start_from__session", "initial_model").in_bulk(wanted)
    there = [found[pk] for pk in wanted if pk in found]
    return there[:MOST], len(wanted) - len(there)


def lines(sessions: Sequence[TrainingSession]) -> list[Line]:
    """Three queries, whatever the number of sessions."""
    models: defaultdict[int, list[GlobalModel]] = defaultdict(list)
    fields = ("session_id", "version", "metrics", "federated_metrics", "created_at")
    for model in GlobalModel.objects.filter(session__in=sessions).only(*fields).order_by("version"):
        models[model.session_id].append(model)
    completed, sent = _completed(sessions), _sent(sessions)
    return [
        Line(session, n, models[session.pk], completed.get(session.pk, 0), sent[session.pk])
        for n, session in enumerate(sessions, start=1)
    ]


def _completed(sessions: Sequence[TrainingSession]) -> dict[int, int]:
    """How many rounds of each made a model."""
    made = Round.objects.filter(session__in=sessions, kind=WorkKind.TRAIN, outcome=Outcome.MODEL).order_by()
    return dict(made.values_list("session").annotate(Count("pk")))


def _sent(sessions: Sequence[TrainingSession]) -> defaultdict[int, dict[int, int]]:
    """Bytes that the clients of each round sent and fetched, over all its tries."""
    rows = (
        Participation.objects.filter(round__session__in=sessions, round__kind=F("round__session__kind"))
        .order_by()
        .values(of=F("round__session"), number=F("round__number"))
        .annotate(up=Sum("num_bytes"), down=Sum("round__base_model__num_bytes", filter=Q(taken_at__isnull=False)))
    )
    found: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for row in rows:
        found[row["of"]][row["number"]] = (row["up"] or 0) + (row["down"] or 0)
    return found


def overlay(shown: Sequence[Line]) -> dict[str, Any]:
    """What static/js/overlay.js draws: for each session its x on every axis and its y of every measure."""
    return {
        "axes": AXIS_TITLES,
        "series": [_series(line) for line in shown],
        "thinned": any(len(line.drawn()) < len(line.models) for line in shown),
    }


def _series(line: Line) -> dict[str, Any]:
    total, bytes_by_version = 0, {0: 0.0}
    for number in range(1, line.models[-1].version + 1 if line.models else 1):
        total += line.sent.get(number, 0)
        bytes_by_version[number] = total / 1e6
    began, models = line.session.started_at, line.drawn()
    return {
        "name": line.session.name,
        "colour": f"run-{line.number}",
        "number": line.number,
        "x": {
            "round": [model.version for model in models],
            "time": [_minutes(model, began) for model in models],
            "bytes": [bytes_by_version[model.version] for model in models],
        },
        "y": {
            key: [choosing.value(model, of, name) for model in models] for key, (of, name) in measures([line]).items()
        },
    }


def _minutes(model: GlobalModel, began: Any) -> float:
    return max(0.0, (model.created_at - began).total_seconds() / 60) if began and model.version else 0.0


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def measures(shown: Sequence[Line]) -> dict[str, tuple[str, str]]:
    """What was measured anywhere: {'accuracy, central': (field, name)}, the usual ones first."""
    found = {
        (name, of)
        for line in shown
        for model in line.models
        for of in HOW
        for name in choosing.measured(model, of)
        if choosing.value(model, of, name) is not None
    }
    leading = [measure.name for line in shown for measure in choosing.ordered(line.session)]
    order = list(dict.fromkeys(leading))
    known = sorted(found, key=lambda one: (_place(order, one[0]), one[0], list(HOW).index(one[1])))
    return {f"{name}, {HOW[of]}": (of, name) for name, of in known}
