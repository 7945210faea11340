"""A script's model as named tensors, whatever it is: a torch module, a state_dict, NumPy arrays or a safetensors file.

Nothing here imports torch: who has no torch module has none of its tensors either. Tensors are read and written in
blocks, so that beside a model hardly anything of it is in memory a second time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from federation.fl import roles, staying, torch_arrays, weights
from federation.fl.dtypes import TABLE
from federation.fl.files.streams import Writer, layout
from federation.fl.weights import DTYPES, FLOATS, Array, Layout, WeightsError, shown

BLOCK = 1 << 20  # coordinates that are in memory at a time

Model = Any
"""A torch module, a mapping of tensors by name (torch or NumPy), or the path of a safetensors file."""
Only = Sequence[str] | Callable[[str], object] | Literal["trainable"] | None


class ModelError(ValueError):
    """A model that does not fit. str(error) names the tensor."""


class Diverged(Exception):
    """A tensor holds a value that is not finite. str(error) names it."""


# ---- which tensors are shared


def shared(model: Model, only: Only = None) -> dict[str, Any]:
    """The tensors of a model that leave the site, by name. Raises ModelError if there are none.

    only: None for all of them, names with `*` and `?`, a function of a name, or "trainable" for the parameters of a
    torch module that require gradients.
    """
    tensors = _tensors(model)
    if not tensors:
        raise ModelError("The model has no tensor.")
    if only is None:
        return tensors
    chosen = _chosen(model, tensors, only)
    wanted = {name: value for name, value in tensors.items() if name in chosen}
    if not wanted:
        some = ", ".join(shown(name) for name in list(tensors)[:3])
        raise ModelError(f"only={only!r} leaves no tensor of the model, which has {some or 'none at all'}.")
    return wanted


def require_usable(model: Model, only: Only = None) -> None:
    """Raises ModelError naming the file or the tensor if a session cannot begin with this model."""
    if isinstance(model, str | os.PathLike):
        try:
            weights.read_header(Path(model))
        except OSError as error:
            raise ModelError(f"{model} cannot be read: {error.strerror}.") from error
        except WeightsError as error:
            raise ModelError(f"{model}: {error}") from error
    for name, value in shared(model, only).items():
        dtype_of(name, value)


def statistics(model: Model, names: Sequence[str]) -> list[str] | None:
    """Which of these tensors a torch module says are statistics and not trained; None for another kind of model."""
    bare = unwrapped(model)
    if not hasattr(bare, "named_buffers"):
        return None
    return sorted({name for name, _ in bare.named_buffers()} & set(names))


def unwrapped(model: Model) -> Model:
    """The module itself, if it is compiled or distributed: these put a prefix before its tensors' names."""
    while True:
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            model = model.module
        else:
            return model


def _tensors(model: Model) -> dict[str, Any]:
    if isinstance(model, str | os.PathLike):
        return dict(weights.mapped(Path(model)))
    if is_module(model):
        model = unwrapped(model).state_dict()
    if not isinstance(model, Mapping):
        raise ModelError(
            "A model is a torch module, a state_dict, a dict of NumPy arrays or the path of a safetensors file, not "
            f"{type(model).__name__}."
        )
    tensors = {str(name): value for name, value in model.items()}
    for name, value in tensors.items():
        if isinstance(value, np.ndarray | np.generic) and value.dtype.newbyteorder("<") == TABLE["BF16"].stored:
            raise ModelError(_of_no_type(name, "uint16"))  # in a file these would be the bits of bfloat16
    return tensors


def is_module(model: Model) -> bool:
    is_made = not isinstance(model, Mapping | type)  # a class of modules makes one
    return is_made and callable(getattr(unwrapped(model), "state_dict", None))


