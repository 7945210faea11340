"""Text from outside as a number or as text that can be shown. Every function is total: what makes no sense is None."""

from __future__ import annotations

import math
import re
import unicodedata

from federation.fl.numbers import bounded

LARGEST = 2**63 - 1  # of the whole numbers that a database holds
WHOLE = re.compile(r"[0-9]{1,19}")
DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,4})?")
KEPT_SIGNS = "\n\t"  # that are not printable and may stand in a text of several lines


def whole(text: str, *, least: int = 0, most: int = LARGEST) -> int | None:
    """A whole number in plain ASCII digits, or None for anything else and for what is out of range."""
    if not WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if least <= number <= most else None


def decimal(text: str) -> float | None:
    """A finite number as JSON would write it, or None."""
    if not DECIMAL.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def number(value: object, *, most: float = 1e100) -> float | None:
    """A number of JSON as a float that arithmetic bears, or None: for text, what is not finite and what is huge."""
    return bounded(value, most=most)


def label(text: str, *, longest: int) -> str | None:
    """A short text in one line: normalised (NFC) and stripped. None if it is empty, too long or not printable.

    Printable excludes control characters, direction marks, other invisible ones and halves of surrogate pairs.
    """
    if len(text) > 4 * longest:  # nothing that is normalised gets that much shorter
        return None
    found = unicodedata.normalize("NFC", text).strip()
    return found if found.isprintable() and 1 <= len(found) <= longest else None


def shown(text: str) -> str:
    """Text of several lines with a ? for every character that would not be printed, or would turn the others around."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in KEPT_SIGNS else "?" for sign in text)


def shortened(text: str, longest: int = 80) -> str:
    """How a refusal quotes what was sent."""
    return repr(text) if len(text) <= longest else f"{text[:longest]!r}…"
