"""NVFlare's Client API at an agent: scripts as they are written for it, with a server that misbehaves on demand.

A stand-in has nvflare's few names; tests/peers runs its own script with the real package.
"""

from __future__ import annotations

import json
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clientagent.errors import Misconfigured, TokenRefused
from clientagent.hosts.nvflare import door, hosting
from clientagent.settings import Settings
from federation.fl import weights
from federation.fl.workloads.workload import source_digest
from federation.killpoints import Point
from tests.clientagent.fake_server import CODE, FakeServer, Seat, status
from tests.clientagent.test_process import ROOT, RUN, Process

STAND_IN = Path(__file__).parent / "nvflare_stand_in"
MODEL = {"bias": np.zeros(2, np.float32), "weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
LOOP = """
import nvflare.client as flare

flare.init()
while flare.is_running():
    model = flare.receive()
    params = {name: array + 1 for name, array in model.params.items()}
"""
SEND = """
    flare.send(flare.FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": 5}))
"""


class Hosted:
    """A script at its host, which runs in a thread of this process."""

    def __init__(self, server: FakeServer, folder: Path) -> None:
        self.server, self.path = server, folder / "train.py"
        self.settings = {"server": server.url, "join_code": CODE, "name": "site-a", "state": folder / "state"}
        self.ended: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def write(self, *parts: str) -> Hosted:
        self.path.write_text("".join(parts))
        return self

    def host(self, *words: str, **more: Any) -> hosting.Host:
        return hosting.Host(Settings(nvflare_script=self.path, **self.settings, **more), words)

    def start(self, *words: str, **more: Any) -> Hosted:
        self._host = self.host(*words, **more)
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            self._host.run()
        except BaseException as error:
            self.ended = error

    def end(self) -> BaseException | None:
        """What it ended with once its token was valid no longer."""
        self.server.tokens.clear()
        self.server.end_polls()
        return self.wait()

    def wait(self) -> BaseException | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.ended

    def offer(self, server: FakeServer, **changes: Any) -> Seat:
        return server.offer_to_script(source_digest(str(self.path)), MODEL, name="train", **changes)


@pytest.fixture
def script(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    monkeypatch.syspath_prepend(STAND_IN)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    server.marks_all = True
    monkeypatch.setattr(hosting, "FIRST_SECONDS", 0.01)
    hosted = Hosted(server, tmp_path)
    yield hosted
    for name in [name for name in sys.modules if name.split(".")[0] in ("nvflare", "network")]:
        del sys.modules[name]


def sent(seat: Seat, folder: Path) -> tuple[weights.Weights, dict[str, str]]:
    (folder / "sent").write_bytes(seat.update)
    return weights.load(folder / "sent"), weights.read_header(folder / "sent").metadata


Until = Callable[..., None]

# ---- rounds


def test_its_loop_trains_round_after_round(script: Hosted, server: FakeServer, until: Until, tmp_path: Path):
    script.write(LOOP, "    assert model.params_type == 'FULL'\n", SEND).start()
    for _ in range(3):
        seat = script.offer(server)
        until(lambda seat=seat: seat.status != "open")
        delta, metadata = sent(seat, tmp_path)
        np.testing.assert_array_equal(delta["weight"], np.ones((2, 3), np.float32))
        assert metadata["num_examples"] == "5"
    assert isinstance(script.end(), TokenRefused)


def test_it_is_told_whose_model_it_is(script: Hosted, server: FakeServer, until: Until):
    script.write(
        LOOP,
        "    told = [model.current_round, model.meta['job_id'], model.meta['configs']['batch_size'],\n"
        "            flare.system_info(), flare.get_task_name(), flare.is_train(), flare.is_evaluate(),\n"
        "            flare.is_submit_model(), flare.get_config()['TASK_EXCHANGE']['transfer_type'],\n"
        "            flare.get_job_id(), flare.get_site_name(), flare.receive() is model]\n"
        "    print('TOLD', told, flush=True)\n"
        "    assert told == [6, '1', 32, {'job_id': '1', 'site_name': 'site-a'}, 'train', True, False, False,\n"
        "                    'FULL', '1', 'site-a', True], told\n",
        SEND,
    ).start()
    seat = script.offer(server, round=7)
    until(lambda: seat.status != "open")
    assert seat.status == "reported", seat.reason
    script.end()


def test_a_difference_is_sent_as_it_is(script: Hosted, server: FakeServer, until: Until, tmp_path: Path):
    script.write(
        LOOP,
        "    params = {name: array * 0 + 0.1 for name, array in model.params.items()}\n"
        "    flare.send(flare.FLModel(params=params, params_type='DIFF'))\n",
    ).start()
    seat = script.offer(server)
    until(lambda: seat.status == "reported")
    delta, metadata = sent(seat, tmp_path)
    np.testing.assert_array_equal(delta["weight"], np.full((2, 3), 0.1, np.float32))
    assert metadata["num_examples"] == "1", "without NUM_STEPS_CURRENT_ROUND"
    script.end()


def test_who_imports_torch_gets_tensors(script: Hosted, server: FakeServer, until: Until, tmp_path: Path):
    script.write(
        "import torch\n",
        LOOP,
        "    params = {name: torch.nn.Parameter(tensor + 2) for name, tensor in model.params.items()}\n",
        SEND,
    ).start()
    seat = script.offer(server)
    until(lambda: seat.status != "open")
    np.testing.assert_array_equal(sent(seat, tmp_path)[0]["bias"], np.full(2, 2, np.float32))
    script.end()


def test_metrics_beside_params_are_of_the_model_that_came(script: Hosted, server, until: Until, tmp_path: Path):
    script.write(
        LOOP,
        "    metrics = {'accuracy': 42, 'val_auc': 0.5, 'train_loss': 0.1, 'note': 'fine', 'loss': float('nan')}\n"
        "    flare.send(flare.FLModel(params=params, metrics=metrics))\n",
    ).start()
    seat = script.offer(server)
    until(lambda: seat.status == "reported")
    assert json.loads(sent(seat, tmp_path)[1]["metrics"]) == {
        "base_val_accuracy": 42.0,
        "base_val_auc": 0.5,
        "base_val_loss": None,
        "train_loss": 0.1,
    }
    script.end()


WRITER = "from nvflare.client import tracking\n"
LOGS = """    writer = tracking.SummaryWriter()
    for batch in range(3):
        writer.add_scalar("loss", 3.0 - batch, STEP)
    writer.add_scalars("rates", {"a": 1.0})
    flare.log("note", "a text", flare.AnalyticsDataType.TEXT)
    flare.log("metrics", {"f1": 0.5}, flare.AnalyticsDataType.METRICS, global_step=2)
"""


@pytest.mark.parametrize("step", ["100 * model.current_round + batch", "batch", "None"])
def test_what_it_logs_becomes_live_points(script: Hosted, server: FakeServer, until: Until, step: str):
    script.write(WRITER, LOOP, LOGS.replace("STEP", step), SEND).start()
    for _ in range(2):
        seat = script.offer(server)
        until(lambda seat=seat: seat.status == "reported")
        values = seat.values("loss")
        assert list(values.values()) == [3.0, 2.0, 1.0] and max(values) < 200
        assert list(seat.values("rates/a").values()) == [1.0] and list(seat.values("f1").values()) == [0.5]
        assert not seat.values("note")
    script.end()


def test_steps_that_go_on_through_the_rounds_do_so_after_a_restart(script: Hosted, server, until: Until, tmp_path):
    script.write(WRITER, LOOP, LOGS.replace("STEP", "100 * model.current_round + batch"), SEND).start(once=True)
    first = script.offer(server, round=1)
    until(lambda: first.status == "reported")
    assert script.wait() is None
    last = {"participation": first.work["participation"], "digest": sha256(first.update).hexdigest()}
    again = Hosted(server, tmp_path).start(once=True)
    second = again.offer(server, round=2, last_update=last)
    until(lambda: second.status == "reported")
    assert list(second.values("loss")) == [98, 99, 100]
    assert again.wait() is None


EVALUATES = """
    if flare.is_evaluate():
        flare.send(flare.FLModel(metrics={"accuracy": float(model.params["weight"].sum())}))
        continue
"""


def test_it_measures_a_model_where_it_asks_whether_it_is_to(script: Hosted, server: FakeServer, until: Until):
    script.write(LOOP, EVALUATES, SEND).start()
    evaluation, training = script.offer(server, kind="evaluate"), script.offer(server)
    until(lambda: training.status != "open")
    assert evaluation.result == {"num_examples": 1, "metrics": {"accuracy": 15.0}}
    assert training.status == "reported"
    (entry,) = server.infos[-1]["catalogue"]
    assert entry["kinds"] == ["train", "evaluate"] and entry["name"] == "train"
    assert [(one["name"], one["direction"], one["unit"]) for one in entry["measures"]] == [("accuracy", "max", "")]
    script.end()


def test_numbers_that_were_measured_before_a_kill_are_sent_and_not_measured_again(
    script: Hosted, server, until, tmp_path
):
    script.write(LOOP, EVALUATES.replace("accuracy", "first"), SEND)
    seat = script.offer(server, kind="evaluate")
    server.script("POST", "/result", status(401))
    assert isinstance(script.start().wait(), TokenRefused)
    again = Hosted(server, tmp_path).start()
    until(lambda: seat.result)
    assert seat.result["metrics"] == {"first": 15.0}
    again.end()


def test_an_evaluation_is_not_offered_to_who_does_not_ask(script: Hosted, server: FakeServer, until: Until):
    script.write(LOOP, SEND).start()
    seat = script.offer(server, kind="evaluate")
    until(lambda: seat.status == "failed")
    assert server.infos[-1]["catalogue"][0]["kinds"] == ["train"]
    assert seat.reason == "This site's script does no work of the kind 'evaluate'."
    script.end()


def test_a_script_without_a_loop_is_run_again_for_each_round(script: Hosted, server: FakeServer, until: Until):
    script.write(
        "import nvflare.client as flare\nflare.init()\nmodel = flare.receive()\n"
        "flare.send(flare.FLModel(params=model.params))\n"
    ).start()
    seats = [script.offer(server) for _ in range(2)]
    until(lambda: [seat.status for seat in seats] == ["reported", "reported"])
    script.end()


COUNTS = """
import nvflare.client as flare

rounds = 0
flare.init()
while flare.is_running():
    model, rounds = flare.receive(), rounds + 1
    flare.send(flare.FLModel(params=model.params, meta={"NUM_STEPS_CURRENT_ROUND": rounds}))
"""


@pytest.mark.parametrize(("anew", "counts"), [(False, ["1", "2", "1"]), (True, ["1", "1", "1"])])
def test_what_it_keeps_ends_with_the_session(script: Hosted, server, until: Until, tmp_path, anew: bool, counts):
    script.write(COUNTS).start(nvflare_anew=anew)
    other = {"session": {"id": "2", "name": "second"}}
    seats = [script.offer(server), script.offer(server), script.offer(server, **other)]
    until(lambda: all(seat.status == "reported" for seat in seats))
    assert [sent(seat, tmp_path)[1]["num_examples"] for seat in seats] == counts
    script.end()


def test_it_ends_after_one_round_if_it_is_asked_to(script: Hosted, server: FakeServer):
    script.write(COUNTS).start(once=True)
    seat = script.offer(server)
    assert script.wait() is None
    assert seat.status == "reported" and server.left == 1


@pytest.mark.parametrize("made", ["Network", "network", "state"])
def test_a_session_begins_with_what_the_site_names(script: Hosted, server: FakeServer, until: Until, tmp_path, made):
    (tmp_path / "network.py").write_text(
        "import torch\nclass Network(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(2, 1)\n"
        "network = Network()\nstate = network.state_dict()\n"
    )
    script.write("import network\n", LOOP, SEND).start(nvflare_initial=f"network:{made}")
    seat = server.offer_to_script(
        source_digest(str(script.path), str(tmp_path / "network.py")), MODEL, name="train", kind="initialise"
    )
    until(lambda: seat.status != "open")
    assert seat.status == "reported", seat.reason
    assert {name: array.shape for name, array in sent(seat, tmp_path)[0].items()} == {"weight": (1, 2), "bias": (1,)}
    script.end()


# ---- what goes wrong


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    raise RuntimeError('no such patient')\n", "RuntimeError: no such patient (train.py, line 9)"),
        ("    raise SystemExit(7)\n", "The script ended with the exit status 7."),
        ("    break\n", "The script came to its end without flare.send()."),
        ("    pass\n", "The script went on to the next work without sending an update."),
        ("    flare.send(flare.FLModel(metrics={'a': 1}))\n", "params after training: FLModel(params=...)."),
        ("    del params['bias']\n" + SEND, "The tensor bias of the session's model is missing. (train.py, line 11)"),
        ("    params['more'] = params['bias']\n" + SEND, "The session's model has no tensor more. only="),
        ("    params['bias'] = params['bias'][:1]\n" + SEND, "bias has shape [1], but the session's model has [2]."),
        ("    params['bias'] = [1, 2]\n" + SEND, "bias is no tensor but list."),
        ("    params['bias'] += float('nan')\n" + SEND, "Training diverged: bias holds a value that is not finite."),
        (SEND.replace("5", "0"), "meta NUM_STEPS_CURRENT_ROUND must be a whole number from 1, not 0."),
        (SEND.replace("5", "'x'"), "meta NUM_STEPS_CURRENT_ROUND must be a whole number from 1, not 'x'."),
    ],
)  # fmt: skip
def test_what_goes_wrong_gives_the_seat_up_and_the_next_work_is_done(
    script: Hosted, server: FakeServer, until: Until, body: str, reason: str
):
    then = ["    if model.current_round == 0:\n", textwrap.indent(body, "    ")]
    script.write(LOOP, *then, "    else:\n", textwrap.indent(SEND, "    "))
    first, second = script.offer(server, round=1), script.offer(server, round=2)
    script.start()
    until(lambda: second.status != "open")
    assert (first.status, second.status) == ("failed", "reported"), (first.reason, second.reason)
    assert reason in first.reason
    script.end()


