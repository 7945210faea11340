"""The same work gives the same bytes; a site's share of the data is its own."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.errors import Failed
from clientagent.kinds import training
from clientagent.kinds.training import Trainer, TrainingWork
from clientagent.settings import Settings
from federation.fl import weights, workloads
from federation.fl.workloads import Data, LocalUpdate, Stopped
from tests.clientagent.fake_server import FakeServer

SYNTHETIC = Settings(workload="synthetic")
DIGITS = Settings(samples=60)


@pytest.fixture
def work(server: FakeServer) -> TrainingWork:
    return training.parse(server.offer().work)


@pytest.fixture
def digits(server: FakeServer) -> TrainingWork:
    return training.parse(server.offer("digits").work)


def on(*_: Any) -> bool:
    return True


def base_of(work: TrainingWork, folder: Path) -> Path:
    path = folder / f"{work.workload}.base"
    workloads.get(work.workload).write_initial(path, work.options, 1)
    return path


def trainer(settings: Settings) -> Trainer:
    return Trainer(SiteData(settings), Device(settings.device, settings.threads))


def update(settings: Settings, work: TrainingWork, folder: Path, report: Any = on) -> bytes:
    out = folder / "update"
    digest = trainer(settings).update(work, base_of(work, folder), out, report)
    assert digest == sha256(out.read_bytes()).hexdigest()
    return out.read_bytes()


@pytest.mark.parametrize("name", ["synthetic", "digits"])
def test_the_same_work_gives_the_same_bytes(server: FakeServer, tmp_path: Path, name: str):
    work = training.parse(server.offer(name).work)
    assert update(DIGITS, work, tmp_path) == update(DIGITS, work, tmp_path)


@pytest.mark.parametrize("name", ["synthetic", "digits"])
def test_another_seed_gives_others(server: FakeServer, tmp_path: Path, name: str):
    work = training.parse(server.offer(name).work)
    other = replace(work, config={**work.config, "seed": 8})
    assert update(DIGITS, work, tmp_path) != update(DIGITS, other, tmp_path)


def test_an_update_tells_its_examples_its_base_and_its_metrics(work: TrainingWork, tmp_path: Path):
    update(SYNTHETIC, work, tmp_path)
    metadata = weights.read_header(tmp_path / "update").metadata
    assert metadata["num_examples"] == "100" and metadata["base_digest"] == work.base.digest
    assert metadata["metrics"].startswith('{"train_loss": 0.')


def test_samples_limit_what_is_trained_on(digits: TrainingWork, tmp_path: Path):
    update(DIGITS, digits, tmp_path)
    assert 30 < int(weights.read_header(tmp_path / "update").metadata["num_examples"]) < 60


def test_shards_are_parts_of_one_whole():
    shards = [
        SiteData(Settings(partition="dirichlet:0.5", shard=f"{number}/4", partition_seed=1, share_histogram=True))
        for number in (1, 2, 3, 4)
    ]
    counts = [data.census("north") for data in shards]
    whole = SiteData(Settings(share_histogram=True)).census("north")
    assert sum(count["num_examples"] for count in counts) == whole["num_examples"]
    assert len({count["num_examples"] for count in counts}) > 1
    labels = whole["label_histogram"]
    assert {name: sum(count["label_histogram"][name] for count in counts) for name in labels} == labels


def test_samples_are_taken_from_the_shard():
    shard = Settings(partition="iid", shard="1/4", samples=20)
    census = SiteData(shard).census("north")
    assert (census["num_examples"], census["examples"]) == (20, {"digits": 20})


def test_a_workload_without_data_counts_nothing():
    assert SiteData(SYNTHETIC).census("north") == {}


def test_data_are_read_once(digits: TrainingWork, tmp_path: Path, monkeypatch):
    data = SiteData(DIGITS)
    data.census("north")
    monkeypatch.setattr(workloads.get("digits"), "training_data", None)
    Trainer(data, Device("auto", 1)).update(digits, base_of(digits, tmp_path), tmp_path / "update", on)


def test_synthetic_runs_without_a_device(work: TrainingWork, tmp_path: Path):
    update(replace(SYNTHETIC, device="cuda"), work, tmp_path)


def test_a_device_that_is_not_there_is_named_with_what_is(digits: TrainingWork, tmp_path: Path):
    import torch

    missing = "mps" if torch.cuda.is_available() else "cuda"  # no machine has both
    with pytest.raises(Failed, match=f"--device {missing}: PyTorch cannot use it on this machine; use one of auto, "):
        update(replace(DIGITS, device=missing), digits, tmp_path)


def test_training_ends_when_the_work_is_dropped(work: TrainingWork, tmp_path: Path):
    with pytest.raises(Stopped):
        update(SYNTHETIC, work, tmp_path, lambda *_: False)


def test_the_strategys_wishes_reach_the_workload(work: TrainingWork, tmp_path: Path, monkeypatch):
    seen: list[workloads.TrainConfig] = []
    real = workloads.get("synthetic").local_update

    def note(base: Any, data: Any, options: Any, config: workloads.TrainConfig, report: Any) -> LocalUpdate:
        seen.append(config)
        return real(base, data, options, config, report)

    monkeypatch.setattr(workloads.get("synthetic"), "local_update", note)
    update(SYNTHETIC, replace(work, config={**work.config, "proximal_mu": 0.5}), tmp_path)
    assert seen[0].extra == {"proximal_mu": 0.5} and seen[0].seed == 7


def test_a_diverged_training_fails_with_the_tensors_name(work: TrainingWork, tmp_path: Path, monkeypatch):
    diverged = LocalUpdate({"weight": np.float32([1, np.nan])}, 10, {})
    monkeypatch.setattr(workloads.get("synthetic"), "local_update", lambda *_: diverged)
    with pytest.raises(Failed, match="Training diverged: 'weight' holds a value that is not finite"):
        update(SYNTHETIC, work, tmp_path)


def test_a_metric_that_is_not_finite_is_null(work: TrainingWork, tmp_path: Path, monkeypatch):
    local = LocalUpdate({"weight": np.float32([1])}, 10, {"val_loss": np.inf, "train_loss": 1.0})
    monkeypatch.setattr(workloads.get("synthetic"), "local_update", lambda *_: local)
    update(SYNTHETIC, work, tmp_path)
    metadata = weights.read_header(tmp_path / "update").metadata
    assert metadata["metrics"] == '{"train_loss": 1.0, "val_loss": null}'


@pytest.mark.parametrize("change", [{"seed": 8}, {"epochs": 2}, {"options": {"num_parameters": 5}}, {"base": "0" * 64}])
def test_work_is_the_same_only_if_all_that_decides_its_bytes_is(work: TrainingWork, change: dict[str, Any]):
    fields = {name: value for name, value in change.items() if name in ("options", "base")}
    config = {**work.config, **{name: value for name, value in change.items() if name not in fields}}
    if "base" in fields:
        fields["base"] = replace(work.base, digest=fields["base"])
    assert replace(work, config=config, **fields).key != work.key


def test_another_deadline_is_the_same_work(server: FakeServer):
    body = server.offer().work
    assert training.parse(body).key == training.parse(body | {"deadline": "2040-01-01T00:00:00Z"}).key


# ---- what trains the same


FIRST_VERSION = "abb202974e493e2817943f6dcfc766b8affc727084d6a48fa987b87707b89bcc"  # of `synthetic`, in 0.1.0


def test_a_server_of_an_earlier_release_is_served_if_it_trains_the_same(work: TrainingWork, tmp_path: Path):
    earlier = replace(work, workload_digest=FIRST_VERSION)
    assert update(SYNTHETIC, earlier, tmp_path) == update(SYNTHETIC, work, tmp_path)
    with pytest.raises(Failed, match="on the server. Update the agent"):
        update(SYNTHETIC, replace(work, workload_digest="f" * 64), tmp_path)


# ---- buffers


@pytest.mark.parametrize("encoding", ["float16", "int8", "topk"])
def test_buffers_are_sent_in_full(server: FakeServer, tmp_path: Path, encoding: str):
    body = server.offer(encoding=encoding, encoding_options={}, buffers=["weight"]).work
    update(SYNTHETIC, training.parse(body), tmp_path)
    sent = weights.load(tmp_path / "update")
    update(SYNTHETIC, training.parse(server.offer().work), tmp_path)
    assert sent.keys() == {"values/weight"}
    np.testing.assert_array_equal(sent["values/weight"], weights.load(tmp_path / "update")["weight"])


# ---- data


class Counting:
    """A workload whose examples are the numbers in a file of --data."""

    name = "counting"

    def __init__(self) -> None:
        self.reads = 0

    def training_data(self, options: dict[str, Any], folder: Path) -> Data:
        self.reads += 1
        numbers = np.loadtxt(folder / "numbers", dtype=np.float32, ndmin=1)
        return Data(numbers, np.zeros(len(numbers), np.int64), ("all",))


def test_data_are_read_once_and_again_when_they_changed(tmp_path: Path):
    (tmp_path / "numbers").write_text("1 2 3")
    data, counting = SiteData(Settings(data=tmp_path)), Counting()
    for _ in range(3):
        assert len(data.of(counting, {})) == 3
    assert counting.reads == 1 and not data.take_change()
    (tmp_path / "numbers").write_text("1 2 3 4")
    assert len(data.of(counting, {})) == 4 and counting.reads == 2
    assert data.take_change() and not data.take_change()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "notes").write_text("x")
    assert len(data.of(counting, {})) == 4 and data.take_change()


def test_memory_does_not_grow_with_the_options_of_sessions(tmp_path: Path):
    (tmp_path / "numbers").write_text("1 2 3")
    data, counting = SiteData(Settings(data=tmp_path)), Counting()
    for number in range(10):
        data.of(counting, {"option": number})
    assert len(data._read) == 2
    data.of(counting, {"option": 9})
    assert counting.reads == 10
