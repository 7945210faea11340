"""Workloads from outside the product: installed packages with the entry point group `fl.workloads`, and single files.

A file offers its workload as `WORKLOAD`, an instance or a class that is made without arguments; an entry point names
one. Their code runs when they are loaded. Whoever loads one takes the digest of its source, before its code runs: of
a file its bytes, of a package all its Python files. So the same source has the same digest everywhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from federation.fl.workloads import declaration
from federation.fl.workloads.declaration import DIGEST, DeclarationError
from federation.fl.workloads.workload import Workload

GROUP = "fl.workloads"
OFFERED = "WORKLOAD"
MOST_ACCEPTED = 200
METHODS = ("initial_weights", "write_initial", "buffers", "training_data", "local_update", "evaluate")
MEMBERS = ("name", "title", "summary", "options", "needs_torch", "version", "revision", "accepts", "train_defaults")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the code of a workload is. where: a file's path, or what an entry point names, `module:object`.

    package: the name of the distribution; empty for a file. called: the entry point's own name, where it is known.
    """

    where: str
    package: str = ""
    called: str = field(default="", compare=False)

    def __str__(self) -> str:
        name = f"{self.where} of the package {self.package}" if self.package else Path(self.where).name
        return "".join(sign if sign.isprintable() else "?" for sign in name)  # a file's name may be any bytes


class Unusable(Exception):
    """A place that gives no workload. str(error) is a sentence that names it, with the line where there is one."""

    def __init__(self, place: Place, sentence: str) -> None:
        super().__init__(sentence)
        self.place = place


@dataclass(frozen=True, slots=True)
class Loaded:
    workload: Workload
    place: Place

    @property
    def name(self) -> str:
        return self.workload.name


def places(folder: Path | None = None) -> list[Place]:
    """Where workloads are, the installed packages first. No code runs. Raises OSError if the folder cannot be read."""
    return [*installed(), *files_in(folder)]


def installed() -> list[Place]:
    """Each once, in the order of what the entry points name."""
    return list(dict.fromkeys(sorted(map(_place_of, entry_points(group=GROUP)), key=lambda place: place.where)))


def files_in(folder: Path | None) -> list[Place]:
    """The workload files of a folder, by name. Files whose names begin with _ or . are none. Raises OSError."""
    files = sorted(path for path in folder.iterdir() if _is_workload(path)) if folder else []
    return [Place(str(path.absolute())) for path in files]


def _place_of(point: EntryPoint) -> Place:
    return Place(point.value, point.dist.name if point.dist else "?", point.name)


def _is_workload(path: Path) -> bool:
    return path.suffix == ".py" and path.name[0] not in "._" and path.is_file()


def load_all(
    found: Iterable[Place], built_in: Collection[str], unusable: Callable[[Unusable], None]
) -> dict[str, Workload]:
    """The workloads of these places, by name. unusable: called for each place that gives none."""
    loaded = []
    for place in found:
        try:
            loaded.append(load(place))
        except Unusable as error:
            unusable(error)
    return by_name(loaded, built_in, unusable)


def by_name(
    loaded: Sequence[Loaded], built_in: Collection[str], unusable: Callable[[Unusable], None]
) -> dict[str, Workload]:
    """Those whose names are not taken. unusable: called for each of the others."""
    taken = dict(clashes(((one.name, one.place) for one in loaded), built_in))
    for place, sentence in taken.items():
        unusable(Unusable(place, sentence))
    return {one.name: one.workload for one in loaded if one.place not in taken}


def clashes(named: Iterable[tuple[str, Place]], built_in: Collection[str]) -> Iterator[tuple[Place, str]]:
    """The places whose names are taken, each with a sentence. Of two with one name neither is used."""
    by_name: dict[str, list[Place]] = defaultdict(list)
    for name, place in named:
        by_name[name].append(place)
    for name, several in by_name.items():
        if name in built_in:
            yield from ((place, f"{place}: {name!r} is the name of a built-in workload.") for place in several)
        elif len(several) > 1:
            both = " and ".join(map(str, several))
            yield from ((place, f"{place}: the name {name!r} is that of {both}. Rename one.") for place in several)


def load(place: Place, only: str = "") -> Loaded:
    """Run the code of a place, and have its workload. Raises Unusable.

    only: the digest of the source that may run; empty for any.
    """
    offered, digest = _from_package(place, only) if place.package else _from_file(place, only)
    if isinstance(offered, type):
        offered = _run(place, offered)
    _run(place, partial(_require_members, place, offered))  # a member may be a property, whose code fails
    try:
        offered.digest = lambda: digest  # what runs, not what it says of itself
    except AttributeError as error:
        raise Unusable(place, f"{place}: {OFFERED} must let its digest be set ({error}).") from error
    _run(place, partial(_require_declared, place, offered))
    _ran[place.where] = place
    return Loaded(offered, place)


def _require_declared(place: Place, offered: Workload) -> None:
    try:
        declaration.from_json(declaration.of(offered).to_json())
    except DeclarationError as error:
        raise Unusable(place, f"{place}: {error.member} {error.why}") from error


