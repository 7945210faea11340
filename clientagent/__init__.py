"""The program that a site runs beside its data, and the library for scripts. Of the project it imports federation.fl.

`clientagent.works` and the rest of the library are loaded when a script uses them: the agent does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clientagent.library import (
        Combine,
        Direction,
        Measure,
        ModelError,
        Option,
        ScriptError,
        Work,
        works,
    )

__all__ = ["Combine", "Direction", "Measure", "ModelError", "Option", "ScriptError", "Work", "works"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clientagent import library

    return getattr(library, name)