def _chosen(model: Model, tensors: Mapping[str, Any], only: Only) -> set[str]:
    if only == "trainable":
        if is_module(model):
            return {name for name, value in unwrapped(model).named_parameters() if value.requires_grad}
        if isinstance(model, Mapping) and all(hasattr(value, "requires_grad") for value in tensors.values()):
            trained = {name for name, value in tensors.items() if value.requires_grad}
            return trained or set(tensors)  # a state_dict does not say; then it has what is to be shared
        return set(tensors)
    if isinstance(only, str):
        raise ModelError(f'only="{only}" is not known. Use a list of names with * and ?, a function, or "trainable".')
    if callable(only):
        return {name for name in tensors if only(name)}
    if not isinstance(only, Iterable) or not all(isinstance(one, str) for one in only):
        raise ModelError(f'only={only!r} is not known. Use a list of names with * and ?, a function, or "trainable".')
    return set(staying.matched(tensors, list(only)))


# ---- what a tensor is


def dtype_of(name: str, value: Any) -> str:
    """The file format's word for a tensor's type. Raises ModelError naming the tensor."""
    if _is_torch(value):
        bare = str(value.dtype).removeprefix("torch.")
        word = next((word for word, dtype in TABLE.items() if dtype.torch == bare), None)
    elif isinstance(value, np.ndarray | np.generic):
        bare = str(value.dtype)
        known = (word for word, dtype in TABLE.items() if value.dtype.newbyteorder("<") == dtype.stored)
        word = next(known, None)
    else:
        raise ModelError(f"{shown(name)} is no tensor but {type(value).__name__}. Leave it out with only=.")
    if word is None:
        raise ModelError(_of_no_type(name, bare))
    return word


def _of_no_type(name: str, there: str) -> str:
    allowed = ", ".join(dtype.torch for dtype in TABLE.values())
    return f"{shown(name)} has the type {there}. Allowed are {allowed}. Leave it out with only=."


def detached(value: Any) -> Any:
    """A tensor without its gradient: torch warns about the other kind where it becomes a number."""
    return value.detach() if hasattr(value, "detach") else value


def _is_torch(value: Any) -> bool:
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def require_fit(tensors: Mapping[str, Any], base: Layout) -> None:
    """Raises ModelError naming the first tensor that is missing, further, or of another shape or type.

    Floats may have another precision: they are rounded to that of the base.
    """
    if missing := sorted(base.keys() - tensors.keys()):
        raise ModelError(f"The tensor {shown(missing[0])} of the session's model is missing{_and_more(missing)}.")
    if further := sorted(tensors.keys() - base.keys()):
        raise ModelError(
            f"The session's model has no tensor {shown(further[0])}{_and_more(further)}. only= says what is shared."
        )
    for name, (dtype, shape) in base.items():
        there, its = dtype_of(name, tensors[name]), tuple(tensors[name].shape)
        if its != shape:
            raise ModelError(f"{shown(name)} has shape {list(its)}, but the session's model has {list(shape)}.")
        if there != dtype and not _is_float_for(dtype, there):
            raise ModelError(f"{shown(name)} has dtype {there}, but the session's model has {dtype}.")


def _is_float_for(dtype: str, there: str) -> bool:
    return dtype in FLOATS and there in FLOATS


def _and_more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


# ---- reading and writing


def write(path: Path, model: Model, only: Only = None) -> str:
    """Write a model's shared tensors as a file, with the names of its statistics. Returns the file's digest."""
    tensors = shared(model, only)
    names = weights.file_order({name: dtype_of(name, value) for name, value in tensors.items()})
    tensors_layout: Layout = {name: (dtype_of(name, tensors[name]), tuple(tensors[name].shape)) for name in names}
    buffers = statistics(model, names)
    with Writer(path, tensors_layout, None if buffers is None else {roles.KEY: json.dumps(buffers)}) as out:
        for name, (dtype, _) in tensors_layout.items():
            for start, block in _blocks(tensors[name], dtype):
                out.write(name, start, block)
        return out.digest(lambda: None)


