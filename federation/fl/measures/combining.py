"""How the results of several sites become the numbers of one model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from federation.fl.measures.measure import Measure
from federation.fl.numbers import bounded

Counts = int | list["Counts"]


class Why(StrEnum):
    """What is wrong with what some sites say of a measure."""

    UNUSABLE = "unusable"  # no finite number
    SHAPES = "shapes"  # counts of another shape than the first site's, so that none are added
    NAMESAKE = "namesake"  # both a number and counts have this name; the number is used


@dataclass(frozen=True, slots=True)
class Result:
    """What one site found on its own data. metrics: by measure, None for a number that is not finite."""

    site: str
    num_examples: int
    metrics: Mapping[str, float | None]
    counts: Mapping[str, Counts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Together:
    """metrics: a number or sums of counts, by measure. errors: `{code, clients}` by measure; see `Why`."""

    metrics: Mapping[str, Any]
    errors: Mapping[str, Mapping[str, Any]]


def together(results: Sequence[Result], of: Mapping[str, Measure]) -> Together:
    """Combine the results of some sites, each measure as it declares, and add their counts.

    A site without a usable number of a measure is left out of it and named. of: the measures by name; one that is not
    there is averaged. A measure that does not combine has no number.
    """
    metrics, errors = _numbers(results, of)
    for name in _names(one.counts for one in results):
        told = [one for one in results if name in one.counts]
        others = [one for one in told if _shape(one.counts[name]) != _shape(told[0].counts[name])]
        if name in metrics or others:
            errors[name] = _error(Why.SHAPES, others) if others else _error(Why.NAMESAKE, told)
        else:
            metrics[name] = _sum([one.counts[name] for one in told])
    return Together(metrics, errors)


def _numbers(results: Sequence[Result], of: Mapping[str, Measure]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The combined numbers, and what is wrong with those that sites say."""
    metrics: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for name in _names(one.metrics for one in results):
        told = [(one, bounded(one.metrics[name])) for one in results if name in one.metrics]
        given = [(value, one.num_examples) for one, value in told if value is not None]
        if len(given) < len(told):
            errors[name] = _error(Why.UNUSABLE, (one for one, value in told if value is None))
        combined = bounded(of.get(name, Measure(name)).combined(given))
        if combined is not None:
            metrics[name] = combined
    return metrics, errors


def _names(told: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted({name for one in told for name in one})


def _error(why: Why, of: Iterable[Result]) -> dict[str, Any]:
    return {"code": why.value, "clients": [one.site for one in of]}


def _shape(counts: Counts) -> Any:
    """The nesting of counts: None for a number, else the shapes of its parts."""
    return tuple(_shape(part) for part in counts) if isinstance(counts, list) else None


def _sum(all_: Sequence[Counts]) -> Counts:
    """Counts of one shape, added."""
    if isinstance(all_[0], list):
        return [_sum(parts) for parts in zip(*all_, strict=True)]
    return sum(one for one in all_ if isinstance(one, int))
