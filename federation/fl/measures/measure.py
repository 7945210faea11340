"""What is declared of a measure, and how the numbers of several sites become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeVar

E = TypeVar("E", bound=StrEnum)
SHARE = "share"  # the unit of what lies between 0 and 1


class Direction(StrEnum):
    """Which way is better."""

    MAX = "max"
    MIN = "min"
    NONE = "none"


class Combine(StrEnum):
    """How the sites' numbers become one."""

    MEAN = "mean"  # weighted by examples
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    NONE = "none"  # they do not


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric with what is known of it. name: as clients and evaluations report it, without `val_` and the like."""

    name: str
    title: str = ""
    direction: Direction = Direction.NONE
    unit: str = ""
    combine: Combine = Combine.MEAN

    @property
    def phrase(self) -> str:
        """Its title within a sentence."""
        title = self.title or self.name.replace("_", " ")
        return title if title[:2].isupper() else title[:1].lower() + title[1:]

    def best(self, values: Iterable[float]) -> float | None:
        """The best of some values; None without a direction or without values."""
        found = list(values)
        if not found or self.direction == Direction.NONE:
            return None
        return max(found) if self.direction == Direction.MAX else min(found)

    def gain(self, after: float, before: float) -> float:
        """By how much `after` is better than `before`; negative where it is worse. 0.0 without a direction."""
        if self.direction == Direction.NONE:
            return 0.0
        return after - before if self.direction == Direction.MAX else before - after

    def combined(self, given: Sequence[tuple[float, int]]) -> float | None:
        """One number from (value, examples) of each site; None where there is none."""
        values, examples = [value for value, _ in given], sum(weight for _, weight in given)
        match self.combine:
            case Combine.MEAN if examples:
                return sum(value * weight for value, weight in given) / examples
            case Combine.SUM if values:
                return sum(values)
            case Combine.MIN if values:
                return min(values)
            case Combine.MAX if values:
                return max(values)
        return None

    def as_json(self) -> dict[str, str]:
        return {name: str(value) for name, value in asdict(self).items()}


def from_json(given: object) -> Measure | None:
    """A measure that a site declares; None if it is no declaration. Its texts are bounded and printable."""
    if not isinstance(given, Mapping):
        return None
    name, title, unit = (_text(given, key, longest) for key, longest in (("name", 64), ("title", 100), ("unit", 16)))
    if not name:
        return None
    return Measure(name, title, _member(Direction.NONE, given), unit, _member(Combine.MEAN, given))


def _text(given: Mapping[str, Any], key: str, longest: int) -> str:
    value = given.get(key)
    return value if isinstance(value, str) and len(value) <= longest and value.isprintable() else ""


def _member(default: E, given: Mapping[str, Any]) -> E:
    """The member that a declaration names, or the default one of the same enumeration."""
    kind = type(default)
    value = given.get(kind.__name__.lower())
    return kind(value) if isinstance(value, str) and value in list(kind) else default