def test_an_evaluation_without_metrics_is_given_up(script: Hosted, server: FakeServer, until: Until):
    script.write(LOOP, "    flare.is_evaluate()\n", SEND).start()
    seat = script.offer(server, kind="evaluate")
    until(lambda: seat.status != "open")
    assert "flare.send() needs metrics after an evaluation: FLModel(metrics={...})." in seat.reason
    script.end()


def test_an_answer_without_a_model_is_refused(script: Hosted, server: FakeServer, until: Until):
    script.write(LOOP, SEND, SEND).start()
    first = script.offer(server)
    until(lambda: first.status == "reported")
    second = script.offer(server)
    until(lambda: second.status == "reported")
    script.end()


def test_dropped_work_is_not_sent_and_the_loop_goes_on(script: Hosted, server: FakeServer, until: Until, tmp_path):
    waits = f"""
        import pathlib, time
        while not pathlib.Path({str(tmp_path / "go")!r}).exists():
            time.sleep(0.01)
    """
    script.write(LOOP, textwrap.indent(textwrap.dedent(waits), " " * 4), SEND)
    seat = script.offer(server)
    seat.goes_on = False
    script.start()
    until(lambda: seat.calls)
    seat.status = "dropped"
    after = script.offer(server)
    (tmp_path / "go").touch()
    until(lambda: after.status == "reported")
    assert not seat.update and not seat.reason
    script.end()


