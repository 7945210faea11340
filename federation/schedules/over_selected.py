"""More clients are asked than are needed: the round closes at the quorum, and nobody waits for the slowest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import ClassVar

from federation.fl.options import Option
from federation.lifecycle import LatePolicy, RoundStatus
from federation.schedules import synchronous
from federation.schedules.schedule import Crowd, Tally, Terms

EXTRA = 0.3


@dataclass(frozen=True, slots=True)
class OverSelected:
    """Over-selection of Bonawitz et al. 2019 (arXiv:1902.01046), section 2.2: 30 % more clients than needed.

    A round asks `min(ceil(quorum * (1 + extra)), free)` clients and closes as soon as the quorum has reported. What
    the others send is late.
    """

    terms: Terms
    extra: float = EXTRA
    name: ClassVar[str] = "over_selected"
    title: ClassVar[str] = "Over-selected"
    summary: ClassVar[str] = "A round asks more clients than it needs and closes at the quorum."
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "extra", float, EXTRA, minimum=0.0, maximum=10.0,
            help="How many more clients than the quorum are asked: 0.3 is 30 % more.",
        ),
    )  # fmt: skip
    is_joined: ClassVar[bool] = False
    is_patient: ClassVar[bool] = False

    @property
    def needed(self) -> int:
        return self.terms.quorum

    @property
    def least(self) -> int:
        return max(1, self.terms.quorum)

    def asked(self, crowd: Crowd) -> int:
        return min(ceil(round(self.terms.quorum * (1 + self.extra), 9)), crowd.free)

    def counted(self, tally: Tally) -> int:
        return tally.reported

    def verdict(self, tally: Tally, *, deadline: datetime, now: datetime) -> RoundStatus | None:
        if tally.reported >= self.least:
            return RoundStatus.AGGREGATING
        return synchronous.verdict(tally, least=self.least, deadline=deadline, now=now)

    def goes_on(self) -> bool:
        return self.terms.late_policy == LatePolicy.NEXT_ROUND
