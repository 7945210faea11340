"""What a workload declares, as lines of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.kit import formats
from dashboard.pages.workloads.catalogue import Listed
from federation.fl.measures import Combine, Direction, Measure
from federation.fl.options import allowed

BETTER = {Direction.MAX: "higher is better", Direction.MIN: "lower is better", Direction.NONE: "no direction"}
TOGETHER = {
    Combine.MEAN: "mean of the sites, weighted by their examples",
    Combine.SUM: "sum of the sites",
    Combine.MIN: "the lowest of the sites",
    Combine.MAX: "the highest of the sites",
    Combine.NONE: "not combined",
}


@dataclass(frozen=True, slots=True)
class OptionLine:
    name: str
    title: str
    default: str
    allowed: str
    help: str


@dataclass(frozen=True, slots=True)
class MeasureLine:
    """is_main: what a session goes by if it names no other measure."""

    measure: Measure
    about: str
    is_main: bool

    @property
    def title(self) -> str:
        return self.measure.title or formats.spaced(self.measure.name)


def options(one: Listed) -> Sequence[OptionLine]:
    return [
        OptionLine(
            option.name,
            option.title,
            formats.setting(option.default) if option.default not in (None, "") else option.empty or "empty",
            formats.capital(allowed(option)),
            option.help,
        )
        for option in (one.declared.options if one.declared else ())
    ]


def measures(one: Listed) -> Sequence[MeasureLine]:
    found = one.declared.measures if one.declared else ()
    main = next((measure for measure in found if measure.direction != Direction.NONE), None)
    return [
        MeasureLine(
            measure,
            "; ".join(part for part in (BETTER[measure.direction], measure.unit, TOGETHER[measure.combine]) if part),
            measure is main,
        )
        for measure in found
    ]


def train_defaults(one: Listed) -> Sequence[tuple[str, str]]:
    """Each setting's title and value."""
    found = one.declared.train_defaults if one.declared else {}
    return [(formats.spaced(name), formats.setting(value)) for name, value in found.items()]
