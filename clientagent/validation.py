"""A site's own held-out examples, from a folder of their own, beside those that it trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from federation.fl.weights import Array
from federation.fl.workloads import Data, DataError
from federation.fl.workloads.marked import Marked

FRACTION = 0.5  # of ranks that are held out: those of training examples are 1, the others 0
TRAINED, HELD_OUT = 1.0, 0.0
MOST_SHOWN = 3  # copies that are named


def joined(train: Data, held_out: Data, folder: Path) -> Marked:
    """Both, marked so that exactly these are held out, with a note about examples that are in both.

    folder: where the held-out ones are from. Raises DataError if there are none, or they are of another kind.
    """
    if not len(held_out):
        raise DataError(f"{folder} has no example to hold out.")
    if type(train) is not type(held_out) or train.label_names != held_out.label_names:
        raise DataError(f"The examples in {folder} are of another kind than those that are trained on.")
    arrays: dict[str, Any] = {
        one.name: np.concatenate([getattr(train, one.name), getattr(held_out, one.name)])
        for one in fields(train)
        if one.name not in ("label_names", "notes", "marks")
    }
    marks = np.concatenate([np.full(len(train), TRAINED), np.full(len(held_out), HELD_OUT)])
    notes = (*getattr(train, "notes", ()), *getattr(held_out, "notes", ()), *_copies(train, held_out, folder))
    if isinstance(train, Marked):
        return replace(train, **arrays, marks=marks, notes=notes)
    return Marked(arrays["features"], arrays["labels"], train.label_names, marks, notes=notes)


def _copies(train: Data, held_out: Data, folder: Path) -> tuple[str, ...]:
    """A note about held-out examples that are trained on, too."""
    known = set(_contents(train))
    copied = [place for place, content in enumerate(_contents(held_out)) if content in known]
    if not copied:
        return ()
    shown = _shown(held_out, copied[:MOST_SHOWN])
    count = f"{len(copied)} of {len(held_out)} examples in {folder}"
    return (f"{count} are also trained on, so that models measure better there than they are: {shown}.",)


def _contents(data: Data) -> Sequence[str]:
    """What an example is known by: its file's digest, or its own bytes."""
    digests: Array | None = getattr(data, "digests", None)
    if digests is not None:
        found: list[str] = digests.tolist()
        return found
    return [sha256(np.ascontiguousarray(one).tobytes()).hexdigest() for one in data.features]


def _shown(data: Data, places: Sequence[int]) -> str:
    named = data.features.dtype == object  # paths of files
    return ", ".join(str(data.features[place]) if named else f"number {place + 1}" for place in places)
