"""What the machine trains on, told without importing torch."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clientagent import device
from clientagent.errors import Misconfigured

CARD = "NVIDIA H100 80GB HBM3, 81559 MiB"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    device.gpu.cache_clear()
    yield
    device.gpu.cache_clear()


@pytest.fixture
def card(tmp_path: Path, monkeypatch) -> Path:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{CARD}'\necho '{CARD}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return program


@pytest.mark.parametrize(("build", "expected"), [("2.13.0", "cuda"), ("2.13.0+cpu", "cpu"), (None, "cpu")])
def test_a_card_is_used_if_torch_was_built_for_it(card: Path, monkeypatch, build: str | None, expected: str):
    def version(name: str) -> str:
        if build is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return build

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert device.likely("auto") == expected
    assert device.describe("auto")["gpu"] == CARD


def test_a_card_whose_driver_does_not_answer_is_none(card: Path):
    card.write_text("#!/bin/sh\nexit 9\n")
    assert device.gpu() == "" and device.likely("auto") == "cpu"
    assert "gpu" not in device.describe("auto")


def test_what_is_asked_for_is_told_as_it_is():
    assert device.likely("mps") == "mps"


def test_the_processor_can_always_be_chosen():
    assert device.choose("cpu") == "cpu"
    assert device.choose("auto") in ("cpu", "cuda", "mps")


def test_torch_makes_the_same_sums_each_time_and_does_not_import_its_compiler_for_that():
    code = (
        "import os, sys, torch\n"
        "from clientagent.device import set_up_torch\n"
        "set_up_torch(1)\n"
        "assert torch.are_deterministic_algorithms_enabled() and torch.get_deterministic_debug_mode() == 1\n"
        "assert torch.get_num_threads() == 1 and not torch.utils.deterministic.fill_uninitialized_memory\n"
        "assert 'torch._inductor.config' not in sys.modules and os.environ['TORCHINDUCTOR_DETERMINISTIC'] == '1'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(device.choose("auto") != "cpu", reason="this machine has an accelerator")
@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_told_at_the_start(wanted: str):
    with pytest.raises(Misconfigured, match=f"--device {wanted}: PyTorch cannot use it on this machine; use one of"):
        device.require(wanted)


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_what_is_there_everywhere_costs_no_look(monkeypatch, wanted: str):
    monkeypatch.setattr(device, "choose", lambda wanted: 1 / 0)
    device.require(wanted)


def test_a_device_without_pytorch_is_told_at_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Misconfigured, match="--device cuda needs PyTorch, which cannot be imported"):
        device.require("cuda")
