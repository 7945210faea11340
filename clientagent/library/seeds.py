"""Where random numbers begin in a piece of work."""

from __future__ import annotations

import random
import sys

import numpy as np


def seed(number: int) -> None:
    """Let everything that draws random numbers begin at this work's seed, so that it draws the same after a kill."""
    random.seed(number)
    np.random.seed(number % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(number % 2**63)
