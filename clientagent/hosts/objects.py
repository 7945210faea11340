"""MODULE:NAME in a folder of the site's own, and what went wrong in the folder's lines."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from clientagent.errors import Misconfigured
from clientagent.library import models
from clientagent.library.models import ModelError

OURS = str(Path(__file__).resolve().parents[1])  # lines of which tell its owner nothing


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
    except (Exception, SystemExit) as error:  # whatever its own code raises
        raise Misconfigured(f"{flag}: {name} cannot be imported: {sentence(error, folder)}") from error


def model_file(text: str, flag: str) -> Path:
    """A file with the model that sessions begin with. Raises Misconfigured if it cannot be read as one."""
    path = Path(text).expanduser().absolute()
    try:
        models.require_usable(path)
    except ModelError as error:
        raise Misconfigured(f"{flag}: {error}") from error
    return path


def sentence(error: BaseException, folder: Path) -> str:
    """What went wrong in the code of a folder, and in which of its lines."""
    if isinstance(error, SyntaxError):
        where: list[tuple[str, int | None]] = [(error.filename or "", error.lineno)]
        text = error.msg
    else:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(OURS)]
        theirs = [one for one in frames if one.filename.startswith(f"{folder}{os.sep}")] or frames[-1:]
        where = [(one.filename, one.lineno) for one in theirs]
        text = str(error)
    place = f" ({os.path.basename(where[-1][0])}, line {where[-1][1]})" if where else ""
    return f"{type(error).__name__}: {text}{place}"
