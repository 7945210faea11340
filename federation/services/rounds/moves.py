"""The one move of a round from a status to another."""

from __future__ import annotations

from federation.lifecycle import ROUND_MOVES, RoundStatus
from federation.models import Round
from federation.services.seats import late


def move(round_: Round, to: RoundStatus, *, guard: dict[str, str] | None = None, **fields: object) -> bool:
    """Move a round to another status, with what else changes. False if someone moved it first.

    Call inside a transaction.
    """
    if (round_.status, to) not in ROUND_MOVES:
        raise ValueError(f"round {round_.pk}: {round_.status} -> {to} is not a move")
    rows = Round.objects.filter(pk=round_.pk, status=round_.status, **(guard or {}))
    if not rows.update(status=to, **fields):
        return False
    if to in (RoundStatus.FAILED, RoundStatus.CANCELLED):
        late.release(round_)
    round_.status = to
    for name, value in fields.items():
        setattr(round_, name, value)
    return True
