"""Loaded when a script starts: transformers imports torchvision, whose operators may be missing."""

import tests.e2e.seeing  # noqa: F401
