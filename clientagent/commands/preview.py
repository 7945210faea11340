"""`run.py preview`: how --partition would share out a data set, as a picture, before any client is started."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from clientagent import flags, picture
from clientagent.commands.check import options_in
from clientagent.crowd.naming import PARTITION
from clientagent.crowd.parts import Parts, Whole
from clientagent.errors import Misconfigured
from clientagent.picture import Shares
from clientagent.settings import Settings
from federation.fl import partition, workloads
from federation.fl.options import OptionError
from federation.fl.partition import PartitionError
from federation.fl.weights import Array
from federation.fl.workloads import Data, DataError

OUT = Path("partition.svg")


def run(arguments: Sequence[str]) -> int:
    """Write the picture and print its essence. Raises Misconfigured with what is wrong."""
    parser = argparse.ArgumentParser(
        prog="run.py preview",
        usage="run.py preview --clients N [--workload NAME] [--partition HOW] [flags of the agent] [--out FILE]",
        description="Draw which client gets which part of a data set, from the same flags as the agent's.",
    )
    parser.add_argument("--options", metavar="JSON", default="{}", help="the workload's options, as for run.py check")
    parser.add_argument("--out", metavar="FILE", type=Path, default=OUT, help=f"the picture (default {OUT})")
    asked, rest = parser.parse_known_args(arguments)
    settings = flags.read(rest, os.environ)
    count = _clients(settings)
    options = options_in(asked.options)
    shares = _shares(settings, count, options)
    try:
        asked.out.write_text(picture.svg(shares), encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"--out {str(asked.out)!r} cannot be written: {error.strerror}.") from error
    print(f"{_essence(shares)} {asked.out} shows it.")
    return 0


def _clients(settings: Settings) -> int:
    """How many share the data: --clients, or what --shard says."""
    if settings.clients is not None:
        return settings.clients
    if settings.shard is None:
        raise Misconfigured("preview needs to know among how many clients: --clients 20, or --shard 1/20.")
    try:
        return partition.parse_shard(settings.shard)[1]
    except PartitionError as error:
        raise Misconfigured(f"--shard: {error}") from error


def _shares(settings: Settings, count: int, options: Mapping[str, Any]) -> Shares:
    how = settings.partition or PARTITION
    try:
        workload = workloads.get(settings.workload)
        whole = Parts(replace(settings, partition=how), count).load(workload, options)
    except (OptionError, PartitionError, DataError) as error:
        raise Misconfigured(f"preview: {error}") from error
    if not len(whole.data):
        raise Misconfigured(f"preview: the workload {workload.name} has no data to share out.")
    title = f"{workload.title}: {len(whole.data):,} examples among {count:,} clients, {how}"
    return shares_of(whole, f"{title}, seed {settings.partition_seed}")


def shares_of(whole: Whole, title: str) -> Shares:
    """What each client has, counted."""
    labels = whole.data.label_names
    counts = [_counts(whole.data, share) for share in whole.shares]
    return Shares(title, labels, [len(share) for share in whole.shares], counts)


def _counts(data: Data, share: Array) -> list[int]:
    """How many of these examples have each label; none where there are no labels, or numbers instead."""
    names = len(data.label_names)
    if not names or not len(data.labels):
        return [0] * names
    mine = data.labels[share]
    counts: Array = (mine > 0).sum(axis=0) if mine.ndim > 1 else np.bincount(mine.astype(np.int64), minlength=names)
    return [int(count) for count in counts]


def _essence(shares: Shares) -> str:
    sizes = shares.examples
    span = f"{min(sizes):,} to {max(sizes):,} examples each, the median {median(sizes):,g}"
    said = f"{shares.title}: {span if min(sizes) < max(sizes) else f'{max(sizes):,} examples each'}"
    if not shares.labels:
        return f"{said}."
    kinds = [sum(count > 0 for count in counts) for counts in shares.counts]
    span = f"{min(kinds)} to {max(kinds)}" if min(kinds) < max(kinds) else f"{max(kinds)}"
    return f"{said}; {span} of {len(shares.labels)} labels each."
