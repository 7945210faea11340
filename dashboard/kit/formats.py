"""Numbers, durations and lists, as one would say them."""

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from federation import parsing, phrases

THIN = "\u202f"  # a narrow space that does not break

span = phrases.span  # whole seconds: '3 min 12 s'


def number(value: float) -> str:
    """Grouped by thousands with narrow spaces: 12 110."""
    return f"{round(value):,}".replace(",", THIN)


def duration(value: timedelta | float) -> str:
    """'3 min 12 s'; finer below ten seconds, where whole ones would hide the difference."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    seconds = max(0.0, seconds)
    if 0 < seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    return span(round(seconds))


def minutes(seconds: float) -> str:
    """A duration without seconds once it is longer than two minutes, for estimates."""
    return span(round(seconds / 60) * 60) if seconds >= 120 else span(round(seconds))


def clock(value: timedelta | float) -> str:
    """3:12, or 1:03:12."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    whole = max(0, math.floor(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def size(num_bytes: float) -> tuple[str, str]:
    """A number and its unit, in powers of ten: ('28.4', 'MB')."""
    value, unit = float(num_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    digits = 0 if unit == "B" or value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{digits}f}", unit


def metric(value: float | None) -> str:
    """A measured value to three places; powers for what is small or huge. static/js/wording.js does the same."""
    value = parsing.number(value, most=sys.float_info.max)
    if value is None:
        return "not finite"
    if value and (abs(value) < 0.001 or abs(value) >= 100_000):
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}e{int(power)}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.0f}"


def count(value: int, noun: str, plural: str = "") -> str:
    """'1 client', '4 clients'."""
    return f"{number(value)} {noun if value == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], *, most: int = 4) -> str:
    """'a', 'a and b', 'a, b and 3 more'."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def learnt(suggestion: Mapping[str, Any]) -> str:
    """Which client a learnt time for a round is for, and why."""
    name, median = suggestion["client"]["name"], duration(suggestion["median"])
    if suggestion["cut_off"]:
        return f"{name} was at work when the last deadline came, so it gets twice that time"
    reports = count(suggestion["reports"], "report")
    return (
        f"{name} needs the longest, {median} in the median of {reports}, give or take {duration(suggestion['spread'])}"
    )


def share(fraction: float) -> str:
    """38 %."""
    return f"{100 * fraction:.0f}{THIN}%"


def capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def spaced(name: str) -> str:
    """The name of a setting or a measure as one would write it: 'Server learning rate' for server_lr."""
    return capital(name.replace("_lr", "_learning_rate").replace("_", " "))


def setting(value: object) -> str:
    """The value of a setting as one would write it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def shortened(name: str, longest: int = 24) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
