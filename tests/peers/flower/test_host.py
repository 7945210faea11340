"""A ClientApp's work, from the model that comes to the update that goes, with a server that misbehaves on demand."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clientagent import cli
from federation.fl import weights
from federation.fl.workloads.workload import source_digest
from federation.killpoints import Point
from tests.clientagent.fake_server import CODE, FakeServer, Seat
from tests.clientagent.test_process import RUN, Process
from tests.peers.flower.apps import CLIENT_FN, CONFIG, MESSAGES

MODEL = {"bias": np.zeros(2, np.float32), "weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
NUMBERED = {str(n): np.full(n % 3 + 1, n, np.float32) for n in range(12)}
Host = Callable[..., int]
names = (f"app_{n}" for n in count())  # a module is imported once a process


class App:
    """An app in a folder of its own. digest: of its source."""

    def __init__(self, folder: Path, text: str, body: str = "pass") -> None:
        self.module, self.folder = next(names), folder
        folder.mkdir(exist_ok=True)
        (folder / "pyproject.toml").write_text(CONFIG.format(module=self.module))
        (folder / f"{self.module}.py").write_text(text.replace("BODY", body))

    @property
    def digest(self) -> str:
        return source_digest(str(self.folder / f"{self.module}.py"))

    def words(self, server: FakeServer, *more: str) -> list[str]:
        ours = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(self.folder / "state")]
        return ["--flower-app", str(self.folder), *ours, *more]


@pytest.fixture
def host(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Be the agent of an app, for one piece of work. Returns the exit status."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in (*cli.THREAD_VARIABLES, "CUBLAS_WORKSPACE_CONFIG", "FLWR_TELEMETRY_ENABLED"):
        monkeypatch.setenv(name, "1")  # what main() sets is put back
    mask = os.umask(0)
    os.umask(mask)

    def run(app: App, *more: str) -> int:
        status = cli.main(app.words(server, "--once", *more))
        os.umask(mask)
        return status

    return run


def offer(server: FakeServer, app: App, model: weights.Weights = MODEL, **changes: Any) -> Seat:
    options = changes.pop("options", {"start": 2.0})
    return server.offer_to_script(app.digest, model, options=options, **changes)


def sent(seat: Seat, folder: Path) -> tuple[weights.Weights, dict[str, Any]]:
    (folder / "sent").write_bytes(seat.update)
    metadata = weights.read_header(folder / "sent").metadata
    return weights.load(folder / "sent"), metadata | {"metrics": json.loads(metadata.get("metrics", "{}"))}


# ---- functions for messages


def test_it_trains_what_came_and_sends_the_difference(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)
    seat = offer(server, app)
    assert host(app) == 0
    delta, metadata = sent(seat, tmp_path)
    drawn = np.random.RandomState(7).random_sample((2, 3)).astype(np.float32)
    np.testing.assert_allclose(delta["weight"], drawn * seat.work["config"]["learning_rate"], rtol=1e-5)
    np.testing.assert_array_equal(delta["bias"], np.zeros(2))
    assert metadata["num_examples"] == "5"
    assert metadata["metrics"] == {"train_loss": 1.0, "epochs": 1.0}
    assert seat.values("train_loss") == {1: 1.0} and server.left == 1


def test_the_server_hears_what_the_app_can_and_how_it_is_configured(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)
    offer(server, app)
    assert host(app) == 0
    (entry,) = server.infos[-1]["catalogue"]
    assert (entry["name"], entry["digest"], entry["kinds"]) == ("toy", app.digest, ["train", "evaluate"])
    assert [(option["name"], option["default"]) for option in entry["options"]] == [("start", 2.0)]
    assert entry["train_defaults"]["epochs"] == 1
    assert [measure["name"] for measure in entry["measures"]] == ["accuracy", "loss"]


def test_mods_of_the_app_see_its_messages(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)
    offer(server, app)
    assert host(app) == 0
    assert set(sys.modules[app.module].SEEN) == {"train"}


def test_what_the_app_keeps_comes_back_with_the_update_that_counted(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)
    first = offer(server, app)
    assert host(app) == 0
    last = {"participation": "1", "digest": sha256(first.update).hexdigest()}
    counted, uncounted = offer(server, app, last_update=last), offer(server, app)
    assert host(app) == 0 and host(app) == 0
    one, two, anew = (sent(seat, tmp_path)[0]["weight"] for seat in (first, counted, uncounted))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
    np.testing.assert_array_equal(anew, one)
    measured = offer(server, app, kind="evaluate", last_update={"participation": "2", "digest": digest_of(counted)})
    assert host(app) == 0
    assert measured.result["metrics"]["loss"] == 2.0, "rounds, of the state"


def digest_of(seat: Seat) -> str:
    return sha256(seat.update).hexdigest()


def test_a_model_is_measured(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)
    seat = offer(server, app, kind="evaluate")
    assert host(app, "--flower-measures", "dice") == 0
    found = {"accuracy": 0.5, "loss": 0.0, "each_0": 1.0, "each_1": 2.0}
    assert seat.result == {"num_examples": 7, "metrics": found}
    (entry,) = server.infos[-1]["catalogue"]
    assert [measure["name"] for measure in entry["measures"]] == ["dice"]


def test_a_function_of_the_config_makes_version_0(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)
    seat = offer(server, app, kind="initialise", options={"start": 3.0})
    assert host(app, "--flower-initial", f"{app.module}:begin") == 0
    made = sent(seat, tmp_path)[0]
    np.testing.assert_array_equal(made["weight"], np.full((2, 3), 3, np.float32))
    assert server.infos[-1]["catalogue"][0]["kinds"] == ["train", "evaluate", "initialise"]


@pytest.mark.parametrize(
    ("text", "tensors"),
    [
        ("def made(): return [np.zeros(2, np.float32), np.ones(3, np.float32)]", {"0", "1"}),
        ("made = {'w': np.zeros(2, np.float32)}", {"w"}),
        ("def made(): return ArrayRecord({'w': Array(np.zeros(2, np.float32))})", {"w"}),
        ("import torch\nmade = lambda: torch.nn.BatchNorm1d(2)",
         {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}),
        ("import torch\nclass made(torch.nn.Linear):\n    def __init__(self): super().__init__(2, 1)",
         {"weight", "bias"}),
    ],
)  # fmt: skip
def test_version_0_may_be_whatever_a_server_app_begins_with(
    host: Host, server: FakeServer, tmp_path: Path, text: str, tensors: set[str]
):
    app = App(tmp_path / "app", f"{MESSAGES}\n{text}\n")
    seat = offer(server, app, kind="initialise")
    assert host(app, "--flower-initial", f"{app.module}:made") == 0
    made, metadata = sent(seat, tmp_path)
    assert made.keys() == tensors
    if "running_mean" in tensors:
        assert set(json.loads(metadata["buffers"])) == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_file_may_be_version_0(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)
    weights.save(tmp_path / "begin.safetensors", MODEL)
    seat = offer(server, app, kind="initialise")
    assert host(app, "--flower-initial", str(tmp_path / "begin.safetensors")) == 0
    np.testing.assert_array_equal(sent(seat, tmp_path)[0]["weight"], MODEL["weight"])


# ---- client_fn


def test_a_client_fn_trains_numbered_arrays_in_their_order(host: Host, server: FakeServer, tmp_path: Path, capsys):
    app = App(tmp_path / "app", CLIENT_FN, "assert [float(one[0]) for one in parameters] == list(range(12))")
    seat = offer(server, app, NUMBERED)
    assert host(app, "--flower-node-config", "partition-id=3") == 0
    delta, metadata = sent(seat, tmp_path)
    assert {float(array[0]) for array in delta.values()} == {3.0} and len(delta) == 12
    assert metadata["num_examples"] == "4"
    assert metadata["metrics"] == {"accuracy": 0.25, "lr": seat.work["config"]["learning_rate"]}
    assert capsys.readouterr().err.count("The app's metric 'note' is no number. It stays here.") == 1


def test_a_client_fn_measures(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", CLIENT_FN)
    seat = offer(server, app, {"0": np.ones(3, np.float32)}, kind="evaluate")
    assert host(app, "--flower-node-config", "partition-id=3") == 0
    assert seat.result == {"num_examples": 3, "metrics": {"loss": 3.0, "accuracy": 0.75}}


def test_a_client_fn_is_asked_for_version_0(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", CLIENT_FN)
    seat = offer(server, app, kind="initialise")
    assert host(app, "--flower-node-config", "partition-id=3") == 0
    made = sent(seat, tmp_path)[0]
    assert made["0"].shape == (2, 3) and made["10"].tolist() == [9.0, 9.0] and made["10"].dtype == np.float64


def test_a_client_without_get_parameters_says_so(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", CLIENT_FN.replace("def get_parameters", "def unused"))
    seat = offer(server, app, kind="initialise")
    assert host(app, "--flower-node-config", "partition-id=3") == 0
    assert seat.reason.startswith("The app's client answers:") and seat.reason.endswith("Give --flower-initial.")


def test_a_site_without_its_part_is_told_the_flag(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", CLIENT_FN)
    seat = offer(server, app, NUMBERED)
    assert host(app) == 0
    assert seat.reason.startswith(f"KeyError: 'partition-id' ({app.module}.py, line ")
    assert seat.reason.endswith("Give this site's part: --flower-node-config 'partition-id=0 num-partitions=3'.")


# ---- what an app does wrong


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise RuntimeError('no such patient')", r"RuntimeError: no such patient \(app_\d+.py, line \d+\)"),
        ("raise SystemExit(4)", r"SystemExit: 4 \(app_\d+.py, line \d+\)"),
        ("return 3", "The app answers train with int instead of a Message."),
        ("del found['bias']", "The app's reply lacks the array bias. An app returns exactly the arrays that came: "),
        ("found['more'] = found['bias']", "The app's reply has the array more, which did not come."),
        ("found['bias'] = np.zeros(3)", r"The app's array bias came back with the shape \[3\] instead of \[2\]."),
        ("found['bias'] = np.zeros(2, np.int64)", "bias has dtype I64, but the session's model has F32."),
        ("found['bias'] = np.full(2, np.nan)", "Training diverged: bias holds a value that is not finite."),
        ("return Message(RecordDict({'arrays': arrays}), reply_to=message)",
         "The app's reply must have one MetricRecord, and has none."),
        ("return Message(RecordDict({'m': MetricRecord({'num-examples': 1})}), reply_to=message)",
         "The app's reply must have one ArrayRecord, and has none."),
        ("return Message(RecordDict({'a': arrays, 'm': MetricRecord({'loss': 1})}), reply_to=message)",
         "The reply to train has no 'num-examples' in its MetricRecord."),
        ("return Message(RecordDict({'a': arrays, 'm': MetricRecord({'num-examples': 0})}), reply_to=message)",
         "num_examples must be a whole number from 1 to 10"),
        ("return Message(RecordDict({'a': arrays, 'm': MetricRecord({'num-examples': 1.5})}), reply_to=message)",
         "The app says that it used 1.5 examples. It must be a whole number."),
        ("from flwr.app import Error; return Message(Error(7, 'no data'), reply_to=message)",
         "The app answers train with an error: no data."),
    ],
)  # fmt: skip
def test_what_an_app_does_wrong_gives_the_seat_up_with_its_sentence(
    host: Host, server: FakeServer, tmp_path: Path, body: str, said: str
):
    app = App(tmp_path / "app", MESSAGES, body)
    seat = offer(server, app)
    assert host(app) == 0
    assert seat.status == "failed"
    assert re.match(said, seat.reason), seat.reason


def test_the_next_work_is_done_after_one_that_failed(host: Host, server: FakeServer, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES, "assert config['server-round'] > 1")
    first, second = offer(server, app), offer(server, app)
    assert host(app) == 0 and host(app) == 0
    assert (first.status, second.status) == ("failed", "reported")


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        (("text():", "text(): pass\napp = 3\ndef last():"), (), "a int is no ClientApp of Flower."),
        (("@app.train(mods=[mod])", ""), (), "the ClientApp has no function for training (@app.train())."),
        (
            ("def text", "raise SystemExit(3)\n\n\ndef text"),
            (),
            "--flower-app: {module} cannot be imported: SystemExit: 3 (",
        ),
        (("", ""), ("--flower-initial", __file__), f"--flower-initial: {__file__}: Not a safetensors file"),
        (("", ""), ("--flower-initial", "no_such_module:Net"), "--flower-initial: there is no module 'no_such_module'"),
        (("", ""), ("--flower-initial", "{module}:mod"), "--flower-initial {module}:mod: TypeError: mod() missing"),
        (("", ""), ("--flower-initial", "{module}:text"), "{module}:text: An object of the type str is no model."),
        (("'x'", "{}"), ("--flower-initial", "{module}:text"), "{module}:text: The app makes a model without any"),
    ],
)
def test_an_app_that_cannot_be_hosted_is_refused_before_it_joins(
    host: Host, server: FakeServer, tmp_path: Path, capsys, change: tuple[str, str], more: tuple[str, ...], said: str
):
    app = App(tmp_path / "app", f"{MESSAGES}\n\ndef text(): return 'x'\n".replace(*change))
    assert host(app, *(word.format(module=app.module) for word in more)) == 2
    assert said.format(module=app.module) in capsys.readouterr().err
    assert not server.infos


# ---- killed


def test_killed_at_any_point_it_sends_the_same_update(server: FakeServer, until, tmp_path: Path):
    app = App(tmp_path / "app", MESSAGES)

    def start(**environment: str) -> Process:
        environment = {"PYTHONWARNINGS": "default", **environment}
        return Process(str(RUN), *app.words(server), folder=tmp_path, environment=environment)

    first = offer(server, app)
    process = start()
    until(lambda: first.status == "reported")
    kept = {"participation": "1", "digest": digest_of(first)}
    undisturbed = offer(server, app, last_update=kept, round=2)
    until(lambda: undisturbed.status == "reported")
    process.popen.kill()
    process.end()
    for point in (Point.TRAINING, Point.TRAINED, Point.UPDATE_KEPT, Point.REPORTED):
        shaken = offer(server, app, last_update=kept, round=2)
        (tmp_path / "kill").write_text(point)
        assert start(FL_KILL_FILE=str(tmp_path / "kill")).end() == -9
        process = start()
        until(lambda seat=shaken: seat.status == "reported")
        assert shaken.update == undisturbed.update, point
        process.popen.kill()
        process.end()
