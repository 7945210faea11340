"""What a kind of work is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from federation.models import Participation, Round
from federation.reasons import Reason


class Answer(StrEnum):
    """How the answer of a seat arrives."""

    UPDATE = "update"  # a file, at the work's `update_url`
    RESULT = "result"  # numbers, at `.../result`


class Unusable(ValueError):
    """An answer that cannot be used. str(error) names what is wrong, for the client's owner."""


@dataclass(frozen=True, slots=True)
class Model:
    """The answers become a model, which the aggregation makes."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the answers say together.

    metrics: a number for each measure, and sums of counts. errors: `{code, clients}` for each measure that some
    answers say nothing usable of.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The answers come to nothing."""

    reason: Reason


Outcome = Model | Numbers | Failed


class Kind(Protocol):
    """One kind of work.

    name: the `kind` in the work's JSON. title: for people. is_told: only clients that listed it in `info.kinds` are
    asked. answer: how a seat's answer arrives.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    is_told: ClassVar[bool]
    answer: ClassVar[Answer]

    def offer(self, seat: Participation) -> dict[str, object]:
        """The members of a seat's work beyond those that every kind has."""

    def check(self, seat: Participation, sent: Any) -> Any:
        """What came for a seat, understood. sent: a file's path, or the members of a result. Raises Unusable."""

    def conclude(self, round_: Round, answered: Iterable[Participation]) -> Outcome:
        """What a round comes to that closes with these seats' answers, in the order of the seats."""
