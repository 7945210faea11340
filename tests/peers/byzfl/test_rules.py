"""The robust rules and what stands before them agree with byzfl's own on random updates, within 1e-6."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from federation.fl.strategies import Block, Updates, build, mixing
from federation.fl.weights import Array
from federation.fl.workloads import vision

vision.models()  # declares the operators without which torchvision, and so byzfl, is not imported
byzfl: Any = pytest.importorskip("byzfl")

ROUNDS = [(5, 1), (9, 2), (13, 3), (20, 4)]  # updates, liars
SIZE = 500

Rows = Array
RULES: dict[str, tuple[dict[str, Any], Callable[[int, int], Any]]] = {
    "fedmedian": ({}, lambda n, f: byzfl.Median()),
    "trimmed_mean": ({}, lambda n, f: byzfl.TrMean(f=f)),
    # byzfl adds up the distances to n - f - 1 neighbours, the paper and we those to n - f - 2.
    "krum": ({}, lambda n, f: byzfl.Krum(f=f + 1)),
    "multi_krum": ({}, lambda n, f: byzfl.MultiKrum(f=f + 1)),
    "geometric_median": ({"iterations": 3, "smoothing": 0.1}, lambda n, f: byzfl.GeometricMedian(nu=0.1, T=3)),
    "centered_clipping": (
        {"iterations": 2, "radius": 15.0},
        lambda n, f: byzfl.CenteredClipping(L=2, tau=15.0),
    ),
    "norm_clipping": ({"radius": 15.0}, lambda n, f: _then(byzfl.Clipping(c=15.0), byzfl.Average())),
}


def _then(*steps: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(rows: Any) -> Any:
        for step in steps:
            rows = step(rows)
        return rows

    return apply


def updates_of(num_updates: int, seed: int) -> Rows:
    """Some of the rows are far away, as those of liars are."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((num_updates, SIZE))
    rows[:: max(2, num_updates // 3)] *= 3
    return rows


def play(name: str, options: dict[str, Any], rows: Rows, slots: dict[str, Array] | None = None) -> Array:
    strategy = build(name, options)
    block = Block("w", np.zeros(SIZE), rows, slots or {slot: np.zeros(SIZE) for slot in strategy.slots})
    given = Updates(
        np.ones(len(rows), np.int64), np.zeros(len(rows), np.int64), lambda function: function(block), seed=(1, 2, 3)
    )
    new, kept = strategy.step(strategy.prepare(given), block)
    if slots is not None:
        slots |= kept
    return new


@pytest.mark.parametrize("num_updates, liars", ROUNDS)
@pytest.mark.parametrize("before", mixing.Before)
@pytest.mark.parametrize("name", RULES)
def test_a_rule_agrees(name: str, before: mixing.Before, num_updates: int, liars: int) -> None:
    options, theirs = RULES[name]
    options = options | {"liars": liars, "before": before.value}
    rows = updates_of(num_updates, num_updates)
    if num_updates < build(name, options).least:
        pytest.skip("too few updates for this rule")
    seen = list(_before(before, rows, liars))
    if name == "multi_krum":
        options["selected"] = len(seen) - liars - 1  # as many as byzfl takes with one liar more
    np.testing.assert_allclose(play(name, options, rows), theirs(len(seen), liars)(seen), rtol=1e-6, atol=1e-6)


def _before(before: mixing.Before, rows: Rows, liars: int) -> Rows:
    if before == mixing.Before.MIXING:
        return np.array(byzfl.NNM(f=liars)(list(rows)))
    if before == mixing.Before.BUCKETING:  # byzfl draws from numpy's global state: it is given our order
        return mixing.buckets(len(rows), 2, (1, 2, 3)) @ rows
    return rows


@pytest.mark.parametrize("num_updates, liars", ROUNDS)
def test_nearest_neighbour_mixing_agrees(num_updates: int, liars: int) -> None:
    rows = updates_of(num_updates, 7)
    ours = mixing.nearest(rows @ rows.T, liars) @ rows
    np.testing.assert_allclose(ours, byzfl.NNM(f=liars)(list(rows)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("num_updates, size", [(6, 2), (7, 3), (5, 1), (4, 9)])
def test_buckets_agree_where_the_order_is_the_same(
    num_updates: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = updates_of(num_updates, 8)
    order = mixing.buckets(num_updates, 1, (4,)).argmax(axis=1)
    monkeypatch.setattr(np.random, "permutation", lambda vectors: vectors[order])
    theirs = byzfl.Bucketing(s=size)(list(rows))
    np.testing.assert_allclose(mixing.buckets(num_updates, size, (4,)) @ rows, theirs, rtol=1e-6, atol=1e-6)


def test_the_center_moves_from_round_to_round_as_theirs() -> None:
    theirs, slots = byzfl.CenteredClipping(L=1, tau=15.0), {"center": np.zeros(SIZE)}
    for seed in range(4):
        rows = updates_of(9, seed)
        ours = play("centered_clipping", {"radius": 15.0}, rows, slots)
        np.testing.assert_allclose(ours, theirs(list(rows)), rtol=1e-6, atol=1e-6)
