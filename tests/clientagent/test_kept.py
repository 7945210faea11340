"""What a strategy has a client keep: it belongs to the update that counted, and gives the same bytes again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clientagent.by_update import ByUpdate, LastUpdate
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.errors import Failed
from clientagent.kinds import training
from clientagent.kinds.training import Kept, Trainer, TrainingWork
from clientagent.settings import Settings
from federation.fl import weights, workloads
from federation.fl.workloads import WORKLOADS
from tests.clientagent.fake_server import FakeServer

SITE = Settings(samples=60)


@pytest.fixture
def work(server: FakeServer) -> TrainingWork:
    return asking(training.parse(server.offer("digits").work), control_variates=1.0, local_steps=1.0)


@pytest.fixture
def files(tmp_path: Path) -> ByUpdate:
    (tmp_path / "kept").mkdir()
    return ByUpdate(tmp_path / "kept")


def asking(work: TrainingWork, **config: float) -> TrainingWork:
    return replace(work, config={**work.config, **config})


def train(work: TrainingWork, folder: Path, kept: Kept | None) -> str:
    base = folder / "base"
    workloads.get("digits").write_initial(base, work.options, 1)
    site = Trainer(SiteData(SITE), Device(SITE.device, SITE.threads))
    return site.update(work, base, folder / "update", lambda *_: True, None, kept)


def sent(folder: Path, value: float) -> Path:
    """The strategy's slot with one value in every tensor, beside a scalar."""
    shapes = {name: array.shape for name, array in weights.load(folder / "base").items()}
    slots = {f"c/{name}": np.full(shape, value) for name, shape in shapes.items()}
    weights.save(folder / "slots", {**slots, "scalar/population": np.zeros(())})
    return folder / "slots"


def kept_with(files: ByUpdate, work: TrainingWork, digest: str) -> weights.Weights:
    found = files.find(work.session_key, LastUpdate(work.participation, digest))
    assert found
    return weights.load(found)


def test_a_control_variate_is_the_mean_gradient(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    """Without c and c_i, and without corrections, it is (x - y) / (K * eta)."""
    digest = train(work, tmp_path, Kept(files, None, None))
    header = weights.read_header(tmp_path / "update").metadata
    scale = int(header["local_steps"]) * work.config["learning_rate"]
    for name, delta in weights.load(tmp_path / "update").items():
        np.testing.assert_array_equal(kept_with(files, work, digest)[name], -delta.astype(np.float64) / scale)


def test_what_is_kept_and_what_is_sent_bend_the_training(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    plain = train(work, tmp_path, Kept(files, None, None))
    own = files.find(work.session_key, LastUpdate(work.participation, plain))
    bent = [train(work, tmp_path, kept) for kept in (Kept(files, own, None), Kept(files, own, sent(tmp_path, 0.1)))]
    assert len({plain, *bent}) == 3


def test_a_correction_is_added_to_every_step(work: TrainingWork, files: ByUpdate, tmp_path: Path, monkeypatch: Any):
    """With a loss without slope, each of K steps of eta moves every weight by -eta * c."""
    monkeypatch.setattr(WORKLOADS["digits"], "losses", lambda outputs, labels: 0 * outputs.sum(dim=1))
    train(work, tmp_path, Kept(files, None, None))
    digest = train(work, tmp_path, Kept(files, None, sent(tmp_path, 0.5)))
    steps = int(weights.read_header(tmp_path / "update").metadata["local_steps"])
    moved = weights.load(tmp_path / "update")
    for name, delta in moved.items():
        np.testing.assert_allclose(delta, -steps * work.config["learning_rate"] * 0.5, rtol=1e-4)
        np.testing.assert_allclose(kept_with(files, work, digest)[name], 0, atol=1e-4)  # 0 - c + c


def test_the_same_work_gives_the_same_bytes_and_keeps_the_same(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    first = train(work, tmp_path, Kept(files, None, None))
    before = kept_with(files, work, first)
    assert train(work, tmp_path, Kept(files, None, None)) == first
    again = kept_with(files, work, first)
    assert {name: array.tobytes() for name, array in before.items()} == {
        name: array.tobytes() for name, array in again.items()
    }


def test_work_that_did_not_count_leaves_no_trace(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    counted = LastUpdate(work.participation, train(work, tmp_path, Kept(files, None, None)))
    dropped = replace(asking(work, seed=8), participation="77", last_update=counted)
    train(dropped, tmp_path, Kept(files, files.find(work.session_key, counted), None))
    following = replace(dropped, participation="78")
    assert files.find(following.session_key, counted), "the next work goes by the one that counted"


def test_a_damaged_file_is_named(work: TrainingWork, files: ByUpdate, tmp_path: Path):
    counted = LastUpdate(work.participation, train(work, tmp_path, Kept(files, None, None)))
    path = files.find(work.session_key, counted)
    assert path
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(Failed, match="is damaged: .*Remove the file to begin anew"):
        files.find(work.session_key, counted)


def test_a_workload_that_does_not_tell_its_steps_gives_the_work_up(
    work: TrainingWork, files: ByUpdate, tmp_path: Path, monkeypatch: Any
):
    trained = WORKLOADS["digits"].local_update

    monkeypatch.setattr(WORKLOADS["digits"], "local_update", lambda *given: replace(trained(*given), local_steps=None))
    with pytest.raises(Failed, match="does not tell its steps, which the strategy needs"):
        train(work, tmp_path, Kept(files, None, None))


def test_the_linear_term_is_kept_by_its_own_rule(server: FakeServer, files: ByUpdate, tmp_path: Path):
    work = asking(training.parse(server.offer("digits").work), feddyn_alpha=0.5)
    digest = train(work, tmp_path, Kept(files, None, None))
    for name, delta in weights.load(tmp_path / "update").items():
        np.testing.assert_array_equal(kept_with(files, work, digest)[name], -0.5 * delta.astype(np.float64))


def test_work_of_other_strategies_keeps_nothing(server: FakeServer, files: ByUpdate, tmp_path: Path):
    train(training.parse(server.offer("digits").work), tmp_path, None)
    assert files.is_empty
