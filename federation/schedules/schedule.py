"""What a schedule is asked, and over what it decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

from federation.fl.options import Option
from federation.lifecycle import LatePolicy, RoundStatus


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session asks of its rounds. cohort_size: None for everyone online."""

    quorum: int = 1
    cohort_size: int | None = None
    late_policy: LatePolicy = LatePolicy.DROP


@dataclass(frozen=True, slots=True)
class Crowd:
    """The clients of a session at a moment.

    online: those that could take part in its next round, at work elsewhere or not. free: those of them that could
    begin now. working: those that hold one of its seats; no other number counts them.
    """

    online: int
    free: int
    working: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What has become of a collecting round. late: updates for older rounds that count in this one."""

    open_seats: int
    reported: int
    late: int = 0


class Schedule(Protocol):
    """Decisions about a session's rounds, for its terms.

    is_joined: free clients join a round that is open, and each seat has a time of its own.
    is_patient: a round cannot close before its deadline while one of its seats is open.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    is_joined: ClassVar[bool]
    is_patient: ClassVar[bool]

    @property
    def needed(self) -> int:
        """How many clients must be free before a round opens."""

    @property
    def least(self) -> int:
        """How many updates a round needs to make a model."""

    def asked(self, crowd: Crowd) -> int:
        """How many clients get a seat when it is the session's turn. More than are free: it waits for them."""

    def counted(self, tally: Tally) -> int:
        """How many of a round's updates count toward the quorum."""

    def verdict(self, tally: Tally, *, deadline: datetime, now: datetime) -> RoundStatus | None:
        """Where a collecting round should move now, or None to keep waiting.

        `RoundStatus.COLLECTING` means that it collects for another while: its deadline moves.
        """

    def goes_on(self) -> bool:
        """Whether seats whose clients are at work stay open when their round closes."""