def sources(place: Place) -> list[Path]:
    """The files that its digest is of. Raises Unusable."""
    if not place.package:
        return [Path(place.where)]
    root = _root(place)
    found = [path for path in root.rglob("*.py") if path.is_file()] if root.is_dir() else [root]
    return sorted(found, key=lambda path: path.relative_to(root.parent).as_posix())


def source_now(place: Place) -> str:
    """The digest of a place's source as it is now. No code of the workload runs. Raises Unusable."""
    try:
        return _digest_of_package(place) if place.package else _digest(Path(place.where).read_bytes())
    except OSError as error:
        raise Unusable(place, f"{place} cannot be read: {error.strerror}.") from error


# ---- a file


def _from_file(place: Place, only: str) -> tuple[Any, str]:
    path = Path(place.where)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise Unusable(place, f"{place} cannot be read: {error.strerror}.") from error
    digest = _the_only_one(place, _digest(source), only)
    module = ModuleType(f"fl_workload_{hashlib.sha256(os.fsencode(place.where)).hexdigest()[:12]}")
    module.__file__ = place.where
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for it
    _run(place, lambda: exec(compile(source, place.where, "exec"), vars(module)))
    if not hasattr(module, OFFERED):
        raise Unusable(place, f"{place} has no {OFFERED}. End it with {OFFERED} = and the workload's class.")
    return getattr(module, OFFERED), digest


def _the_only_one(place: Place, digest: str, only: str) -> str:
    if only not in ("", digest):
        raise Unusable(place, f"{place} changed at this moment: its digest is {digest[:12]}… and not {only[:12]}….")
    return digest


def _digest(source: bytes) -> str:
    """Line endings normalised, as for built-in workloads."""
    return hashlib.sha256(source.replace(b"\r\n", b"\n")).hexdigest()


# ---- a package


def _from_package(place: Place, only: str) -> tuple[Any, str]:
    digest = _the_only_one(place, source_now(place), only)
    point = EntryPoint(name="", value=place.where, group=GROUP)
    return _run(place, point.load), digest


def _digest_of_package(place: Place) -> str:
    """SHA-256 over the Python files of the package, each with its path within it, in the order of the paths."""
    root = _root(place)
    sha = hashlib.sha256()
    for path in sources(place):
        sha.update(os.fsencode(path.relative_to(root.parent).as_posix()) + b"\0")
        sha.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return sha.hexdigest()


def _root(place: Place) -> Path:
    """The folder of the outermost regular package that has the module, or the file of a module of its own."""
    parts = place.where.partition(":")[0].strip().split(".")
    for depth in range(1, len(parts) + 1):
        name = ".".join(parts[:depth])
        spec = _run(place, partial(importlib.util.find_spec, name))
        if spec is None:
            break
        if spec.origin:
            if not spec.origin.endswith(".py"):  # to look within it would run it
                break
            file = Path(spec.origin)
            return file.parent if spec.submodule_search_locations else file
    raise Unusable(place, f"{place}: there is no module {'.'.join(parts)} with a source.")


# ---- code of others


def _run(place: Place, do: Callable[[], Any]) -> Any:
    """Do what runs a place's code. Whatever it raises becomes a sentence with the line."""
    try:
        return do()
    except Unusable:
        raise
    except SyntaxError as error:
        raise Unusable(place, f"{place}, line {error.lineno}: {type(error).__name__}: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        raise Unusable(place, f"{sentence_of(error, place)}.") from error


def sentence_of(error: BaseException, place: Place) -> str:
    """What was raised, with the innermost line of the place's own code that it came from."""
    text = " ".join(str(error).split())[:300].rstrip(".")
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of(frame.filename, place)]
    if not frames:
        return f"{place}: {what}"
    shown = f"{Path(frames[-1].filename).name} of the package {place.package}" if place.package else str(place)
    return f"{shown}, line {frames[-1].lineno}: {what}"


_ran: dict[str, Place] = {}  # whose code was loaded in this process


def fault(error: BaseException) -> str:
    """What was raised, and the innermost line of a loaded workload that it came from, if it came from one."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if any(_is_of(frame.filename, place) for place in _ran.values())]
    where = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {error}{where}"


def _is_of(filename: str, place: Place) -> bool:
    if not place.package:
        return filename == place.where
    module = sys.modules.get(place.where.partition(":")[0].strip().split(".")[0])
    folders = list(getattr(module, "__path__", [])) or [getattr(module, "__file__", None) or "?"]
    return any(filename.startswith(str(folder)) for folder in folders)


def _require_members(place: Place, offered: Any) -> None:
    lacking = [name for name in MEMBERS if not hasattr(offered, name)]
    lacking += [name for name in METHODS if not callable(getattr(offered, name, None))]
    if lacking:
        raise Unusable(place, f"{place}: the workload has no {', '.join(lacking)}. OwnWorkload has what is usual.")
    accepts = offered.accepts
    if type(offered.revision) is not int or offered.revision < 1:
        raise Unusable(place, f"{place}: revision must be a whole number from 1.")
    if not isinstance(accepts, tuple | list) or len(accepts) > MOST_ACCEPTED or not all(map(_is_digest, accepts)):
        raise Unusable(place, f"{place}: accepts must be at most {MOST_ACCEPTED} digests of 64 hexadecimal digits.")


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None
