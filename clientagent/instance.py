"""Which agent this is: what the server tells apart where two use one token.

Each start draws a secret and keeps it in the state folder, beside those of the starts before it. The folder's
lock proves that these are over. That a folder is a copy, and the starts in it are another's, shows in its lock
file: a copy of a file has another inode.
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
MOST_STARTS = 5  # that are kept: so many may have ended before the server heard of them


def begin(folder: Path) -> dict[str, Any]:
    """This process, as it tells the server. `folder` is the state folder, whose lock it holds. Once a start."""
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
    """Those that were made in this folder; none in a copy of it."""
    try:
        kept = json.loads((folder / STARTS).read_bytes())
        starts = [start for start in kept["starts"] if isinstance(start, str)]
        return starts[-MOST_STARTS:] if _is_the_same(kept["place"], _place(folder)) else []
    except (OSError, ValueError, TypeError, KeyError):  # no file, or half of one: the last start has to fall silent
        return []


def _place(folder: Path) -> dict[str, Any]:
    lock = (folder / "lock").stat()
    machine = f"{platform.node()} {lock.st_dev}"
    return {"inode": lock.st_ino, "changed": lock.st_ctime_ns, "machine": machine}


def _is_the_same(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """A volume in another container keeps inode and time of change. `chown` alters the time of change.

    A copy on another machine or disk may get the same inode by chance, but not the same time.
    """
    either = then["changed"] == now["changed"] or then["machine"] == now["machine"]
    return bool(then["inode"] == now["inode"] and either)
