"""Text from outside as a number, or as text that can be shown. No function raises: invalid text gives None."""

from __future__ import annotations

import math
import re
import unicodedata

from federation.fl.numbers import bounded

LARGEST = 2**63 - 1  # whole number that a database stores
WHOLE = re.compile(r"[0-9]{1,19}")
DECIMAL = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,4})?")
KEPT_SIGNS = "\n\t"  # not printable, but allowed in a text of several lines


def whole(text: str, *, least: int = 0, most: int = LARGEST) -> int | None:
    """A whole number in ASCII digits, or None if it is anything else or out of range."""
    if not WHOLE.fullmatch(text):
        return None
    number = int(text)
    return number if least <= number <= most else None


def decimal(text: str) -> float | None:
    """A finite number in the notation of JSON, or None."""
    if not DECIMAL.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def number(value: object, *, most: float = 1e100) -> float | None:
    """A JSON number as a float, or None if it is no number, not finite or huge."""
    return bounded(value, most=most)


def label(text: str, *, longest: int) -> str | None:
    """A short text in one line: normalised (NFC) and stripped. None if it is empty, too long or not printable.

    Printable excludes control characters, direction marks, other invisible ones and halves of surrogate pairs.
    """
    if len(text) > 4 * longest:  # normalisation does not shorten a text that much
        return None
    found = unicodedata.normalize("NFC", text).strip()
    return found if found.isprintable() and 1 <= len(found) <= longest else None


def shown(text: str) -> str:
    """Text of several lines, with ? for invisible characters and direction marks."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in KEPT_SIGNS else "?" for sign in text)


def shortened(text: str, longest: int = 80) -> str:
    """A value as a refusal quotes it."""
    return repr(text) if len(text) <= longest else f"{text[:longest]!r}…"
