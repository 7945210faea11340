"""Numbers that somebody else tells: bounded, so that what is computed of them stays finite."""

LARGEST = 1e30  # 10^12 examples of it, summed over any number of clients, are still far below the largest float


def bounded(value: object, *, most: float = LARGEST) -> float | None:
    """The value as a float; None where it is no number, not finite, or larger than anything that is measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -most <= value <= most else None  # NaN is in no range
