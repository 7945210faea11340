"""The host with nvflare itself: what its functions ask of an engine, Lightning's patch, and our stand-in for it."""

from __future__ import annotations

import ast
import importlib
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from clientagent.hosts.nvflare import door, slot
from federation.fl import weights
from federation.fl.workloads.workload import source_digest
from tests.clientagent.fake_server import CODE, FakeServer, Seat
from tests.clientagent.test_process import ROOT, RUN, Process

STAND_IN = ROOT / "tests" / "clientagent" / "hosts" / "nvflare_stand_in" / "nvflare"
MODULES = ("client", "client.api", "client.api_spec", "client.in_process.api", "client.tracking")
Until = Callable[..., None]


def test_the_engine_has_each_function_that_nvflare_calls():
    assert {name for name in door.enter().calls if not hasattr(slot.Slot, name)} == set()


@pytest.mark.parametrize("module", [*MODULES, "fuel.data_event.data_bus"])
def test_our_stand_in_has_no_name_that_nvflare_has_not(module: str):
    path = STAND_IN.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    made = (ast.FunctionDef, ast.ClassDef)
    ours = [one.name for one in ast.parse(file.read_text()).body if isinstance(one, made) and one.name[0] != "_"]
    real = importlib.import_module(f"nvflare.{module}")
    assert ours and [name for name in ours if not hasattr(real, name)] == []


@pytest.fixture
def start(server: FakeServer, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def one(text: str) -> Process:
        (tmp_path / "train.py").write_text(textwrap.dedent(text))
        ours = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / "state")]
        command = [str(RUN), *ours, "--nvflare-script", str(tmp_path / "train.py")]
        started.append(Process(*command, folder=tmp_path, environment={"PYTHONWARNINGS": "default"}))
        return started[-1]

    yield one
    for process in started:
        process.popen.kill()
        process.end()


def offer(server: FakeServer, folder: Path, model: weights.Weights, **changes: object) -> Seat:
    return server.offer_to_script(source_digest(str(folder / "train.py")), model, name="train", **changes)


def sent(seat: Seat, folder: Path) -> weights.Weights:
    (folder / "sent").write_bytes(seat.update)
    return weights.load(folder / "sent")


ALL = """
    import nvflare.client as flare
    from nvflare.client.tracking import MLflowWriter, SummaryWriter, WandBWriter

    flare.init()
    assert flare.system_info()["site_name"] == "site-a"
    SummaryWriter().add_scalar("too_early", 1.0, 0)
    while flare.is_running():
        model = flare.receive()
        assert flare.get_site_name() == "site-a" and flare.get_job_id() == "1" and not flare.is_submit_model()
        if flare.is_evaluate():
            flare.send(flare.FLModel(metrics={"sum": float(model.params["w"].sum())}))
            continue
        assert flare.is_train() and flare.get_task_name() == "train" and model.current_round == 0
        SummaryWriter().add_scalars("rates", {"a": 1.0}, 1)
        MLflowWriter().log_metrics({"f1": 0.5}, 1)
        MLflowWriter().log_text("a text", "file")
        WandBWriter().log({"auc": 0.25}, 1)
        difference = {name: array * 0 + 0.5 for name, array in model.params.items()}
        meta = {"NUM_STEPS_CURRENT_ROUND": 12}
        flare.send(flare.FLModel(params=difference, params_type=flare.ParamsType.DIFF, meta=meta))
"""


def test_each_function_of_its_client_api_works(start, server: FakeServer, until: Until, tmp_path: Path):
    model = {"w": np.arange(3, dtype=np.float32)}
    process = start(ALL)
    evaluation, training = offer(server, tmp_path, model, kind="evaluate"), offer(server, tmp_path, model, round=1)
    until(lambda: training.status != "open")
    assert training.status == "reported", process.said
    assert evaluation.result == {"num_examples": 1, "metrics": {"sum": 3.0}}
    np.testing.assert_array_equal(sent(training, tmp_path)["w"], np.full(3, 0.5, np.float32))
    points = {point["name"]: point["value"] for point in training.points}
    assert points == {"rates/a": 1.0, "f1": 0.5, "auc": 0.25}
    assert "What it logs as TEXT stays here." in process.said


LIGHTNING = """
    from federation.fl.workloads import vision
    vision.datasets()  # torchvision beside a torch for CPUs

    import logging
    import pytorch_lightning as pl
    import torch
    import nvflare.client.lightning as flare
    from torch.utils.data import DataLoader, TensorDataset

    class Line(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(1, 1)

        def loss(self, batch):
            x, y = batch
            return torch.nn.functional.mse_loss(self.linear(x), y)

        def training_step(self, batch, index):
            return self.loss(batch)

        def validation_step(self, batch, index):
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    x = torch.linspace(-1, 1, 16).reshape(-1, 1)
    data = DataLoader(TensorDataset(x, 2 * x + 1), batch_size=4)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer, model = pl.Trainer(max_epochs=5, **quiet), Line()
    flare.patch(trainer)
    while flare.is_running():
        trainer.validate(model, dataloaders=data, verbose=False)
        trainer.fit(model, data)
"""


def test_lightnings_trainer_takes_part_by_its_patch(start, server: FakeServer, until: Until, tmp_path: Path):
    model = {"linear.bias": np.zeros(1, np.float32), "linear.weight": np.zeros((1, 1), np.float32)}
    process = start(LIGHTNING)
    for number in (1, 2):
        seat = offer(server, tmp_path, model, round=number)
        until(lambda seat=seat: seat.status != "open")
        assert seat.status == "reported", (seat.reason, process.said)
        assert sent(seat, tmp_path)["linear.bias"][0] > 0.5, "it learns 2 x + 1"
        metadata = weights.read_header(tmp_path / "sent").metadata
        assert metadata["num_examples"] == "20" and '"base_val_loss": 2.' in metadata["metrics"]
