"""What a selection of clients is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from federation.fl.misfits import Misfit
from federation.fl.options import Option


class Why(StrEnum):
    """Why a client was chosen."""

    EVERYONE = "everyone"  # all who were free
    DRAWN = "drawn"  # at random
    FILLED = "filled"  # the draw was below the quorum, and this client was the next in it
    TAG = "tag"  # for one of the groups; args: tag, empty for clients without one
    TURN = "turn"  # nobody waits longer; args: last, the round in which it was asked last, 0 for none
    LOSS = "loss"  # its loss was among the highest; args: loss
    NO_LOSS = "no_loss"  # it reported none yet, which counts as the highest


@dataclass(frozen=True, slots=True)
class Candidate:
    """A free client. What a selection does not read is not filled in.

    last_asked: the number of the last earlier round in which it had a seat, 0 for none. times_asked: in how many such
    rounds. loss: the mean loss of the training of its last counted update. num_examples: that it trains on. gave_up:
    in an earlier try of this round, so that it is asked last.
    """

    name: str
    tags: Collection[str] = ()
    last_asked: int = 0
    times_asked: int = 0
    loss: float | None = None
    num_examples: int | None = None
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class Draw:
    """What is to be drawn for a round. count: how many clients the schedule asks. least: how many it needs."""

    count: int
    least: int
    seed: int
    number: int


@dataclass(frozen=True, slots=True)
class Chosen:
    name: str
    why: Why
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a session is asked to be. is_limited: a round asks fewer than everybody. is_joined: clients join later."""

    is_limited: bool
    is_joined: bool = False


NOT_LIMITED = "It chooses nothing while everyone online is asked. Say how many clients a round asks (cohort_size)."


class Selection(Protocol):
    """reads: the members of `Candidate` that it needs beside the name. Selections inherit what they do not say."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()
    reads: ClassVar[frozenset[str]] = frozenset()

    def misfit(self, occasion: Occasion) -> Misfit | None:
        """Why a session cannot be launched with it; None if it can."""
        return None if occasion.is_limited else Misfit("selection.name", NOT_LIMITED)

    def choose(self, candidates: Sequence[Candidate], draw: Draw) -> list[Chosen]:
        """So many of the candidates, those that gave up last. They come sorted by name; the answer need not be."""
        ready = [one for one in candidates if not one.gave_up]
        found = self.pick(ready, draw.count, draw)
        rest = [one for one in candidates if one.gave_up]
        return found + (self.pick(rest, draw.count - len(found), draw) if len(found) < draw.count else [])

    def pick(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Chosen]:
        """So many of the candidates, all of them where there are no more."""
