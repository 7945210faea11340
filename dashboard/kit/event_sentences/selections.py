"""Why the clients of a round were chosen, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dashboard.kit import formats
from dashboard.kit.event_sentences.parts import Payload
from federation.fl.selections import Why

MOST = 4  # reasons that are told


def _tag(args: Payload) -> str:
    return f"for the tag {args['tag']}" if args.get("tag") else "for those without a tag"


def _turn(args: Payload) -> str:
    return f"last asked in round {args['last']}" if args.get("last") else "not asked before"


_SAID: Mapping[str, Callable[[Payload], str]] = {
    Why.EVERYONE: lambda args: "everyone who was free",
    Why.DRAWN: lambda args: "drawn at random",
    Why.FILLED: lambda args: "next in the draw, which was below the quorum",
    Why.TAG: _tag,
    Why.TURN: _turn,
    Why.LOSS: lambda args: f"a loss of {formats.metric(float(args.get('loss') or 0))}",
    Why.NO_LOSS: lambda args: "no loss reported yet",
}


def of_one(why: Any) -> str:
    """Why one client was chosen: 'not asked before'. Empty for a reason that is not known here."""
    said = _SAID.get(str(why.get("code"))) if isinstance(why, dict) else None
    return said(why.get("args") or {}) if said else ""


def of_round(selection: Any) -> str:
    """' From 12 free clients: anna and ben (for the tag north).' Empty where everyone was asked."""
    if not isinstance(selection, dict):
        return ""
    reasons: Sequence[Payload] = [one for one in selection.get("reasons") or () if of_one(one)]
    if not reasons or [one["code"] for one in reasons] == [Why.EVERYONE]:
        return ""
    told = [_of_clients(one) for one in reasons[:MOST]]
    more = [f"{len(reasons) - MOST} more reasons"] if len(reasons) > MOST else []
    return f" From {formats.count(selection.get('free') or 0, 'free client')}: {', '.join([*told, *more])}."


def _of_clients(reason: Payload) -> str:
    names = reason.get("clients")
    return f"{formats.listed(names)} ({of_one(reason)})" if names else of_one(reason)
