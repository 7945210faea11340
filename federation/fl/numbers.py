"""Numbers that somebody else tells: bounded, so that what is computed of them stays finite."""

import math

LARGEST = 1e30  # 10^12 examples of it, summed over any number of clients, are still far below the largest float


def bounded(value: object) -> float | None:
    """The value as a float; None where it is no number, not finite, or larger than anything that is measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None
