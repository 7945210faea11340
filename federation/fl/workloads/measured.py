"""What each workload measures, the most telling measure first."""

from collections.abc import Iterable

from federation.fl.measures import Measure
from federation.fl.measures.classification import ACCURACY
from federation.fl.measures.loss import LOSS

BUILT_IN: dict[str, tuple[Measure, ...]] = {"digits": (ACCURACY, LOSS), "threes_and_sevens": (ACCURACY, LOSS)}


def measures_of(workload: object) -> tuple[Measure, ...]:
    """The measures that a workload declares; of ours that declare none, those of the table."""
    declared: Iterable[Measure] = getattr(workload, "measures", ())
    return tuple(declared) or BUILT_IN.get(getattr(workload, "name", ""), ())
