"""Whoever is free works: a round is a buffer of updates, and who is not done when it is full goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from federation.fl.options import Option
from federation.lifecycle import RoundStatus
from federation.schedules.schedule import Crowd, Tally, Terms


@dataclass(frozen=True, slots=True)
class Buffered:
    """Buffered asynchronous aggregation: FedBuff, Nguyen et al. 2022 (arXiv:2106.06639), algorithm 1.

    The quorum is the paper's buffer size K: the round closes at that many updates, whatever round their clients
    began in. `cohort_size` is its concurrency: how many clients work at a time.
    """

    terms: Terms
    name: ClassVar[str] = "buffered"
    title: ClassVar[str] = "Buffered"
    summary: ClassVar[str] = "Clients never wait: a new version is made of every so many updates."
    options: ClassVar[tuple[Option, ...]] = ()
    is_joined: ClassVar[bool] = True
    is_patient: ClassVar[bool] = False

    @property
    def needed(self) -> int:
        return 1

    @property
    def least(self) -> int:
        return 1

    def asked(self, crowd: Crowd) -> int:
        if self.terms.cohort_size is None:
            return crowd.free
        return min(max(0, self.terms.cohort_size - crowd.working), crowd.free)

    def counted(self, tally: Tally) -> int:
        return tally.reported + tally.late

    def verdict(self, tally: Tally, *, deadline: datetime, now: datetime) -> RoundStatus | None:
        updates = self.counted(tally)
        if updates >= max(1, self.terms.quorum):
            return RoundStatus.AGGREGATING
        if now < deadline:
            return None
        return RoundStatus.AGGREGATING if updates else RoundStatus.COLLECTING

    def goes_on(self) -> bool:
        return True
