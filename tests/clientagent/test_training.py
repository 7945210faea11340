"""The same work gives the same bytes; a site's share of the data is its own."""

import mmap
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clientagent import children, memory
from clientagent.data import LOOK_RATIO, SiteData
from clientagent.device import Device
from clientagent.errors import Failed, Misconfigured
from clientagent.kinds import training
from clientagent.kinds.training import Trainer, TrainingWork
from clientagent.limits import limits_of
from clientagent.settings import Settings
from federation.fl import weights, workloads
from federation.fl.workloads import WORKLOADS, Data, LocalUpdate, Stopped
from tests.clientagent.fake_server import FakeServer
from tests.clientagent.sites import Site

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

    def digest(self) -> str:
        return "c" * 64

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


def changed_within(data: SiteData, counting: Counting) -> bool:
    reads = counting.reads
    data.of(counting, {})
    return counting.reads > reads


def test_a_file_that_takes_another_ones_place_is_read_though_size_and_time_are_the_same(tmp_path: Path):
    file, other = tmp_path / "numbers", tmp_path / "numbers.new"
    file.write_text("1 2 3")
    data, counting = SiteData(Settings(data=tmp_path)), Counting()
    data.of(counting, {})
    other.write_text("4 5 6")
    os.utime(other, ns=(0, file.stat().st_mtime_ns))
    other.replace(file)
    assert changed_within(data, counting) and data.of(counting, {}).features.tolist() == [4, 5, 6]


def test_data_behind_a_link_are_read_again_and_a_link_to_itself_is_no_trap(tmp_path: Path):
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(folder)
    (folder / "numbers").write_text("1 2 3")
    data, counting = SiteData(Settings(data=folder)), Counting()
    assert changed_within(data, counting) and not changed_within(data, counting)
    (elsewhere / "more").write_text("4")
    assert changed_within(data, counting) and not changed_within(data, counting)


def test_data_that_were_away_are_told_again_when_they_are_back(tmp_path: Path):
    (tmp_path / "numbers").write_text("1 2 3")
    data, counting = SiteData(Settings(data=tmp_path)), Counting()
    data.of(counting, {})
    (tmp_path / "numbers").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        data.of(counting, {})
    assert data.take_change()
    (tmp_path / "away").rename(tmp_path / "numbers")
    assert len(data.of(counting, {})) == 3 and data.take_change()


def test_a_large_folder_is_looked_through_for_a_small_part_of_the_time(tmp_path: Path, monkeypatch):
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr("clientagent.data.monotonic", clock)
    (tmp_path / "numbers").write_text("1 2 3")
    data, counting = SiteData(Settings(data=tmp_path)), Counting()
    data.of(counting, {})
    (tmp_path / "numbers").write_text("1 2 3 4")
    assert not changed_within(data, counting)
    now[0] += LOOK_RATIO
    assert changed_within(data, counting)


def test_a_site_with_an_empty_part_says_that_it_has_none(tmp_path: Path, monkeypatch):
    (tmp_path / "numbers").write_text("")
    monkeypatch.setitem(WORKLOADS, "counting", Counting())
    with pytest.warns(UserWarning, match="input contained no data"):
        counts = SiteData(Settings(data=tmp_path, workload="counting")).census("north")
    assert counts == {"num_examples": 0, "examples": {"counting": 0}}


class Unlabelled(Counting):
    def training_data(self, options: dict[str, Any], folder: Path) -> Data:
        return Data(np.arange(10, dtype=np.float32), np.empty(0, np.int64), ())


@pytest.mark.parametrize("how", ["iid", "dirichlet:0.5"])
def test_examples_without_labels_are_shared_out_too(how: str):
    parts = [SiteData(Settings(partition=how, shard=f"{number}/3")).of(Unlabelled(), {}) for number in (1, 2, 3)]
    assert all(len(part) for part in parts)
    assert sorted(number for part in parts for number in part.features) == list(range(10))


def test_more_parts_than_examples_is_a_sentence_at_the_seat(site: Site, server: FakeServer):
    seat = server.offer("digits")
    said = site.run(workload="digits", partition="iid", shard="1/5000")
    assert seat.reason == "1438 examples are too few for 5000 shards." and "could not be counted" in said


def test_data_that_only_a_sessions_options_name_are_not_counted_before(tmp_path: Path):
    (tmp_path / "dark").mkdir()  # no class of the options' defaults
    assert SiteData(Settings(data=tmp_path, workload="images")).census("north") == {}


# ---- what the site's owner allows


def test_a_site_trains_fewer_epochs_than_a_session_asks(digits: TrainingWork, tmp_path: Path):
    seen: list[tuple[int, int]] = []

    def report(phase: str, step: int, total: int, metrics: Any) -> bool:
        if phase == "training":
            seen.append((step, total))
        return True

    asked = replace(digits, config={**digits.config, "epochs": 3, "batch_size": 16})
    update(replace(DIGITS, max_epochs=1, validation_samples=12), asked, tmp_path, report)
    assert seen == [(1, 3), (2, 3), (3, 3)]  # 48 examples in batches of 16
    seen.clear()
    update(replace(DIGITS, max_epochs=9, batch_size=60, validation_samples=0), asked, tmp_path, report)
    assert seen == [(1, 3), (2, 3), (3, 3)]  # 60 examples in one batch, three epochs


