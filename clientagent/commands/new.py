"""`run.py new NAME`: a workload's file to begin with. It works as it stands."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from clientagent.errors import Misconfigured
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.declaration import NAME, NAME_ALLOWED

TEMPLATE = '''"""{title}: a workload. `run.py check` tries it; docs/workloads.md explains it."""

import numpy as np
from torch import nn

from federation.fl.measures.classification import ACCURACY
from federation.fl.measures.loss import LOSS
from federation.fl.options import Option
from federation.fl.workloads.own import OwnWorkload
from federation.fl.workloads.workload import Data

CLASSES = ("negative", "positive")


class Workload(OwnWorkload):
    name = "{name}"  # what the server and the sites call it
    title = "{title}"
    version = "1"  # for people; the digest of this file says what runs
    # What an operator can set in a session: name, type, default, minimum, maximum.
    options = (Option("width", int, 16, 1, 1024, help="Units of the hidden layer."),)
    measures = (ACCURACY, LOSS)  # the loss and what `measure` returns, the most telling one first
    train_defaults = {{"epochs": 1, "batch_size": 32, "learning_rate": 0.1}}

    def model(self, options):
        """A new network."""
        width = options["width"]
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, len(CLASSES)))

    def data(self, options, folder):
        """All examples of this site. folder: the agent's --data, or None. A fifth is held out to measure on."""
        if folder is None:  # so that this file works as it stands: remove it when you have data
            return made_up(seed=1)
        rows = np.loadtxt(folder / "examples.csv", delimiter=",", skiprows=1, dtype=np.float32, ndmin=2)
        return Data(rows[:, :4], rows[:, 4].astype(np.int64), CLASSES)

    def loss(self, outputs, labels):
        """A number for each example, not their mean."""
        return nn.functional.cross_entropy(outputs, labels, reduction="none")

    def measure(self, outputs, labels):
        """Numbers of a model, from its outputs for all held-out examples."""
        return {{"accuracy": (outputs.argmax(dim=1) == labels).double().mean()}}

    def test(self, options):
        """The server's own test set, where it has this file. None: only sites measure."""
        return None


def made_up(seed):
    features = np.random.default_rng(seed).normal(size=(200, 4)).astype(np.float32)
    return Data(features, (features.sum(axis=1) > 0).astype(np.int64), CLASSES)


WORKLOAD = Workload
'''


def run(arguments: Sequence[str]) -> int:
    """Write it. Raises Misconfigured for a name that cannot be, and a file that is there."""
    parser = argparse.ArgumentParser(prog="run.py new", description="Write a workload's file to begin with.")
    parser.add_argument("name", metavar="NAME", help=NAME_ALLOWED)
    parser.add_argument("--workloads", metavar="DIR", type=Path, default=Path(), help="where (default: here)")
    asked = parser.parse_args(arguments)
    path = write(asked.name, asked.workloads)
    print(f"{path} is written. Try it:\n    python clientagent/run.py check {path}")
    return 0


def write(name: str, folder: Path) -> Path:
    """The new file. Raises Misconfigured."""
    if not NAME.fullmatch(name):
        raise Misconfigured(f"new {name!r}: use {NAME_ALLOWED}.")
    if name in WORKLOADS.built_in:
        raise Misconfigured(f"new {name!r}: this is the name of a built-in workload. Use another one.")
    path = folder / f"{name.replace('-', '_')}.py"
    title = name.replace("-", " ").capitalize()
    if folder.exists() and not folder.is_dir():
        raise Misconfigured(f"{path} cannot be written: {folder} is a file.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(name=name, title=title))
    except FileExistsError:
        raise Misconfigured(f"{path} is there already. Use another name or folder.") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}.") from error
    return path
