"""Makes values fit for a JSON column before they are stored: one odd value would make the database refuse the row."""

from __future__ import annotations

import json
import math
import re
from typing import Any

LARGEST_INTEGER = 2**63  # other programs misread larger ones
DEEPEST = 32  # levels
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
# A zero character, half of a surrogate pair, and an integer that may be too large.
_doubtful = re.compile(r"\\u0000|[\ud800-\udfff]|[0-9]{19}")


def storable(payload: Any) -> Any:
    """The payload in a form that every database accepts; most payloads are returned unchanged.

    Numbers that are not finite and integers beyond 64 bits become null, characters that cannot be stored become
    question marks, values that are nested too deeply become null, and keys and values of other kinds become text.
    """
    return payload if _plain(payload) is not None else _made_storable(payload, DEEPEST)


def storable_text(payload: Any) -> str:
    """The same as JSON."""
    text = _plain(payload)
    return _encode(_made_storable(payload, DEEPEST)) if text is None else text


def _plain(payload: Any) -> str | None:
    """As JSON, if every database accepts it as it is."""
    try:
        text = _encode(payload)
    except (TypeError, ValueError, RecursionError):
        return None
    return None if _doubtful.search(text) else text


def printable(text: object, most: int) -> str:
    """A text from elsewhere for use in a sentence: one line, no control characters, at most `most` characters."""
    shown = " ".join(str(text).split())
    shown = "".join(sign if sign.isprintable() else "?" for sign in shown[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _made_storable(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -LARGEST_INTEGER <= value < LARGEST_INTEGER else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not levels:
        return None
    if isinstance(value, dict):
        return {_text(str(key)): _made_storable(member, levels - 1) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_made_storable(member, levels - 1) for member in value]
    return _text(str(value))


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode().replace("\0", "?")
