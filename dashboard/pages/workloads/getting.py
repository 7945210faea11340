"""What a site does to get a workload: a few steps, each with its command where it has one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.pages.workloads.catalogue import Listed, Origin

AGENT = ".venv/bin/python clientagent/run.py \\\n  --state STATE \\\n  "


@dataclass(frozen=True, slots=True)
class Step:
    """text: a sentence or two. command: what to run at the site; empty if there is nothing to run."""

    title: str
    text: str
    command: str = ""


def steps(one: Listed) -> Sequence[Step]:
    return _STEPS[one.origin](one)


def _ours(one: Listed) -> Sequence[Step]:
    return (
        Step("Nothing to install", "Every agent of this version has it. A new client has it as soon as it joins."),
        Step(
            "If a client has another version",
            "Update this project at the site, then start the agent again. It keeps its identity and its work.",
            "git pull\n.venv/bin/pip install \\\n  -r clientagent/requirements.txt",
        ),
    )


def _of_server(one: Listed) -> Sequence[Step]:
    same = Step("The same bytes", "The server never sends code to a site. One whose digest differs is left out.")
    if one.place and one.place.package:
        return Step(
            "Install the package",
            f"Install the release of {one.place.package} that this server has beside the agent, then start it again.",
            f".venv/bin/pip install {shlex.quote(one.place.package)}\n{AGENT}--allow {one.name}",
        ), same
    file = str(one.place) if one.place else "its file"
    return Step(
        "Copy the file",
        f"Copy {file} of this server's FL_WORKLOADS into a folder of its own at the site, and name the folder.",
        f"{AGENT}--workloads FOLDER \\\n  --allow {one.name}",
    ), same


def _at_sites(one: Listed) -> Sequence[Step]:
    return (
        Step(
            "A script",
            f"Copy the training script from a site that has it. It names the workload in clientagent.works"
            f'("{one.name}"). Start it through the agent.',
            f"{AGENT}-- python train.py",
        ),
        Step(
            "A file or a package",
            "Put the file into a folder of its own and name the folder. A package is installed beside the agent and "
            "needs no folder.",
            f"{AGENT}--workloads FOLDER \\\n  --allow {one.name}",
        ),
        Step(
            "Equal everywhere",
            "The server never sends code to a site. Copy the same file to each, so that all digests are equal. "
            "To serve that source alone, allow NAME@DIGEST.",
        ),
    )


_STEPS = {Origin.OURS: _ours, Origin.SERVER: _of_server, Origin.SITES: _at_sites}