def write_difference(
    path: Path, tensors: Mapping[str, Any], base: Path, metadata: Mapping[str, str], *, is_difference: bool = False
) -> str:
    """Write `tensors` - `base` as a file with exactly the tensors of the base. Returns its digest.

    is_difference: `base` was subtracted from them already.
    Raises ModelError if the tensors are others, Diverged for a value that is not finite.
    """
    header, arrays = weights.read_header(base), weights.mapped(base)
    tensors_layout = layout(header)
    require_fit(tensors, tensors_layout)
    with Writer(path, tensors_layout, metadata) as out:
        for name, (dtype, _) in tensors_layout.items():
            before = arrays[name].reshape(-1)
            for start, block in _blocks(tensors[name], dtype):
                if not weights.all_finite(block, dtype):
                    raise Diverged(f"Training diverged: {shown(name)} holds a value that is not finite.")
                part = before[start : start + len(block)]
                with np.errstate(over="ignore"):
                    difference = block if is_difference else weights.difference(name, block, part)
                if not weights.all_finite(difference, dtype):
                    raise Diverged(f"Training diverged: the difference of {shown(name)} is not finite.")
                out.write(name, start, difference)
        return out.digest(lambda: None)


def load(base: Path, model: Model, only: Only = None) -> None:
    """Put the tensors of a file in the place of the model's shared ones. Raises ModelError before it changes any."""
    if isinstance(model, str | os.PathLike):
        raise ModelError("Tensors are loaded into a torch module, a state_dict or a dict of NumPy arrays, no file.")
    tensors, arrays = shared(model, only), weights.mapped(base)
    tensors_layout = layout(weights.read_header(base))
    require_fit(tensors, tensors_layout)
    for name in tensors_layout:
        _require_writable(name, tensors[name])
    for name, (dtype, _) in tensors_layout.items():
        _load(name, arrays[name], dtype, tensors[name])


def _require_writable(name: str, into: Any) -> None:
    if _is_torch(into):
        return
    if not isinstance(into, np.ndarray) or not into.flags.writeable:
        raise ModelError(f"{shown(name)} cannot be changed where it is. Give a NumPy array that can be written.")


def _load(name: str, array: Array, dtype: str, into: Any) -> None:
    if _is_torch(into):
        into.detach().copy_(torch_arrays.to_torch(name, array))
        return
    into[...] = array if into.dtype == array.dtype else weights.widen(array, dtype)


def readable(base: Path) -> dict[str, Array]:
    """The tensors of a file as arrays with which NumPy computes: BF16 becomes float32. Writing in them is allowed."""
    arrays = weights.mapped(base)
    types = {name: tensor.dtype for name, tensor in weights.read_header(base).tensors.items()}
    return {name: weights.widen(array, "BF16") if types[name] == "BF16" else array for name, array in arrays.items()}


def tensors(base: Path) -> dict[str, Any]:
    """The tensors of a file as PyTorch's, on the CPU. Writing in them is allowed."""
    return {name: torch_arrays.to_torch(name, array) for name, array in weights.mapped(base).items()}


def _blocks(value: Any, dtype: str) -> Iterator[tuple[int, Array]]:
    """A tensor's values as they are stored in a type, in order, with the coordinate at which each block begins."""
    flat = value.detach().reshape(-1) if _is_torch(value) else np.asarray(value).reshape(-1)
    for start in range(0, len(flat), BLOCK):
        yield start, _stored(flat[start : start + BLOCK], dtype)


def _stored(values: Any, dtype: str) -> Array:
    if _is_torch(values):
        torch = sys.modules["torch"]
        values = values.to(device="cpu", dtype=getattr(torch, TABLE[dtype].torch)).contiguous()
        if dtype == "BF16":
            return np.asarray(values.view(torch.int16).numpy().view(np.uint16))
        return np.asarray(values.numpy())
    if dtype == "BF16":
        return values if values.dtype == np.uint16 else weights.float64_to_bfloat16(values.astype(np.float64))
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values.astype(DTYPES[dtype], copy=False))
