"""The clients of one process: their names, folders and shares of the data."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from clientagent.errors import Misconfigured
from clientagent.identity import WHICH_SERVER, machine_name
from clientagent.settings import Settings, client_name
from clientagent.state import IDENTITY, default_folder, identity_in

PARTITION = "iid"  # unless --partition says another


def prefix(settings: Settings) -> str:
    return settings.name or machine_name()


def folder(settings: Settings) -> Path:
    """Where all clients have their state folders. Raises Misconfigured if it is the folder of a single client."""
    path = settings.state or default_folder(prefix(settings))
    if (path / IDENTITY).exists():
        raise Misconfigured(
            f"The state folder {path} belongs to a single client. Give another --state for {settings.clients} clients."
        )
    return path


def workers(settings: Settings) -> int:
    """How many processes compute: one per core unless --workers says otherwise, and no more than clients."""
    clients = settings.clients or 1
    return min(settings.workers or usable_cores(), clients)


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def members(settings: Settings) -> list[Settings]:
    """Each client's own settings, as an agent of its own would have them. Raises Misconfigured."""
    count = settings.clients or 1
    within = folder(settings)
    return [_member(settings, number, count, within) for number in range(1, count + 1)]


def server(members: Iterable[Settings]) -> str:
    """Their server: the given one, or the one of the first client that has joined. Raises Misconfigured."""
    for each in members:
        known = each.state and identity_in(each.state)
        if there := each.server or (known.server if known else ""):
            return there
    raise Misconfigured(WHICH_SERVER)


def _member(settings: Settings, number: int, count: int, within: Path) -> Settings:
    name = f"{prefix(settings)}-{number:0{len(str(count))}}"
    try:
        client_name(name)
    except ValueError as error:
        raise Misconfigured(f"--name: with its number it becomes {name!r}: {error}.") from None
    return replace(
        settings,
        name=name,
        state=within / name,
        partition=settings.partition or PARTITION,
        shard=f"{number}/{count}",
    )
