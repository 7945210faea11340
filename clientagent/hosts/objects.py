"""MODULE:NAME in a folder of the site's own, and what went wrong in its lines."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from clientagent.errors import Misconfigured
from clientagent.library.work import sentence


def look_in(folder: Path) -> None:
    """Let imports look in a folder first, as Python does for a script's own."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def load(reference: str, folder: Path, flag: str) -> Any:
    """What MODULE:NAME is. flag: which asked for it. Raises Misconfigured naming module, name or line."""
    look_in(folder)
    module, _, path = reference.partition(":")
    found = _module(module, folder, flag)
    for name in path.split("."):
        if not hasattr(found, name):
            raise Misconfigured(f"{flag} {reference}: the module {module} has no {name!r}.")
        found = getattr(found, name)
    return found


def _module(name: str, folder: Path, flag: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise Misconfigured(
                f"{flag}: there is no module {missing!r} in {folder}, nor among the installed packages."
            ) from error
        raise Misconfigured(f"{flag}: {name} needs the module {missing!r}, which is not installed.") from error
    except Exception as error:  # whatever its own code raises
        raise Misconfigured(f"{flag}: {name} cannot be imported: {sentence(error)}.") from error
