"""The workloads that can be trained, by name. Importing this package imports neither torch nor scikit-learn."""

from federation.fl.options import OptionError
from federation.fl.workloads.digits import Digits
from federation.fl.workloads.known import Known
from federation.fl.workloads.synthetic import Synthetic
from federation.fl.workloads.threes_and_sevens import ThreesAndSevens
from federation.fl.workloads.workload import (
    Data,
    DataError,
    Evaluates,
    LocalEvaluation,
    LocalUpdate,
    Report,
    Stopped,
    TrainConfig,
    Workload,
)

__all__ = [
    "WORKLOADS",
    "Data",
    "DataError",
    "Evaluates",
    "LocalEvaluation",
    "LocalUpdate",
    "Report",
    "Stopped",
    "TrainConfig",
    "Workload",
    "alike",
    "get",
]

_ALL: tuple[Workload, ...] = (Digits(), ThreesAndSevens(), Synthetic())
WORKLOADS = Known({workload.name: workload for workload in _ALL})


def get(name: str) -> Workload:
    """The workload of this name. Raises OptionError, listing what is allowed."""
    if name not in WORKLOADS:
        raise OptionError("name", f"There is no workload {name!r}: choose one of {', '.join(WORKLOADS)}.")
    return WORKLOADS[name]


def alike(name: str, digest: str) -> frozenset[str]:
    """The digests of a workload that train the same as this one, itself included."""
    known = WORKLOADS.get(name)
    same = frozenset((known.digest(), *known.accepts)) if known else frozenset()
    return same if digest in same else frozenset((digest,))
