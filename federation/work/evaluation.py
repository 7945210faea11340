"""Measure a stored model on the client's own held-out data, and report numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from federation import reasons
from federation.fl import measures
from federation.fl.measures import combining
from federation.fl.measures.counted import MOST_INTEGERS
from federation.fl.numbers import bounded
from federation.lifecycle import WorkKind
from federation.models import Participation, Round
from federation.work.common_members import fine_tuning, last_update, stays
from federation.work.declared import declared
from federation.work.kind import Answer, Failed, Numbers, Unusable

MOST_COUNT = 10**12
DEEPEST = 3  # lists within lists


@dataclass(frozen=True, slots=True)
class Report:
    """What a client found. metrics: None for a number that is not finite or beyond 10^30."""

    num_examples: int
    metrics: Mapping[str, float | None]
    counts: Mapping[str, combining.Counts]


class Evaluation:
    name: ClassVar[str] = WorkKind.EVALUATE.value
    title: ClassVar[str] = "Evaluation"
    is_told: ClassVar[bool] = True
    answer: ClassVar[Answer] = Answer.RESULT

    def offer(self, seat: Participation) -> dict[str, object]:
        return {"last_update": last_update(seat), **stays(seat), **fine_tuning(seat)}

    def check(self, seat: Participation, sent: Mapping[str, Any]) -> Report:
        left = MOST_INTEGERS
        for name, counts in sent["counts"].items():
            left -= _integers(name, counts, DEEPEST)
        if left < 0:
            raise Unusable(f"counts has {MOST_INTEGERS - left} integers. Send at most {MOST_INTEGERS}.")
        numbers = {name: bounded(value) for name, value in sent["metrics"].items()}
        return Report(sent["num_examples"], numbers, sent["counts"])

    def conclude(self, round_: Round, answered: Iterable[Participation]) -> Numbers | Failed:
        results = [
            combining.Result(seat.client.name, seat.num_examples or 0, seat.metrics, seat.counts or {})
            for seat in answered
        ]
        known = declared(round_.session)
        names = {name for one in results for name in one.metrics}
        found = combining.together(results, {name: measures.of(name, known) for name in names})
        if results and not found.metrics and found.errors:
            return Failed(reasons.nothing_usable(sorted(found.errors)))
        return Numbers(found.metrics, found.errors)


def _integers(name: str, counts: object, levels: int) -> int:
    """How many integers some counts have. Raises Unusable."""
    if isinstance(counts, list) and levels:
        return sum(_integers(name, part, levels - 1) for part in counts)
    if isinstance(counts, bool) or not isinstance(counts, int) or not 0 <= counts <= MOST_COUNT:
        what = f"an integer from 0 to {MOST_COUNT}, or lists of such integers nested up to {DEEPEST} deep"
        raise Unusable(f"The counts of {name} must be {what}.")
    return 1
