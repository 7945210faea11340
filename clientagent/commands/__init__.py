"""What `run.py` does beside being an agent: `run.py COMMAND …`. One file each, with `run(arguments)` for its status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pkgutil import iter_modules

NAMES = frozenset(module.name for module in iter_modules(__path__))


def command(name: str) -> Callable[[Sequence[str]], int]:
    """run(arguments) of a command, which raises Ends. Only that one is imported."""
    found: Callable[[Sequence[str]], int] = import_module(f"{__name__}.{name}").run
    return found