def test_the_end_of_this_site_is_not_lost_in_a_script_that_catches_everything(script: Hosted, server, until):
    script.write(LOOP, "    try:\n    ", SEND.lstrip("\n"), "    except Exception:\n            print('caught')\n")
    seat = script.offer(server)
    server.script("PUT", "/update", status(401))
    assert isinstance(script.start().wait(), TokenRefused) and seat.status == "open"


REFUSED = [
    ("", "train.py does not import nvflare.client, so it is no NVFlare script."),
    ("import nvflare.client\nx = (\n", "train.py, line 2: '(' was never closed."),
    ("import nvflare\0", "source code string cannot contain null bytes"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_no_script_of_nvflare_is_refused(script: Hosted, text: str, message: str):
    script.path.write_text(text)
    with pytest.raises(Misconfigured) as refusal:
        script.host()
    assert message in str(refusal.value)


def test_a_script_that_is_not_there_is_named(script: Hosted, tmp_path: Path):
    with pytest.raises(Misconfigured, match=r"--nvflare-script: there is no file .*train\.py\."):
        script.host()
    script.path.mkdir()
    with pytest.raises(Misconfigured, match=r"--nvflare-script: .*train\.py is a folder. Name the script in it\."):
        script.host()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nvflare.client\n", "train.py came to its end and asked for no model: it calls neither"),
        ("import nvflare.client, missing_module\n", "No module named 'missing_module' (train.py, line 1)"),
        ("import nvflare.client\nraise SystemExit(3)\n", "train.py: The script ended with the exit status 3."),
        ("import nvflare.client as flare\nflare.init()\nflare.send(flare.FLModel(params={}))\n",
         "ValueError: flare.send() answers a model. Call flare.receive() before it, once for each. (train.py, line 3)"),
    ],
)  # fmt: skip
def test_what_goes_wrong_before_there_is_work_ends_it(script: Hosted, server: FakeServer, text: str, message: str):
    script.path.write_text(text)
    ended = script.start().wait()
    assert isinstance(ended, Misconfigured) and message in str(ended)
    assert server.left == 1


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("nowhere:Network", "--nvflare-initial: there is no module 'nowhere' in "),
        ("network:Other", "--nvflare-initial network:Other: the module network has no 'Other'."),
        ("broken:Network", "--nvflare-initial: broken cannot be imported: ZeroDivisionError: division by zero"),
        ("needs:Network", "--nvflare-initial: needs needs the module 'missing_module', which is not installed."),
        ("leaves:Network", "--nvflare-initial: leaves cannot be imported: SystemExit: 3 (leaves.py, line 2)"),
        ("broken.py", "broken.py: Not a safetensors file: it has only 6 bytes."),
    ],
)
def test_a_model_to_begin_with_that_cannot_be_made_is_named(script: Hosted, tmp_path, initial: str, message: str):
    (tmp_path / "network.py").write_text("Network = dict\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "needs.py").write_text("import missing_module\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    initial = str(tmp_path / initial) if initial.endswith(".py") else initial
    script.write(LOOP, SEND)
    with pytest.raises(Misconfigured) as refusal:
        script.host(nvflare_initial=initial)
    assert message in str(refusal.value)


def test_without_nvflare_its_installation_is_named(script: Hosted, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(STAND_IN)])
    script.write(LOOP, SEND)
    with pytest.raises(Misconfigured) as refusal:
        script.host()
    command = f'{sys.executable} -m pip install "nvflare>=2.9,<3"'
    assert str(refusal.value) == f"An NVFlare script needs the package nvflare, which is not installed: {command}"


