"""The codes of rows that version 0.1.0 wrote, which have only sentences. For display: they are never stored.

No other module may look into a reason's text.
"""

from __future__ import annotations

import re
from typing import Protocol, TypeVar

from federation.lifecycle import RoundReason, RoundStatus, SeatReason, SeatStatus

Code = TypeVar("Code", SeatReason, RoundReason)


class Ended(Protocol):
    """A seat or a round."""

    status: str
    reason: str
    reason_code: str


_SEATS = (
    (r"Skipped by .*\.", SeatReason.SKIPPED),
    (r"The client left\.", SeatReason.LEFT),
    (r"The client was disabled\.", SeatReason.DISABLED),
    (r"The client was removed\.", SeatReason.REMOVED),
    (r"The round closed without it\.", SeatReason.ROUND_CLOSED),
    (r"The round was finished by .*\.", SeatReason.ROUND_CLOSED),
    (r"The round failed\.", SeatReason.ROUND_FAILED),
    (r"The session was cancelled\.", SeatReason.SESSION_ENDED),
    (r"Its update was damaged on the server's disk, and the client could not be asked again\.", SeatReason.DAMAGED),
)
_BY_STATUS = {SeatStatus.FAILED: SeatReason.CLIENT_FAILED, SeatStatus.REJECTED: SeatReason.REJECTED}
_ROUNDS = (
    (r"\d+ of \d+ needed updates had arrived at the deadline\..*", RoundReason.QUORUM_AT_DEADLINE),
    (r"\d+ of \d+ needed updates had arrived when no seat was open any more\..*", RoundReason.QUORUM_NO_SEAT),
    (r"The server could not .*", RoundReason.INTERNAL),
    (r"The worker was killed \d+ times while it aggregated the updates\.", RoundReason.INTERNAL),
    (r"The file of model v\d+ is damaged and cannot be made again\..*", RoundReason.MODEL_LOST),
    (r".* would hold a value that .*", RoundReason.NOT_FINITE),
    (r".* would (move further|become larger) than .* can hold\..*", RoundReason.NOT_FINITE),
)


def of_seat(seat: Ended) -> SeatReason | None:
    """Why a seat ended. None: it has no reason, or none that is known."""
    if seat.reason_code:
        return SeatReason(seat.reason_code)
    by_status = _BY_STATUS.get(SeatStatus(seat.status))
    return by_status or _known(seat.reason, _SEATS)


def of_round(round_: Ended) -> RoundReason | None:
    if round_.reason_code:
        return RoundReason(round_.reason_code)
    if round_.status == RoundStatus.CANCELLED:
        return RoundReason.CANCELLED
    return _known(round_.reason, _ROUNDS)


def _known(text: str, patterns: tuple[tuple[str, Code], ...]) -> Code | None:
    return next((code for pattern, code in patterns if re.fullmatch(pattern, text, re.DOTALL)), None)
