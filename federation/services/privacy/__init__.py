"""The secret that a private session's noise is made of, and what its rounds have cost."""

from federation.services.privacy.keys import key, selection_seed
from federation.services.privacy.spent import (
    Before,
    before,
    clipping_of,
    cost_of_next,
    exhausted,
    expected,
    has_budget,
    of_model,
    opened,
    own,
    published,
    written,
)

__all__ = [
    "Before",
    "before",
    "clipping_of",
    "cost_of_next",
    "exhausted",
    "expected",
    "has_budget",
    "key",
    "of_model",
    "opened",
    "own",
    "published",
    "selection_seed",
    "written",
]
