"""A cohort at once: the round closes when all are done, or at its deadline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from federation.fl.options import Option
from federation.lifecycle import LatePolicy, RoundStatus
from federation.schedules.schedule import Crowd, Tally, Terms


@dataclass(frozen=True, slots=True)
class Synchronous:
    """Rounds as in federated averaging: McMahan et al. 2017 (arXiv:1602.05629), algorithm 1."""

    terms: Terms
    name: ClassVar[str] = "synchronous"
    title: ClassVar[str] = "Synchronous"
    summary: ClassVar[str] = "A round waits for everybody whom it asked, until its deadline."
    options: ClassVar[tuple[Option, ...]] = ()
    is_joined: ClassVar[bool] = False
    is_patient: ClassVar[bool] = True

    @property
    def needed(self) -> int:
        return self.terms.quorum

    @property
    def least(self) -> int:
        return max(1, self.terms.quorum)

    def asked(self, crowd: Crowd) -> int:
        return wanted(self.terms.cohort_size, crowd.online)

    def counted(self, tally: Tally) -> int:
        return tally.reported

    def verdict(self, tally: Tally, *, deadline: datetime, now: datetime) -> RoundStatus | None:
        return verdict(tally, least=self.least, deadline=deadline, now=now)

    def goes_on(self) -> bool:
        return self.terms.late_policy == LatePolicy.NEXT_ROUND


def wanted(cohort_size: int | None, online: int) -> int:
    """The size of a cohort: everyone online where none is given."""
    return online if cohort_size is None else min(cohort_size, online)


def verdict(tally: Tally, *, least: int, deadline: datetime, now: datetime) -> RoundStatus | None:
    """A round closes when no seat is open any more or the deadline has passed.

    With enough reports it is aggregated, without them it fails.
    """
    if tally.open_seats and now < deadline:
        return None
    return RoundStatus.AGGREGATING if tally.reported >= least else RoundStatus.FAILED
