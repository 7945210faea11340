"""The kinds of work that a seat can ask for. One file a kind; each is found by being here.

A kind decides what its work says, whether an answer can be used, and what the answers of a round come to. It reads
files of the store and writes nothing: services do.
"""

from collections.abc import Mapping
from typing import Any, cast

from federation.fl import discovery
from federation.models import Participation, Round
from federation.work.common_members import common_members
from federation.work.kind import Answer, Failed, Kind, Model, Numbers, Outcome, Unusable

__all__ = ["KINDS", "Answer", "Failed", "Kind", "Model", "Numbers", "Outcome", "Unusable", "describe", "of"]

KINDS: Mapping[str, Kind] = {
    name: cast("Kind", kind()) for name, kind in discovery.by_name(__name__, __path__, first="train").items()
}


def of(round_: Round) -> Kind:
    """What a round asks for."""
    return KINDS[round_.kind]


def describe(seat: Participation) -> dict[str, Any]:
    """A seat's work, as the contract has it."""
    return common_members(seat) | of(seat.round).offer(seat)
