"""Finds what the files of a folder declare, so that adding a strategy, an encoding or a measure is adding a file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def by_name(package: str, path: Iterable[str], *, first: str) -> Mapping[str, type[Any]]:
    """The classes with a `name` and a `title` that a package's modules define, by name: `first`, then alphabetically.

    path: the package's `__path__`. Raises ValueError if two have the same name, or none is called `first`.
    """
    found = _named(package, path, _classes)
    if first not in found:
        raise ValueError(f"{package} has none with the name {first!r}.")
    return {name: found[name] for name in (first, *sorted(found.keys() - {first}))}


def instances_by_name(package: str, path: Iterable[str], kind: type[T]) -> Mapping[str, T]:
    """The objects of one type that a package's modules define, by their `name`, alphabetically.

    Raises ValueError if two have the same name.
    """
    found = _named(package, path, lambda module: [one for one in vars(module).values() if isinstance(one, kind)])
    return {name: found[name] for name in sorted(found)}


def _named(package: str, path: Iterable[str], pick: Callable[[ModuleType], Iterable[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(list(path))):
        for declared in pick(importlib.import_module(f"{package}.{module}")):
            if found.setdefault(declared.name, declared) is not declared:
                raise ValueError(f"{package} has two with the name {declared.name!r}.")
    return found


def _classes(module: ModuleType) -> list[type[Any]]:
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__ and {"name", "title"} <= vars(one).keys()
    ]
