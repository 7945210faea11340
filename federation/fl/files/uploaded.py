"""Files of weights from outside, rewritten as a model's file: the tensors alone, always in the same bytes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from federation.fl import roles, weights
from federation.fl.torch_arrays import to_array
from federation.fl.weights import Array, Header, WeightsError, shown

MAGIC = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")  # how files of torch.save begin, new and old ones
PICKLED = 16 << 20  # bytes of such a file besides the tensors
NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints keep their tensors


def is_torch(path: Path) -> bool:
    """Whether a file looks like one that PyTorch saved."""
    with path.open("rb") as file:
        return file.read(4).startswith(MAGIC)


def rewrite(source: Path, out: Path) -> tuple[str, list[str]]:
    """Write the tensors of a safetensors file as a model's file.

    Returns its SHA-256 and the names of its buffers. Raises WeightsError naming a tensor that cannot be used.
    """
    header = weights.read_header(source)
    buffers = roles.buffers(header)
    return _write(weights.mapped(source) if header.tensors else {}, out), buffers


def convert(source: Path, out: Path, *, most_bytes: int) -> tuple[str, list[str]]:
    """The same for a state_dict of PyTorch, read with weights_only. Imports torch. Raises WeightsError.

    most_bytes: of the model. A small file may say that it has more, packed or as one value many times.
    """
    import torch

    if _unpacked_bytes(source) > most_bytes + PICKLED:
        raise WeightsError(f"Unpacked, the file has more than {most_bytes} bytes.")
    try:
        given = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler meets
        raise WeightsError(f"PyTorch cannot read it with weights_only ({shown(error)}).") from error
    tensors = _state_dict(given)
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > most_bytes:
        raise WeightsError(f"Its tensors have more than {most_bytes} bytes.")
    digest = _write({name: to_array(tensor) for name, tensor in tensors.items()}, out)
    return digest, roles.buffers(weights.read_header(out))


def misfit(expected: Header, given: Header) -> str:
    """Why a file's tensors are not those of a model, as a sentence; empty if they are."""
    if missing := sorted(expected.tensors.keys() - given.tensors.keys()):
        return f"It lacks the tensor {shown(missing[0])}."
    if more := sorted(given.tensors.keys() - expected.tensors.keys()):
        return f"It has the tensor {shown(more[0])}, which the model has not."
    for name, tensor in expected.tensors.items():
        other = given.tensors[name]
        if (tensor.dtype, tensor.shape) != (other.dtype, other.shape):
            has, needs = (f"{one.dtype} {list(one.shape)}" for one in (other, tensor))
            return f"Its tensor {shown(name)} is {has}; the model's is {needs}."
    return ""


def _unpacked_bytes(source: Path) -> int:
    if not zipfile.is_zipfile(source):
        return source.stat().st_size
    with zipfile.ZipFile(source) as packed:
        return sum(one.file_size for one in packed.infolist())


def _state_dict(given: object) -> Mapping[str, Any]:
    """The tensors by name, also of a checkpoint that has them in a member of a usual name."""
    import torch

    if not isinstance(given, Mapping):
        raise WeightsError("It is no state_dict: a mapping of names to tensors is needed.")
    nested = (given.get(name) for name in NESTED)
    found: Mapping[str, Any] = next((one for one in nested if isinstance(one, Mapping)), given)
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise WeightsError(f"{shown(name)} is no tensor. Save model.state_dict() alone.")
        if tensor.is_sparse or tensor.is_quantized:
            raise WeightsError(f"{shown(name)} is sparse or quantized. Save dense tensors.")
    return found


def _write(arrays: Mapping[str, Array], out: Path) -> str:
    if not arrays:
        raise WeightsError("The file has no tensors.")
    for name, array in arrays.items():
        dtype = weights.dtype_of(name, array)
        if not weights.all_finite(array, dtype):
            raise WeightsError(f"{shown(name)} has values that are not finite.")
        if name.endswith(roles.VARIANCE) and (weights.widen(array, dtype) < 0).any():
            raise WeightsError(f"{shown(name)} is a variance and has values below zero.")
    return weights.save(out, arrays)