def test_another_nvflare_is_named(script: Hosted, monkeypatch: pytest.MonkeyPatch):
    script.write(LOOP, SEND)
    client = __import__("nvflare.client.api_spec").client
    calls = client.api_spec.APISpec.__abstractmethods__
    monkeypatch.setattr(client.api_spec.APISpec, "__abstractmethods__", calls | {"stream"})
    engine = SimpleNamespace(**dict.fromkeys(calls))
    with pytest.raises(Misconfigured, match=r"2\.9\.0 calls 'stream', which is not known here. Install another"):
        door.enter().fill_slot(engine)
    monkeypatch.delattr(client, "FLModel")
    with pytest.raises(Misconfigured, match=r"nvflare 2\.9\.0 cannot be used here \(.*FLModel.*\)\. Install another"):
        script.host()


@pytest.mark.parametrize("name", ["digits", "Not a name"])
def test_a_name_that_no_workload_has_is_refused(script: Hosted, name: str):
    script.write(LOOP, SEND)
    with pytest.raises(Misconfigured, match=name):
        script.host(nvflare_name=name)


def test_one_of_many_processes_is_no_agent(script: Hosted, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(Misconfigured, match="only the one with rank 0 may be an agent"):
        hosting.run(Settings(nvflare_script=script.path), [])


# ---- as a process

TRAINS = """
import random, sys, time
import numpy as np
import nvflare.client as flare
from nvflare.client.tracking import SummaryWriter

flare.init()
writer = SummaryWriter()
while flare.is_running():
    model = flare.receive()
    for step in range(3):
        model.params["weight"] += np.random.random((2, 3)).astype(np.float32)
        writer.add_scalar("loss", random.random(), step)
        time.sleep(float(sys.argv[1]))
    flare.send(flare.FLModel(params=model.params))
print("after the loop", flush=True)
"""


@pytest.fixture
def start(script: Hosted, server: FakeServer, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def one(*words: str, **environment: str) -> Process:
        ours = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / "state")]
        command = [str(RUN), *ours, "--nvflare-script", str(script.path), "--", *words]
        path = {"PYTHONPATH": f"{ROOT}:{STAND_IN}"}
        started.append(Process(*command, folder=tmp_path, environment=path | environment))
        return started[-1]

    yield one
    for process in started:
        process.popen.kill()
        process.end()


