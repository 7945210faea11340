"""The buffers of stored models, read from their files where no row says enough."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from federation import storage
from federation.errors import Conflict
from federation.fl import roles, weights
from federation.fl.weights import FLOATS, WeightsError
from federation.models import GlobalModel, TrainingSession
from federation.services.models import damage


def of_model(model: GlobalModel) -> Sequence[str]:
    """The buffers of a session's model; by its file if that session is of before there were roles.

    Raises Conflict while the file is damaged.
    """
    if model.session.buffers is not None:
        return list(model.session.buffers)
    try:
        with storage.local(model.digest) as file:
            return roles.buffers(weights.read_header(file))
    except (OSError, WeightsError):
        damage.note([model.digest])
        raise Conflict(
            f"The file of model {model} is damaged and is being made again. Try again in a minute."
        ) from None


def has_float_buffers(session: TrainingSession, base: GlobalModel) -> bool:
    """Whether an encoding could round one of the session's buffers. True if the model's file cannot be read now."""
    try:
        return not _floats(base.digest).isdisjoint(session.buffers or ())
    except (OSError, WeightsError):
        return True


@lru_cache(maxsize=16)  # asked for each seat of a round; a digest's tensors never change
def _floats(digest: str) -> frozenset[str]:
    with storage.local(digest) as file:
        return frozenset(name for name, each in weights.read_header(file).tensors.items() if each.dtype in FLOATS)
