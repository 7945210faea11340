"""The workload that an invitation is meant for: what a person can choose, and what an agent needs for it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from federation import catalogue, foreign
from federation.fl.workloads import WORKLOADS

FOLDER = "workloads"  # in which a site puts files
NAME = "my-workload"  # in a command, where nobody said which
Choices = list[tuple[str, str | list[tuple[str, str]]]]


@dataclass(frozen=True, slots=True)
class Meant:
    """name: empty if that is open. install: a command that comes before the agent's. flags: of the agent, a line each.

    file: of the server's folder, which a site needs too. by_sites: sites alone have it, as a file or as a script.
    """

    name: str = ""
    install: str = ""
    flags: tuple[str, ...] = ()
    file: str = ""
    by_sites: bool = False


OPEN = Meant()


def choices() -> Choices:
    """Every workload that a client can train, by where its code is."""
    ours = [(name, one.title) for name, one in WORKLOADS.built_in.items()]
    here = [(name, one.title or name) for name, one in WORKLOADS.items() if name not in WORKLOADS.built_in]
    there = list(dict.fromkeys((one.name, one.title) for one in catalogue.of_sites()))
    groups = [("Built in", ours), ("On this server", here), ("Only at sites", there)]
    return [("", "Not decided yet"), *((group, named) for group, named in groups if named)]


def of(name: str) -> Meant:
    """What an agent needs for a workload of this name; without one, what any needs."""
    if not name:
        return OPEN
    if name in WORKLOADS.built_in:
        return Meant(name, flags=(f"--workload {name}",))
    place = foreign.place_of(name)
    if place is not None and place.package:
        install = f".venv/bin/pip install {shlex.quote(place.package)}"
        return Meant(name, install, (f"--allow {name}", f"--workload {name}"))
    return Meant(name, "", of_file(name), Path(place.where).name if place else "", by_sites=place is None)


def of_file(name: str) -> tuple[str, ...]:
    """The flags of an agent whose workload is a file."""
    return (f"--workloads {FOLDER}", f"--allow {name}", f"--workload {name}")
