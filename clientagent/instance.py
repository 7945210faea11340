"""Which agent this is: what the server tells apart where two use one token."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from hashlib import sha256
from os import getpid
from pathlib import Path
from typing import Any


def describe(folder: Path) -> dict[str, Any]:
    """This process. The id stands for the state folder in its place, so that a copy of the folder has another."""
    there = folder.stat()
    place = f"{platform.node()} {there.st_dev} {there.st_ino}"
    return {
        "id": sha256(place.encode()).hexdigest()[:32],
        "host": platform.node()[:253] or "a machine without a name",
        "pid": getpid(),
        "since": datetime.now(UTC).isoformat(),
    }
