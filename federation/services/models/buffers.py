"""The buffers of stored models, read from their files where no row says enough."""

from __future__ import annotations

from collections.abc import Sequence

from federation import storage
from federation.errors import Conflict
from federation.fl import roles, weights
from federation.fl.weights import WeightsError
from federation.models import GlobalModel
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
