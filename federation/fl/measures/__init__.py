"""Measures: what a metric is called, which way is better, and how it combines across sites.

One file a family; each measure is found by being in a file here. A workload may declare its own. A name that nobody
declares has no direction and is averaged.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from federation.fl import discovery
from federation.fl.measures.measure import SHARE, Combine, Direction, Measure, from_json

__all__ = [
    "KNOWN",
    "PERSONAL",
    "PREFIXES",
    "SHARE",
    "Combine",
    "Direction",
    "Measure",
    "from_json",
    "of",
    "rank",
    "split",
]

KNOWN: Mapping[str, Measure] = discovery.instances_by_name(__name__, __path__, Measure)
USUAL = [one.name for one in KNOWN.values() if one.direction != Direction.NONE]

PREFIXES = {  # of what clients report: on which data, of which model
    "base_val_": "received model, own held-out data",
    "base_train_": "received model, own training data",
    "base_": "received model",
    "val_": "own held-out data",
    "train_": "training",
    "personal_val_": "personal model, own held-out data",
    "personal_train_": "personal model, training",
}
PERSONAL = "personal_"  # begins the names of what sites measured of models of their own
OF_BASE = ("base_val_", "base_")  # the first one counts where a client reports both


def of(name: str, declared: Iterable[Measure] = ()) -> Measure:
    """The measure of this name: a declared one, else a known one, else one of which only the name is known.

    What a site measured of its own model is as what it is called after `personal_`.
    """
    if name.startswith(PERSONAL):
        shared = of(name.removeprefix(PERSONAL), declared)
        return replace(shared, name=name, title=f"Personal model's {shared.phrase}")
    mine = next((one for one in declared if one.name == name), None)
    return mine or KNOWN.get(name) or Measure(name)


def rank(reported: str, prefixes: Sequence[str] = ("train_", "val_", "base_val_")) -> tuple[int, int, str]:
    """Sorts what clients report: by what it is of, then measures with a direction, then by name."""
    prefix, name = split(reported)
    of_what = prefixes.index(prefix) if prefix in prefixes else len(prefixes)
    return of_what, USUAL.index(name) if name in USUAL else len(USUAL), reported


def split(reported: str) -> tuple[str, str]:
    """A name that a client reports as (prefix, name of the measure): 'base_val_f1' is ('base_val_', 'f1')."""
    prefix = next((one for one in PREFIXES if reported.startswith(one) and len(reported) > len(one)), "")
    return prefix, reported[len(prefix) :]
