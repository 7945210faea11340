"""Flags: what was odd about an update and what was done about it, as codes with numbers. Pages turn them into text."""

from __future__ import annotations

from typing import Any

from federation.fl.defences import Clipping
from federation.fl.files.updates import Update
from federation.fl.suspicion import Odd

Flag = dict[str, Any]
EXAMPLES_CAPPED = "examples_capped"  # claimed, counted
METRICS_UNUSABLE = "metrics_unusable"  # names
NORM_CLIPPED = "norm_clipped"  # norm, median, limit
LEFT_OUT = "left_out"  # round; the seat's reason says why
ODD = "odd"  # sign, value, since (a round), times in a row; see `fl.suspicion`


def of_update(update: Update) -> list[Flag]:
    """The flags that an update alone shows."""
    return [{"code": METRICS_UNUSABLE, "names": list(update.unusable)}] if update.unusable else []


def examples_capped(claimed: int, counted: int) -> Flag:
    return {"code": EXAMPLES_CAPPED, "claimed": claimed, "counted": counted}


def norm_clipped(norm: float, clipping: Clipping) -> Flag:
    return {"code": NORM_CLIPPED, "norm": norm, "median": clipping.median, "limit": clipping.limit}


def left_out(round_number: int) -> Flag:
    return {"code": LEFT_OUT, "round": round_number}


def odd(found: Odd, round_number: int, before: list[Flag]) -> Flag:
    """before: the flags of the client's last update that counted. If that was odd, this one goes on with it."""
    last = next((flag for flag in before if flag["code"] == ODD), {"since": round_number, "times": 0})
    return {
        "code": ODD,
        "sign": found.sign.value,
        "value": found.value,
        "since": last["since"],
        "times": last["times"] + 1,
    }
