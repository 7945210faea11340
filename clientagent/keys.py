"""Short names of values."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any


def key_of(parts: list[Any]) -> str:
    """The same for the same values, and fit for a file's name."""
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