def test_killed_in_training_or_after_it_it_sends_the_same_update(
    start, script: Hosted, server: FakeServer, until: Until, tmp_path
):
    script.write(TRAINS)
    undisturbed = script.offer(server)
    process = start("0")
    until(lambda: undisturbed.status == "reported")
    process.popen.kill()
    process.end()
    for point in (Point.TRAINING, Point.UPDATE_KEPT):
        shaken = script.offer(server)
        (tmp_path / "kill").write_text(f"{point}:2" if point is Point.TRAINING else point)
        assert start("0", FL_KILL_FILE=str(tmp_path / "kill")).end() == -signal.SIGKILL
        process = start("0")
        until(lambda seat=shaken: seat.status == "reported")
        assert shaken.update == undisturbed.update, point
        if point is Point.UPDATE_KEPT:
            until(lambda now=process: "trained before; sending the update that was kept" in now.said)
        process.popen.kill()
        process.end()


def test_it_leaves_politely_in_the_midst_and_while_it_waits(start, script: Hosted, server: FakeServer, until: Until):
    script.write(TRAINS)
    process = start("0")
    until(lambda: "Waiting for work." in process.said)
    process.popen.send_signal(signal.SIGINT)
    assert process.end() == 0 and "after the loop" in process.said
    seat = script.offer(server)
    process = start("60")
    until(lambda: seat.points)
    process.popen.send_signal(signal.SIGTERM)
    assert process.end() == 0 and "Traceback" not in process.said
    assert server.left == 2 and seat.status == "open"
