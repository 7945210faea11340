"""What events say about seats."""

from __future__ import annotations

from federation import events
from federation.models import Participation


def describe(seat: Participation) -> dict[str, object]:
    """What every event about a seat says."""
    return {
        "participation": str(seat.pk),
        "client": events.reference(seat.client),
        "round": seat.round.number,
        "attempt": seat.round.attempt,
    }
