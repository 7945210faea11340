"""How the updates of a private session are clipped. One file each; each is found by being here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from federation.fl import discovery
from federation.fl.options import OptionError, check
from federation.fl.privacy.clippings.clipping import Adaptation, Clipping

__all__ = ["CLIPPINGS", "NONE", "Adaptation", "Clipping", "build"]

NONE = "none"
CLIPPINGS: Mapping[str, type[Clipping]] = discovery.by_name(__name__, __path__, first=NONE)


def build(name: str, options: Mapping[str, object]) -> Clipping | None:
    """The clipping of this name with these options, defaults filled in; None for no privacy. Raises OptionError."""
    if name not in CLIPPINGS:
        raise OptionError("name", f"There is no privacy {name!r}: choose one of {', '.join(CLIPPINGS)}.")
    declared = CLIPPINGS[name].options
    made = cast("Callable[..., Clipping]", CLIPPINGS[name])(**check(options, declared, f"privacy {name}"))
    return None if name == NONE else made
