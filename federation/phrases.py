"""Parts of sentences that several rooms need."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMED = 4


def span(seconds: int) -> str:
    """A duration in words: '3 min 12 s'."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes and rest else f"{minutes} min" if minutes else f"{rest} s"


def listed(names: Sequence[str]) -> str:
    """At most four names; of more, three and their number: 'anna, ben, carl and 4 more'."""
    if len(names) > MOST_NAMED:
        shown = MOST_NAMED - 1
        return f"{', '.join(names[:shown])} and {len(names) - shown} more"
    return ", ".join(names) or "nobody"


def times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def clients_are(number: int) -> str:
    return "1 client is" if number == 1 else f"{number} clients are"


def are(number: int) -> str:
    return "1 is" if number == 1 else f"{number} are"
