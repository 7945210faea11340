"""The benchmarks that repeat what papers found: few clients and rounds of them, and what they make of curves."""

from __future__ import annotations

import argparse
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from benchmarks import claims, papers
from benchmarks.papers import Found
from federation.fl.workloads import TrainConfig
from federation.fl.workloads.workload import DataError

pytest.importorskip("torch")


def found(rounds: int | None, paper: int | None) -> Found:
    return Found("iid", 1, 1, 0.1, rounds, paper, best=0.98, seconds=1.0, curve=[0.1, 0.98])


@pytest.mark.parametrize(
    ("rounds", "paper", "holds"),
    [(87, 87, True), (108, 87, True), (109, 87, False), (None, 87, False), (9, None, True), (None, None, False)],
)
def test_a_run_holds_within_a_quarter_more_rounds_than_the_paper(rounds: int | None, paper: int | None, holds: bool):
    assert found(rounds, paper).holds is holds


def test_what_was_found_is_shown_beside_the_paper(capsys: pytest.CaptureFixture[str]):
    papers.show(found(55, 87))
    papers.show(found(None, None))
    said = capsys.readouterr().out.splitlines()
    assert "to 97%: 55 rounds; the paper: 87" in said
    assert "to 97%: not reached in 1 rounds; the paper: no figure" in said
    assert json.loads(said[4])["holds"] is True and json.loads(said[-1])["holds"] is False


def idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def mnist(folder: Path) -> Path:
    """Pictures of one bright row for each digit, 200 to train on and 50 to test on."""
    for name, count in (("train", 200), ("t10k", 50)):
        digits = np.arange(count) % 10
        pixels = np.random.default_rng(count).integers(0, 60, (count, 28, 28))
        pixels[np.arange(count), 2 * digits + 4] = 255
        idx(folder / f"{name}-images-idx3-ubyte", pixels)
        idx(folder / f"{name}-labels-idx1-ubyte", digits)
    return folder


def test_a_session_of_a_crowd_is_measured_by_the_server_in_every_round(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(papers, "CLIENTS", 4)
    monkeypatch.setattr(papers, "COHORT", 2)
    (data := tmp_path / "mnist").mkdir()
    options = argparse.Namespace(
        epochs=1, data="digits", seed=1, rounds=2, seconds=300, rate=0.05, mnist=mnist(data)
    )  # fmt: skip
    measured = papers.measure(tmp_path, options)
    assert len(measured.curve) == 3 and all(0 <= one <= 1 for one in measured.curve)
    assert (measured.paper, measured.best) == (664, max(measured.curve))
    assert measured.curve[-1] > measured.curve[0]


# ---- claims


def test_scaffold_does_not_depend_on_the_clients_slopes_and_fedavg_does():
    near, far = (claims.distance("fedavg", slope, 4, 60) for slope in (10.0, 100.0))
    assert far == pytest.approx(10 * near, rel=0.05) and near > 0.2
    assert max(claims.distance("scaffold", slope, 4, 60) for slope in (10.0, 100.0)) < 0.01


def test_synthetic_clients_differ_and_are_the_same_for_a_seed():
    first, again, other = claims.synthetic(1), claims.synthetic(1), claims.synthetic(2)
    assert len(first) == claims.CLIENTS and all(50 <= len(one) <= 1000 for one in first)
    assert all((one.features == two.features).all() for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0].features[:50], other[0].features[:50])
    assert len({int(np.bincount(one.labels, minlength=10).argmax()) for one in first}) > 3


def test_the_examples_of_a_claim_come_from_no_folder(tmp_path: Path):
    for workload in (claims.Quadratics(), claims.Logistic()):
        with pytest.raises(DataError, match=f"The examples of {workload.name} are drawn by benchmarks/claims.py"):
            workload.training_data({}, tmp_path)


def test_a_proximal_term_holds_clients_near():
    """The model moves less in a round, from the same data in the same order."""
    moved = []
    for name, options in (("fedavg", {}), ("fedprox", {"mu": 5.0})):
        config = TrainConfig(epochs=3, batch_size=10, learning_rate=0.01, seed=0)
        data = [one.subset(np.arange(40)) for one in claims.synthetic(1)[:2]]
        strategy = claims.strategies.build(name, options)
        model = claims.Federation(claims.Logistic(), data, strategy, config).run(1, 2, 1)
        moved.append(sum(float((one**2).sum()) for one in model.values()))
    assert 0 < moved[1] < 0.9 * moved[0]
