"""What is known of foreign workloads, and its form in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from federation.fl.workloads.declaration import Declaration, from_json
from federation.fl.workloads.foreign import Place


@dataclass(frozen=True, slots=True)
class Declared:
    """A workload of which only the declaration is here. It stands for the workload where none of its code runs.

    needs_torch: whatever it needs, the evaluator's child does it.
    """

    told: Declaration
    place: Place
    revision: int
    accepts: tuple[str, ...]
    needs_torch: bool = True

    def __getattr__(self, name: str) -> Any:
        """Its name, options and all else that a declaration has."""
        if name == "told":  # asked for while a copy is made
            raise AttributeError(name)
        return getattr(self.told, name)

    @property
    def title(self) -> str:
        return self.told.title or self.told.name

    def digest(self) -> str:
        return self.told.digest


@dataclass(frozen=True, slots=True)
class Problem:
    """A place that gives no workload, and why: a sentence that names the file, with its line where there is one."""

    place: Place
    sentence: str


@dataclass(frozen=True, slots=True)
class State:
    """What is known. mark: of the files that it was read from."""

    mark: str = ""
    workloads: Mapping[str, Declared] = field(default_factory=dict)
    problems: Sequence[Problem] = ()

    def to_json(self) -> str:
        known = [
            {
                "place": place_as_json(one.place),
                "declaration": one.told.to_json(),
                "revision": one.revision,
                "accepts": one.accepts,
            }
            for one in self.workloads.values()
        ]
        wrong = [{"place": place_as_json(one.place), "sentence": one.sentence} for one in self.problems]
        return json.dumps({"mark": self.mark, "workloads": known, "problems": wrong})


def state_from_json(text: str) -> State:
    """Raises ValueError, KeyError or TypeError for what `to_json` did not write."""
    found = json.loads(text)
    known = [declared(Place(**one["place"]), one) for one in found["workloads"]]
    wrong = [Problem(Place(**one["place"]), str(one["sentence"])) for one in found["problems"]]
    return State(str(found["mark"]), {one.told.name: one for one in known}, wrong)


def declared(place: Place, answer: Mapping[str, Any]) -> Declared:
    """A workload from what the child said of it. Raises DeclarationError."""
    accepts = tuple(str(digest) for digest in answer["accepts"])
    return Declared(from_json(answer["declaration"]), place, int(answer["revision"]), accepts)


def place_as_json(place: Place) -> dict[str, str]:
    return {"where": place.where, "package": place.package}
