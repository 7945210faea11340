"""Numbers from outside, bounded so that results stay finite."""

LARGEST = 1e30  # times 10^12 examples, summed over all clients, it is still far below the largest float


def bounded(value: object, *, most: float = LARGEST) -> float | None:
    """The value as a float; None if it is no number, not finite, or beyond `most`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if -most <= value <= most else None  # NaN is in no range
