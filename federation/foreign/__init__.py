"""Workloads from outside the product, as the server knows them: by what they declare.

Their code runs in child processes only. One child imports those of the folder FL_WORKLOADS and of installed packages,
and says what they declare, whenever a file changed; the evaluator's child makes initial models and measures. What the
first one said is kept in a file, so that every process of the server knows it at once.

`declared.py` is what is known, `reading.py` asks the child, `keeping.py` keeps it up to date.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.core import checks

from federation.fl.workloads import WORKLOADS, Workload
from federation.fl.workloads.foreign import Place
from federation.foreign.declared import Declared, Problem, place_as_json
from federation.foreign.keeping import keeper

__all__ = ["Declared", "Problem", "check", "look", "member_of_request", "place_of", "plug_in", "problems"]


def problems() -> Sequence[Problem]:
    """The files and packages that give no workload, in words. For pages, and `manage.py check`."""
    return keeper.state().problems


def place_of(name: str) -> Place | None:
    """Where the server has a foreign workload; None for any other."""
    found = WORKLOADS.get(name)
    return found.place if isinstance(found, Declared) else None


def member_of_request(name: str) -> dict[str, Any]:
    """What a request to the evaluator's child says beside the workload's name."""
    place = place_of(name)
    return {"place": place_as_json(place)} if place else {}


def look() -> None:
    """Read the folder again if it changed, on another thread. The tick calls this, and every look-up of a name."""
    keeper.state()


def plug_in() -> None:
    """Let this process know foreign workloads like its own."""
    WORKLOADS.plug(_known)


def _known() -> Mapping[str, Workload]:
    return cast("Mapping[str, Workload]", keeper.state().workloads)


def check(app_configs: object = None, **kwargs: object) -> list[checks.CheckMessage]:
    """For `manage.py check`: reads the folder now, and warns of each place that gives no workload."""
    return [
        checks.Warning(problem.sentence, hint="Try the file with clientagent/run.py check.", id="federation.W001")
        for problem in keeper.read_now().problems
    ]
