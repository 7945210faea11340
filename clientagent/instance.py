"""Which agent this is: how the server separates two agents with one token.

Each start draws a secret and keeps it in the state folder, beside the secrets of earlier starts. The folder's lock
proves that those are over. A copy of the folder holds another agent's starts; its lock file has another inode.
"""

from __future__ import annotations

import json
import platform
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from os import getpid
from pathlib import Path
from typing import Any

from clientagent.state import replace_file

STARTS = "starts.json"
MOST_STARTS = 5  # kept: the server may not have seen the last ones


def begin(folder: Path) -> dict[str, Any]:
    """This process, as the server sees it. Call it once per start, holding the lock of the state folder `folder`."""
    start = secrets.token_hex(8)
    before = _starts_before(folder)
    kept = [*before, start][-MOST_STARTS:]
    replace_file(folder / STARTS, {"place": _place(folder), "starts": kept})
    there = folder.stat()
    place = f"{platform.node()} {there.st_dev} {there.st_ino}"
    return {
        "id": sha256(place.encode()).hexdigest()[:32],  # of the place, for servers of version 0.1.0
        "host": platform.node()[:253] or "a machine without a name",
        "pid": getpid(),
        "since": datetime.now(UTC).isoformat(),
        "start": start,
        "after": before,
    }


def _starts_before(folder: Path) -> list[str]:
    """The starts of this very folder; none if it is a copy."""
    try:
        kept = json.loads((folder / STARTS).read_bytes())
        starts = [start for start in kept["starts"] if isinstance(start, str)]
        return starts[-MOST_STARTS:] if _is_the_same(kept["place"], _place(folder)) else []
    except (OSError, ValueError, TypeError, KeyError):  # no usable file: the last start must fall silent first
        return []


def _place(folder: Path) -> dict[str, Any]:
    lock = (folder / "lock").stat()
    machine = f"{platform.node()} {lock.st_dev}"
    return {"inode": lock.st_ino, "changed": lock.st_ctime_ns, "machine": machine}


def _is_the_same(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """A volume in another container keeps inode and time of change. `chown` changes the time.

    A copy on another machine or disk may get the same inode by chance, but not the same time.
    """
    either = then["changed"] == now["changed"] or then["machine"] == now["machine"]
    return bool(then["inode"] == now["inode"] and either)
