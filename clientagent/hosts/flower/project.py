"""A Flower app on this machine: its folder, what its pyproject.toml says, and the objects that it names."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clientagent.errors import Misconfigured
from clientagent.hosts import objects

Scalar = bool | int | float | str
FILE = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """folder: where its modules are. app: MODULE:NAME of the ClientApp. config: of [tool.flwr.app.config], flat."""

    folder: Path
    app: str
    name: str
    version: str = ""
    summary: str = ""
    config: Mapping[str, Scalar] = field(default_factory=dict)

    def load(self, reference: str, flag: str) -> Any:
        """What MODULE:NAME is. flag: which asked for it. Raises Misconfigured naming module, name or line."""
        return objects.load(reference, self.folder, flag)

    def sentence(self, error: BaseException) -> str:
        """What went wrong in the app, and in which of its lines."""
        return objects.sentence(error, self.folder)

    def sources(self, reference: str) -> list[Path]:
        """The files whose content tells what runs: those of the package of a module that was loaded, or its own."""
        module = sys.modules[reference.partition(":")[0].partition(".")[0]]
        places = getattr(module, "__path__", None)
        if places is None:
            return [Path(str(module.__file__))]
        return sorted(file for place in places for file in Path(place).rglob("*.py"))


def find(given: str, here: Path) -> Project:
    """The project that MODULE:NAME in the folder `here`, or a folder, means. Raises Misconfigured.

    A folder needs a pyproject.toml that names its clientapp.
    """
    if (folder := here / Path(given).expanduser()).is_dir():
        return _read(folder.resolve(), "")
    return _read(here.resolve(), given)


def _read(folder: Path, app: str) -> Project:
    path = folder / FILE
    told = _toml(path) if path.is_file() else {}
    about, flower = _table(told, "project"), _table(told, "tool", "flwr", "app")
    app = app or str(_table(flower, "components").get("clientapp", ""))
    if not app:
        raise Misconfigured(
            f"--flower-app: {path} does not name the app. Give MODULE:NAME, or write clientapp = "
            '"MODULE:NAME" into its table [tool.flwr.app.components].'
        )
    name = str(about.get("name") or app.partition(":")[0].partition(".")[0])
    return Project(
        folder,
        app,
        _valid(name),
        str(about.get("version", "")),
        str(about.get("description", "")),
        flat(_table(flower, "config")),
    )


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"--flower-app: {path} cannot be read: {error}.") from error


def _table(told: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A table within a table; empty if there is none."""
    found: Any = told
    for name in names:
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _valid(name: str) -> str:
    """As workloads are named: a-z, 0-9 and -."""
    found = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    return found if found[:1].isalpha() else f"app-{found}".rstrip("-")


def flat(told: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """Flower's own form of a config: values of tables within it have names with dots. Other values are left out."""
    found: dict[str, Scalar] = {}
    for name, value in told.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            found[f"{prefix}{name}"] = value
    return found
