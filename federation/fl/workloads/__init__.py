"""The workloads that can be trained, by name. Importing this package imports neither torch nor scikit-learn."""

from federation.fl.options import OptionError
from federation.fl.workloads import releases
from federation.fl.workloads.digits import Digits
from federation.fl.workloads.images import ImageWorkload
from federation.fl.workloads.known import Known
from federation.fl.workloads.mnist import FashionMnist, Mnist
from federation.fl.workloads.synthetic import Synthetic
from federation.fl.workloads.table import Table, TableRegression
from federation.fl.workloads.text import Text
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
    "follows_settings",
    "get",
]

_ALL: tuple[Workload, ...] = (
    *(Digits(), ThreesAndSevens()),
    *(ImageWorkload(), Table(), TableRegression(), Text()),
    *(Mnist(), FashionMnist(), Synthetic()),
)
WORKLOADS = Known({workload.name: workload for workload in _ALL})


def get(name: str) -> Workload:
    """The workload of this name. Raises OptionError, listing what is allowed."""
    if name not in WORKLOADS:
        raise OptionError("name", f"There is no workload {name!r}: choose one of {', '.join(WORKLOADS)}.")
    return WORKLOADS[name]


def alike(name: str, digest: str, *, plainly: bool = True) -> frozenset[str]:
    """The digests of a workload that train the same as this one, itself included.

    plainly: with SGD and no other setting, which is all that some releases know.
    """
    known = WORKLOADS.get(name)
    same = frozenset((known.digest(), *known.accepts)) if known else frozenset()
    if not plainly:
        same -= releases.PLAIN_ONLY
    return same if digest in same else frozenset((digest,))


def follows_settings(name: str) -> bool:
    """Whether the server's workload of this name follows the settings of training, and not its own alone."""
    return getattr(WORKLOADS.get(name), "follows_settings", False)
