"""Finds what the files of a folder declare, so that adding a strategy or an encoding is adding a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any


def by_name(package: str, path: Iterable[str], *, first: str) -> Mapping[str, type[Any]]:
    """The classes with a `name` and a `title` that a package's modules define, by name: `first`, then alphabetically.

    path: the package's `__path__`. Raises ValueError if two have the same name, or none is called `first`.
    """
    found: dict[str, type[Any]] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(list(path))):
        for declared in _declared(f"{package}.{module}"):
            if found.setdefault(declared.name, declared) is not declared:
                raise ValueError(f"{package} has two with the name {declared.name!r}.")
    if first not in found:
        raise ValueError(f"{package} has none with the name {first!r}.")
    return {name: found[name] for name in (first, *sorted(found.keys() - {first}))}


def _declared(module: str) -> list[type[Any]]:
    members = vars(importlib.import_module(module)).values()
    return [
        one
        for one in members
        if isinstance(one, type) and one.__module__ == module and {"name", "title"} <= vars(one).keys()
    ]
