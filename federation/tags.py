"""Tags: short words on clients and models, written alike everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable

from federation.errors import Invalid

TAG = re.compile(r"[a-z0-9][a-z0-9._\-]{0,31}")
MOST = 20  # on one client, or asked for by one session


def check(given: Iterable[str], *, field: str) -> list[str]:
    """The tags in small letters, each once, in order. Raises Invalid naming the first that cannot be."""
    found = sorted({tag.strip().lower() for tag in given if tag.strip()})
    for tag in found:
        if not TAG.fullmatch(tag):
            raise Invalid((field, f"The tag {tag!r} cannot be: use 1 to 32 of a to z, 0 to 9 and . _ -."))
    if len(found) > MOST:
        raise Invalid((field, f"{len(found)} tags are too many: use up to {MOST}."))
    return found


def split(text: str) -> list[str]:
    """'gpu, hospital' as a person types it."""
    return [tag for tag in re.split(r"[,\s]+", text) if tag]
