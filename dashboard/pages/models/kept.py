"""The numbers that stay with a model: of each measure the first one, where it comes from, and what was found since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dashboard.kit import formats
from dashboard.kit.evaluations import Evaluation
from federation.fl import measures
from federation.fl.measures import Measure
from federation.fl.numbers import bounded
from federation.lifecycle import Outcome, WorkKind
from federation.models import GlobalModel, Round
from federation.services.models import choosing

MOST_SHOWN = 8  # numbers; the others are folded
MOST_EVALUATIONS = 50  # of a model, the oldest, among which a number's first one is looked for


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a model. by: who measured it, for its name.

    found: the evaluation that found it; None for a number of the server, and for one that clients reported when they
    trained from the model. newer: what the newest evaluation found instead; None where that is the same.
    """

    measure: Measure
    value: float | None
    by: str
    is_of_clients: bool = False
    found: Round | None = None
    newer: float | None = None

    @property
    def title(self) -> str:
        return f"{self.measure.title or formats.spaced(self.measure.name)}{self.by}"


def of(model: GlobalModel, newest: Evaluation | None) -> list[Number]:
    """The server's numbers, then the clients': the session's measures in their order, then others by name.

    newest: the newest evaluation of the model that found something.
    """
    central, clients = (choosing.measured(model, of) for of in ("metrics", "federated_metrics"))
    known = [*choosing.ordered(model.session), *choosing.declared(model.session)]
    origins = _origins(model, clients) if clients else {}
    since = _found_by(newest)
    of_server = [Number(one, bounded(central[one.name]), "") for one in _in_order(central, known)]
    of_clients = [
        _of_clients(one, bounded(clients[one.name]), origins.get(one.name), since.get(one.name), newest)
        for one in _in_order(clients, known)
    ]
    return [*of_server, *of_clients]


def _in_order(names: Iterable[str], known: Sequence[Measure]) -> list[Measure]:
    first = dict.fromkeys(one.name for one in known)
    ranked = [name for name in first if name in set(names)] + sorted(set(names) - first.keys())
    return [measures.of(name, known) for name in ranked]


def _of_clients(
    measure: Measure, value: float | None, found: Round | None, since: float | None, newest: Evaluation | None
) -> Number:
    is_newest = newest is not None and found is not None and found.pk == newest.round.pk
    same = since is None or value is None or formats.metric(since) == formats.metric(value)
    newer = None if is_newest or same else since
    return Number(measure, value, ", by the clients", is_of_clients=True, found=found, newer=newer)


def _found_by(evaluation: Evaluation | None) -> Mapping[str, float]:
    columns = evaluation.columns if evaluation else ()
    return {one.measure.name: one.together for one in columns if one.together is not None}


def _origins(model: GlobalModel, numbers: Mapping[str, object]) -> dict[str, Round]:
    """Which evaluation found each number first. A number that none found was reported in training."""
    rows = Round.objects.filter(kind=WorkKind.EVALUATE, outcome=Outcome.NUMBERS, base_model__digest=model.digest)
    found: dict[str, Round] = {}
    for round_ in rows.select_related("session").order_by("closed_at", "pk")[:MOST_EVALUATIONS]:
        for name, value in round_.metrics.items() if isinstance(round_.metrics, dict) else ():
            if name in numbers and bounded(value) is not None and bounded(value) == bounded(numbers[name]):
                found.setdefault(name, round_)
    return found
