"""What a place says of its workload before any of its code runs: a name, and the digest of its source.

A site decides by it whether the code may run at all. The workload itself may turn out to have another name; then the
site decides once more, by that one.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from federation.fl.workloads.declaration import NAME
from federation.fl.workloads.foreign import OFFERED, Place, source_now

UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Claim:
    """name: of a file what the class behind WORKLOAD assigns to `name`, else the file's own; of a package, the entry
    point's. source: a digest.
    """

    place: Place
    name: str
    source: str

    @property
    def title(self) -> str:
        return str(self.place)

    def digest(self) -> str:
        return self.source


def of(place: Place) -> Claim:
    """Raises Unusable if the source cannot be read."""
    source = source_now(place)
    return Claim(place, place.called if place.package else _name_of_file(Path(place.where)), source)


def _name_of_file(path: Path) -> str:
    name = _assigned(path) or re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    return name if NAME.fullmatch(name) else UNNAMED


def _assigned(path: Path) -> str:
    """The text that the class behind WORKLOAD assigns to `name`; empty if there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whoever imports it warns
            body = ast.parse(path.read_bytes()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):  # whoever imports it says what is wrong
        return ""
    offered = dict(_assignments(body)).get(OFFERED)
    made = offered.func if isinstance(offered, ast.Call) else offered
    for one in body:
        if isinstance(one, ast.ClassDef) and isinstance(made, ast.Name) and one.name == made.id:
            name = dict(_assignments(one.body)).get("name")
            return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ""
    return ""


def _assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """What is assigned to each name, `a, b = 1, 2` included."""
    for one in body:
        if isinstance(one, ast.AnnAssign) and one.value is not None:
            yield from _pairs(one.target, one.value)
        elif isinstance(one, ast.Assign):
            for target in one.targets:
                yield from _pairs(target, one.value)


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        for each, its in zip(target.elts, value.elts, strict=True):
            yield from _pairs(each, its)
