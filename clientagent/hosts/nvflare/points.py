"""What a script logs, as points of a work's curves."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

LONGEST = 64  # of a curve's name
ONE, SEVERAL = ("SCALAR", "METRIC"), ("SCALARS", "METRICS")  # of nvflare's kinds of what is logged: those of numbers


class Points:
    """The steps of one piece of work.

    A script may count its steps through all rounds (`global_step`), while a work's curve begins at zero. before: by
    tag, the last step of the work before, as `last` says it there.
    """

    def __init__(self, before: Mapping[str, int] | None) -> None:
        self._before = dict(before or {})
        self._first: dict[str, int] = {}  # where a tag's steps begin in this work
        self.last: dict[str, int] = dict(self._before)

    def step(self, tag: str, given: Any) -> int | None:
        """The step within this work; None if the script does not say one."""
        try:
            step = max(0, operator.index(given))
        except TypeError:
            return None
        if tag not in self._first:
            before = self._before.get(tag, 0)
            self._first[tag] = before if step > before else 0
            self.last[tag] = step
        self.last[tag] = max(self.last[tag], step)
        return max(0, step - self._first[tag])


def numbers(tag: str, value: Any, kind: str) -> dict[str, Any]:
    """The values by the names of their curves; none for what is no number, such as a text. kind: nvflare's word."""
    if kind in ONE:
        return {name(tag): value}
    if kind in SEVERAL and isinstance(value, Mapping):
        before = f"{tag}/" if kind == "SCALARS" else ""
        return {name(f"{before}{one}"): number for one, number in value.items()}
    return {}


def name(tag: str) -> str:
    """A curve's name, as the server takes them."""
    return "".join(sign if sign.isprintable() else "_" for sign in str(tag)).strip()[:LONGEST].strip() or "value"
