"""Sentences about what was odd about an update."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.kit import formats
from federation.fl import suspicion
from federation.fl.suspicion import Sign
from federation.services.seats import flags


def of_flags(found: object) -> str:
    """What was odd about an update and what was done about it, in sentences; empty if nothing was."""
    return " ".join(sentence for flag in _flags(found) if (sentence := _of_flag(flag)))


def beside_reason(found: object, round_number: int) -> str:
    """The same, for a place where the seat's reason already says that it was left out of this round."""
    told = {"code": flags.LEFT_OUT, "round": round_number}
    return of_flags([flag for flag in _flags(found) if flag != told])


def suspected(found: object) -> str:
    """What a client is suspected of, by the flags of its last update that counted; empty if it is not."""
    return of_flags([flag for flag in _flags(found) if flag.get("code") == flags.ODD])


def _flags(found: object) -> list[Mapping[str, Any]]:
    return [flag for flag in found if isinstance(flag, dict)] if isinstance(found, list) else []


def _of_flag(flag: Mapping[str, Any]) -> str:
    match flag.get("code"):
        case flags.EXAMPLES_CAPPED:
            claimed, counted = (_counted(flag.get(name)) for name in ("claimed", "counted"))
            return f"It claims {claimed} examples and counts for {counted}."
        case flags.NORM_CLIPPED:
            norm, limit = (_measure(flag.get(name)) for name in ("norm", "limit"))
            return f"Its norm of {norm} was clipped to {limit}."
        case flags.METRICS_UNUSABLE:
            names = flag.get("names")
            listed_ = ", ".join(map(str, names)) if isinstance(names, list) else "?"
            return f"Measures left out, because their numbers are too large: {listed_}."
        case flags.LEFT_OUT:
            return f"It was left out of round {_counted(flag.get('round'))}."
        case flags.ODD if isinstance(times := flag.get("times"), int) and times >= suspicion.PATIENCE:
            return _odd(flag)
    return ""


def _odd(flag: Mapping[str, Any]) -> str:
    since, value = f"since round {_counted(flag.get('since'))}", _measure(flag.get("value"))
    match flag.get("sign"):
        case Sign.DIRECTION:
            return f"Its updates point away from the others {since} (cosine {value.replace('-', '−')})."
        case Sign.SIZE:
            return f"Its updates are far larger than the others {since} (norm {value} times the median)."
        case Sign.DISTANCE:
            return f"Its updates are far from all others {since} (distance {value} times the median)."
    return ""


def _counted(value: object) -> str:
    return formats.number(value) if isinstance(value, int) else "?"


def _measure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "?"