def test_a_site_ends_training_after_its_time(digits: TrainingWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(1000))
    monkeypatch.setattr("federation.fl.workloads.training.monotonic", lambda: next(clock))
    seen: list[int] = []

    def report(phase: str, step: int, total: int, metrics: Any) -> bool:
        if phase == "training":
            seen.append(step)
        return True

    update(replace(DIGITS, max_seconds=4), replace(digits, config={**digits.config, "epochs": 50}), tmp_path, report)
    assert seen == [1, 2, 3, 4, 5]


def test_work_that_needs_more_memory_than_a_site_allows_is_given_up(
    digits: TrainingWork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[int] = []

    def report(phase: str, step: int, total: int, metrics: Any) -> bool:
        seen.append(step)
        return True

    update(replace(DIGITS, max_memory=10**6), digits, tmp_path, report)
    assert len(seen) > 3
    sizes = iter([400e6, 900e6, 1001e6])
    monkeypatch.setattr(memory, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(memory, "resident", lambda: next(sizes))
    monkeypatch.setattr(children, "_pids", lambda: iter(()))  # other tests may have begun some
    seen.clear()
    with pytest.raises(
        Failed, match=r"more than the 1000 MB of memory that the site allows \(--max-memory\): .* 1001 MB"
    ):
        update(replace(DIGITS, max_memory=1000), digits, tmp_path, report)
    assert len(seen) == 2


def test_memory_is_that_of_this_process():
    with mmap.mmap(-1, 20_000_000) as new:  # what was freed before may not be used for it
        before = memory.resident()
        new.write(b"x" * len(new))
        assert 15e6 < memory.resident() - before < 60e6


def test_a_limit_of_memory_is_refused_where_it_is_not_known(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "IS_KNOWN", False)
    with pytest.raises(Misconfigured, match="--max-memory works on Linux alone"):
        limits_of(replace(SYNTHETIC, max_memory=900))


def test_what_a_site_limits_is_said_in_words():
    assert SiteData(SYNTHETIC).limits.described == ""
    said = SiteData(replace(SYNTHETIC, max_epochs=2, max_seconds=60, batch_size=8, max_memory=900)).limits.described
    assert "with at most 900 MB of memory (--max-memory)" in said
    assert "at most 2 epochs a round (--max-epochs)" in said and "at most 60 s a round (--max-seconds)" in said
    assert "in batches of 8 (--batch-size)" in said


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_other_settings_reach_the_training_and_give_the_same_bytes(
    digits: TrainingWork, tmp_path: Path, optimizer: str
):
    more = {"optimizer": {"name": optimizer, "options": {"weight_decay": 0.1}}, "local_options": {"clip_norm": 0.5}}
    asked = replace(digits, config={**digits.config, **more})
    first = update(DIGITS, asked, tmp_path)
    assert first == update(DIGITS, asked, tmp_path) != update(DIGITS, digits, tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        {"optimizer": {"name": "lion", "options": {}}},
        {"optimizer": {"name": "adam", "options": {"beta1": 2}}},
        {"optimizer": {"name": "adam"}},
        {"optimizer": "adam"},
        {"local_options": {"accumulate": 0}},
        {"local_options": {"dropout": 0.5}},
        {"local_options": 3},
    ],
)
def test_settings_that_are_not_known_here_give_the_work_up(digits: TrainingWork, tmp_path: Path, more: dict[str, Any]):
    with pytest.raises(Failed, match="The server's config cannot be used"):
        update(DIGITS, replace(digits, config={**digits.config, **more}), tmp_path)


def metadata_of(digits: TrainingWork, folder: Path, **asked: float) -> Any:
    update(DIGITS, replace(digits, config={**digits.config, **asked}), folder)
    return weights.read_header(folder / "update").metadata


def test_steps_and_the_loss_before_training_are_told_where_the_strategy_asks(digits: TrainingWork, tmp_path: Path):
    plain = metadata_of(digits, tmp_path)
    assert not {"local_steps", "base_train_loss"} & plain.keys()
    told = metadata_of(digits, tmp_path, local_steps=1.0, base_train_loss=1.0)
    batches = -(-int(told["num_examples"]) // digits.config["batch_size"])
    assert told["local_steps"] == str(batches * digits.config["epochs"])
    assert 2 < float(told["base_train_loss"]) < 3  # ten classes, before any training
    assert told["metrics"] == plain["metrics"]


def test_a_workload_that_knows_no_steps_tells_none(work: TrainingWork, tmp_path: Path):
    update(SYNTHETIC, replace(work, config={**work.config, "local_steps": 1.0}), tmp_path)
    assert "local_steps" not in weights.read_header(tmp_path / "update").metadata
