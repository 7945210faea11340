"""No differential privacy."""

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.options import Option


@dataclass(frozen=True, slots=True)
class NoPrivacy:
    name: ClassVar[str] = "none"
    title: ClassVar[str] = "No differential privacy"
    summary: ClassVar[str] = "Whoever has the models may find out whether a client took part."
    options: ClassVar[tuple[Option, ...]] = ()
