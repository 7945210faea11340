"""Which files of models are kept."""

from __future__ import annotations

from django.conf import settings

from federation import storage
from federation.models import GlobalModel


def retention() -> str:
    """Which files stay, in a sentence."""
    policy, _, every = settings.FL_KEEP_MODELS.partition("_")
    if policy == "all":
        return "Every file is kept."
    which = f"every {every}th" if policy == "every" else "the best and the last"
    return (
        f"Of a session, the files of the last {settings.FL_KEEP_UPDATES} rounds and {which} are kept, and tagged ones."
    )


def is_stored(model: GlobalModel) -> bool:
    return storage.exists(model.digest)
