"""How many files and connections a process may have open."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

resource: Any = None
with suppress(ImportError):  # as on Windows
    resource = import_module("resource")


ENOUGH = 20_000  # connections are limited by this: with more, strangers could take more memory


def allow_enough() -> int:
    """Raise this process's limit as far as its user may, if it is lower than ENOUGH. Returns the limit.

    Many systems start a process with 1,024 and let it have hundreds of times as many. Each client that waits is a
    connection, and an aggregation reads the files of all updates side by side. 0 where the system has no limit.
    """
    if resource is None:
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= ENOUGH:
        return int(soft)
    wanted = ENOUGH if hard == unlimited else min(hard, ENOUGH)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # macOS has a limit below what it calls unlimited
        return int(soft)
    return int(wanted)
