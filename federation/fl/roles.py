"""What the tensors of a model are: parameters, which gradients train, or buffers, statistics that training keeps.

A buffer is a BatchNorm's running variance or its counter of batches. An optimizer's step would make no sense of it, so
it is combined by value, and never clipped, rounded or left out on the wire.
"""

import json
from collections.abc import Collection

from federation.fl.weights import FLOATS, Header, WeightsError, shown

KEY = "buffers"  # of a file's metadata: a JSON list of names
ENDINGS = ("running_mean", "running_var", "num_batches_tracked")
VARIANCE = "running_var"  # ends the name of a buffer that is never below zero


def buffers(header: Header, declared: Collection[str] | None = None) -> list[str]:
    """The names of a model's buffers, sorted.

    declared: by its workload; None if that is unknown. Then the file's metadata decide, or without them the names'
    endings. A tensor of integers always is a buffer, because no gradient trains it.
    Raises WeightsError for metadata that are not a list of the file's tensors.
    """
    if declared is None:
        declared = _told(header)
    if declared is None:
        declared = [name for name in header.tensors if name.endswith(ENDINGS)]
    integers = {name for name, tensor in header.tensors.items() if tensor.dtype not in FLOATS}
    return sorted(integers.union(declared) & header.tensors.keys())


def _told(header: Header) -> list[str] | None:
    if KEY not in header.metadata:
        return None
    try:
        names = json.loads(header.metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"The metadata {KEY} are not JSON ({shown(error)}).") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WeightsError(f"The metadata {KEY} must be a JSON list of the names of tensors.")
    if unknown := sorted(set(names) - header.tensors.keys()):
        raise WeightsError(f"The metadata {KEY} name {shown(unknown[0])}, which is no tensor of this file.")
    return names
