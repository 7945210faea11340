"""What training takes of its machine: true numbers, at the right moments, at almost no cost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic, process_time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientagent import card, children, memory, resources
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.kinds import training
from clientagent.kinds.training import Trainer
from clientagent.resources import EVERY_SECONDS, LAST_SECONDS, Meter
from clientagent.settings import Settings
from tests.clientagent.fake_server import FakeServer

STEPS, PROCESSOR, MEMORY = "resources_steps_per_second", "resources_cpu_percent", "resources_memory_mb"
DRIVER = """
#include <string.h>
typedef struct { unsigned gpu, memory; } used;
static int card;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *name, void **handle) {
    *handle = &card;
    return strcmp(name, "GPU-0a1b") ? 6 : 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, used *found) {
    if (FAILS || handle != &card) return 3;
    found->gpu = 87; found->memory = 12;
    return 0;
}
"""


class Clocks:
    """Time, and the processor's time, as a test sets them."""

    def __init__(self) -> None:
        self.now = self.busy = 0.0

    def meter(self) -> Meter:
        return Meter(None, clock=lambda: self.now, busy=lambda: self.busy)

    def go(self, seconds: float, busy: float = 0.0) -> None:
        self.now, self.busy = self.now + seconds, self.busy + busy


def test_numbers_are_of_the_stretch_since_the_last_ones():
    clocks = Clocks()
    meter = clocks.meter()
    assert meter.at(1, is_last=False) == {}
    clocks.go(2.0, busy=3.0)
    first = meter.at(21, is_last=False)
    assert (first[STEPS], first[PROCESSOR]) == (10.0, 150.0)
    clocks.go(4.0, busy=1.0)
    second = meter.at(23, is_last=False)
    assert (second[STEPS], second[PROCESSOR]) == (0.5, 25.0)


def test_a_short_rest_is_measured_and_a_shorter_one_is_not():
    for seconds, is_measured in ((LAST_SECONDS, True), (LAST_SECONDS / 2, False)):
        clocks = Clocks()
        meter = clocks.meter()
        meter.at(1, is_last=False)
        clocks.go(seconds)
        assert bool(meter.at(2, is_last=True)) is is_measured


def test_what_is_no_training_counts_in_no_stretch():
    clocks = Clocks()
    meter = clocks.meter()
    meter.at(1, is_last=False)
    clocks.go(50.0)
    meter.pause()
    assert meter.at(2, is_last=False) == {}
    clocks.go(2.0)
    assert meter.at(4, is_last=False)[STEPS] == 1.0


@given(st.lists(st.floats(0.01, 5000), min_size=1, max_size=60))
def test_stretches_follow_each_other_and_are_never_short(lengths: list[float]):
    """Steps that the numbers speak of are those that were made: rate times time, added up."""
    clocks = Clocks()
    meter = clocks.meter()
    meter.at(0, is_last=False)
    counted, since = 0.0, 0.0
    for step, length in enumerate(lengths, start=1):
        clocks.go(length)
        if found := meter.at(step, is_last=False):
            assert clocks.now - since >= EVERY_SECONDS - 1e-6
            counted += found[STEPS] * (clocks.now - since)
            since = clocks.now
            assert counted == pytest.approx(step)


def test_long_training_is_looked_at_less_often():
    clocks = Clocks()
    meter = clocks.meter()
    looks = 0
    for step in range(24 * 3600):
        looks += bool(meter.at(step, is_last=False))
        clocks.go(1.0)
    assert 500 < looks < 1000


@pytest.fixture
def site(server: FakeServer, tmp_path: Path) -> Iterator[Any]:
    """Trains the digits here, long enough to be measured, and returns its points."""

    def train(settings: Settings) -> list[Mapping[str, float]]:
        config = {"epochs": 40, "batch_size": 8}
        offered = server.offer("digits").work
        work = training.parse({**offered, "config": {**offered["config"], **config}})
        points: list[Mapping[str, float]] = []

        def report(phase: str, step: int, total: int, metrics: Mapping[str, float]) -> bool:
            points.append(metrics)
            return True

        base = tmp_path / "base"
        training.works.workload_of(work).write_initial(base, work.options, 1)
        Trainer(SiteData(settings), Device("cpu", 1)).update(work, base, tmp_path / "update", report)
        return points

    yield train


def test_a_training_tells_what_it_takes(site: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(children, "_pids", lambda: iter(()))  # other tests may have begun some
    began, busy = monotonic(), process_time()
    points = site(Settings(samples=800))
    seconds, worked = monotonic() - began, process_time() - busy
    found = [one for one in points if STEPS in one]
    assert found and all("train_loss" in one for one in found)
    steps = sum("train_loss" in one for one in points)
    assert max(one[STEPS] for one in found) > steps / seconds / 2  # reading data and torch takes time as well
    assert 0 < max(one[PROCESSOR] for one in found) <= 100 * worked / LAST_SECONDS
    if memory.IS_KNOWN:
        assert found[-1][MEMORY] == pytest.approx(memory.resident() / 1e6, rel=0.3)


def test_a_site_may_keep_it_to_itself(site: Any):
    assert not any(
        name.startswith("resources_") for one in site(Settings(samples=800, hide_resources=True)) for name in one
    )


def test_it_takes_less_than_a_hundredth_of_a_core(monkeypatch):
    """A second of training at 2,000 steps a second, the look at its end included."""
    now = 0.0
    meter = Meter(None, clock=lambda: now)
    monkeypatch.setattr(resources, "Meter", lambda gpu: meter)
    noting = resources.noted(lambda *_: True, "cpu")
    began = process_time()
    for step in range(20_000):
        now = step / 2000
        noting("training", step, 20_000, {"train_loss": 1.0})
    assert (process_time() - began) / 10 < 0.01


@pytest.fixture(params=[0, 1], ids=["told", "not told"])
def driver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> bool:
    """A library with NVML's functions in place of the driver's. Returns whether it says how busy the card is."""
    source, library = tmp_path / "nvml.c", tmp_path / "nvml.so"
    source.write_text(DRIVER)
    try:
        subprocess.run(["cc", f"-DFAILS={request.param}", "-shared", "-fPIC", "-o", library, source], check=True)
    except OSError:
        pytest.skip("there is no C compiler")
    monkeypatch.setattr(card, "LIBRARY", str(library))
    return not request.param


def torch_with(monkeypatch: pytest.MonkeyPatch, uuid: str) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid=uuid))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 512_000_000)


def test_a_card_is_asked_by_its_driver(driver: bool, monkeypatch):
    torch_with(monkeypatch, "0a1b")
    clocks = Clocks()
    meter = Meter(card.of("cuda"), clock=lambda: clocks.now)
    meter.at(1, is_last=False)
    clocks.go(2.0)
    found = meter.at(2, is_last=False)
    assert found["resources_gpu_memory_mb"] == 512.0
    assert found.get("resources_gpu_percent") == (87.0 if driver else None)


def test_a_card_that_the_driver_does_not_know_gives_no_numbers(driver: bool, monkeypatch):
    torch_with(monkeypatch, "ffff")
    assert card.of("cuda") is None


def test_without_a_driver_or_a_card_there_are_no_numbers_of_one(monkeypatch):
    torch_with(monkeypatch, "0a1b")
    monkeypatch.setattr(card, "LIBRARY", "no-such-library.so")
    assert card.of("cuda") is None
    assert card.of("cpu") is None
