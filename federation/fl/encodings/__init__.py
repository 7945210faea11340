"""How the clients of a session may encode their updates. One file an encoding; each is found by being here.

An update is a difference already, local - base, and that is what is encoded, tensor by tensor, by
way of its float32 value. The file's metadata name the encoding, and its tensors are named
"<part>/<tensor>": values/<t> always, scale/<t> with int8, indices/<t> with topk. Integer tensors
travel as they are, in values/<t>.
"""

from __future__ import annotations

from collections.abc import Mapping

from federation.fl import discovery
from federation.fl.encodings.encoding import INDICES, PLAIN, SCALE, VALUES, Encoding
from federation.fl.options import OptionError, check

__all__ = ["ENCODINGS", "INDICES", "NONE", "PLAIN", "SCALE", "VALUES", "Encoding", "build"]

NONE = Encoding()
ENCODINGS: Mapping[str, type[Encoding]] = discovery.by_name(__name__, __path__, first=NONE.name)


def build(name: str, options: Mapping[str, object]) -> Encoding:
    """The encoding of this name with these options, defaults filled in. Raises OptionError."""
    if name not in ENCODINGS:
        raise OptionError("name", f"There is no compression {name!r}: choose one of {', '.join(ENCODINGS)}.")
    encoding = ENCODINGS[name]
    return encoding(**check(options, encoding.options, f"compression {name}"))
