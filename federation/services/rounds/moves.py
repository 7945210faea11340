"""The one move of a round from a status to another, and how the log tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federation.lifecycle import ACTIVE, ROUND_MOVES, RoundStatus, WorkKind
from federation.models import Event, Round
from federation.services import traces
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
    if to not in ACTIVE:
        traces.tell(round_)
    return True


_EVALUATION: Mapping[Event.Kind, Event.Kind] = {
    Event.Kind.ROUND_OPENED: Event.Kind.EVALUATION_OPENED,
    Event.Kind.ROUND_COMPLETED: Event.Kind.EVALUATION_COMPLETED,
    Event.Kind.ROUND_FAILED: Event.Kind.EVALUATION_FAILED,
    Event.Kind.ROUND_CANCELLED: Event.Kind.EVALUATION_FAILED,
}


def entry(round_: Round, kind: Event.Kind, **more: Any) -> tuple[Event.Kind, dict[str, Any]]:
    """What the log says of a round. Rounds that are not of training name their work; evaluations have own kinds."""
    where: dict[str, Any] = {"round": round_.number, "attempt": round_.attempt}
    if round_.kind == WorkKind.TRAIN:
        return kind, where | more
    base = round_.base_model
    model = {"version": base.version, "digest": base.digest} if base else {}
    kind = _EVALUATION.get(kind, kind) if round_.kind == WorkKind.EVALUATE else kind
    return kind, where | {"work": round_.kind, **model, **more}
