"""What events say about seats."""

from __future__ import annotations

from federation import events
from federation.lifecycle import WorkKind
from federation.models import Participation


def describe(seat: Participation) -> dict[str, object]:
    """What every event about a seat says. One that is not of training names its kind of work."""
    told: dict[str, object] = {
        "participation": str(seat.pk),
        "client": events.reference(seat.client),
        "round": seat.round.number,
        "attempt": seat.round.attempt,
    }
    return told if seat.round.kind == WorkKind.TRAIN else told | {"work": seat.round.kind}
