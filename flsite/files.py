"""How many files and connections a process may have open."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

resource: Any = None
with suppress(ImportError):  # as on Windows
    resource = import_module("resource")


def allow_most() -> int:
    """Raise this process's limit as far as its user may. Returns the limit, or 0 where the system has none.

    Many systems start a process with 1,024 and let it have hundreds of times as many. Each client that waits is a
    connection, and an aggregation reads the files of all updates side by side.
    """
    if resource is None:
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS has a limit below what it calls unlimited
        return int(soft)
    return int(hard)
