"""The kinds of work that this agent can do, one file each.

A file here has a class that does one kind of work (`kind.Kind`), and names it `KIND`. The agent finds it by itself.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from clientagent.kinds.kind import Kind


def by_name() -> dict[str, type[Kind]]:
    """The class of each kind, by the `kind` in the work's JSON."""
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    kinds: list[type[Kind]] = [module.KIND for module in modules if hasattr(module, "KIND")]
    return {kind.name: kind for kind in kinds}
