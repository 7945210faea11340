"""The program itself, as a process: signals, kills, locks, files and what it imports."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import pty
import runpy
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from federation.fl.version import __version__
from federation.fl.workloads.workload import source_digest
from federation.killpoints import Point
from tests.clientagent.fake_server import CODE, FakeServer, Seat, plainly

ROOT = Path(__file__).parents[2]
RUN = ROOT / "clientagent" / "run.py"
Until = Callable[..., None]

NO_DJANGO = """
import builtins, runpy, sys
real = builtins.__import__
def guarded(name, *rest, **more):
    assert name.split(".")[0] not in ("django", "flsite", "dashboard"), name
    return real(name, *rest, **more)
builtins.__import__ = guarded
sys.argv[0] = sys.argv.pop(1)
sys.path[0] = sys.argv[0].rpartition("/")[0]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    loaded = {name.split(".")[0] for name in sys.modules}
    assert not loaded & {"django", "torch", "sklearn"}, loaded
"""


class Process:
    """A running agent and what it said."""

    def __init__(self, *arguments: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FL_")}
        self.popen = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=clean | {"PYTHONWARNINGS": "error"} | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout
        with self.popen.stdout as lines:
            for line in lines:
                self.said += line

    def end(self, seconds: float = 60) -> int:
        """The exit status, waited for."""
        status = self.popen.wait(seconds)
        self._reader.join(5)
        return status


@pytest.fixture
def start(server: FakeServer, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def one(*more: str, state: str = "state", **environment: str) -> Process:
        flags = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / state),
                 "--workload", "synthetic"]  # fmt: skip
        started.append(Process(str(RUN), *flags, *more, folder=tmp_path, environment=environment))
        return started[-1]

    yield one
    for process in started:
        process.popen.kill()
        process.end()


def slow_training(tmp_path: Path) -> dict[str, str]:
    """An environment in which training takes as long as a file is not there: only time is faked."""
    (tmp_path / "site").mkdir(exist_ok=True)
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import pathlib, time\n"
        "from federation.fl.workloads.synthetic import Synthetic\n"
        "real = Synthetic.local_update\n"
        "def slow(self, base, data, options, config, report):\n"
        "    while report('training', 1, 100, {'train_loss': 1.0}) and not pathlib.Path('go').exists():\n"
        "        time.sleep(0.01)\n"
        "    return real(self, base, data, options, config, report)\n"
        "Synthetic.local_update = slow\n"
    )
    return {"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}"}


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 10, 14)])
def test_an_older_python_gets_a_sentence(monkeypatch, version: tuple[int, int, int]):
    ast.parse(RUN.read_text(), feature_version=version[:2])
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(sys, "version", ".".join(map(str, version)) + " (main)")
    with pytest.raises(SystemExit, match=f"Python 3.11 or newer is needed; this is 3.{version[1]}.{version[2]}."):
        runpy.run_path(str(RUN), run_name="__main__")


def test_it_trains_and_leaves_on_ctrl_c(start, server: FakeServer, until: Until):
    seat = server.offer()
    process = start()
    until(lambda: seat.status == "reported" and "update accepted" in process.said)
    process.popen.send_signal(signal.SIGINT)
    assert process.end() == 0, process.said
    assert server.left == 1
    for line in (f"fl-agent {__version__}: site-a at {server.url}", "Enrolled as site-a.", "update accepted", "Left."):
        assert line in process.said
    assert "Traceback" not in process.said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaving_in_the_middle_of_training_is_at_once(start, server: FakeServer, until, tmp_path, number):
    seat = server.offer()
    process = start(**slow_training(tmp_path))
    until(lambda: seat.calls)
    process.popen.send_signal(number)
    began = time.monotonic()
    assert process.end() == 0, process.said
    assert time.monotonic() - began < 10
    assert server.left == 1 and seat.status == "open"
    last = server.seen[-1]
    assert last.path.endswith("/leave"), "nothing is said after the goodbye"


def test_a_second_ctrl_c_ends_at_once(start, server: FakeServer, until: Until):
    process = start()
    until(lambda: server.requests("POST", "/enroll"))
    until(lambda: "Waiting for work." in process.said)
    goodbye = threading.Event()
    server.script("POST", "/leave", lambda handler: goodbye.wait(60))
    process.popen.send_signal(signal.SIGINT)
    until(lambda: server.requests("POST", "/leave"))
    process.popen.send_signal(signal.SIGINT)
    assert process.end() == 130
    goodbye.set()


def test_ctrl_c_while_the_server_is_away_leaves_too(start, server: FakeServer, until: Until):
    process = start()
    until(lambda: "Waiting for work." in process.said)
    server.away()
    until(lambda: "The server does not answer" in process.said)
    process.popen.send_signal(signal.SIGINT)
    assert process.end() == 0
    assert "Left. The server did not answer" in process.said


def test_a_server_that_comes_back_finds_its_agent_at_work(start, server: FakeServer, until, tmp_path: Path):
    seat = server.offer()
    process = start(**slow_training(tmp_path))
    until(lambda: seat.calls)
    server.away()
    (tmp_path / "go").touch()
    until(lambda: "The server does not answer" in process.said)
    time.sleep(0.5)
    server.back()
    until(lambda: seat.status == "reported")
    until(lambda: "The server is back after" in process.said)
    assert process.said.count("The server does not answer") == 1


def test_the_second_agent_on_one_state_folder_is_refused(start, server: FakeServer, until: Until):
    first = start()
    until(lambda: "Waiting for work." in first.said)
    second = start()
    assert second.end() == 2
    assert "Another agent uses the state folder" in second.said
    assert first.popen.poll() is None


def assert_for_the_owner_alone(folder: Path) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert {path.suffix for path in modes} == {"", ".json", ".jsonl", ".safetensors"}
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()), modes


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_killed_in_the_middle_of_an_upload_it_sends_the_rest_without_training_again(
    start, server: FakeServer, until: Until, tmp_path: Path, parts: int
):
    server.max_put_bytes, server.part_bytes = 100, 100_000
    seat = server.offer("synthetic", {"num_parameters": 100_000})
    stuck = threading.Event()
    server.script("PATCH", "/update", *[plainly] * parts, lambda handler: stuck.wait(60))
    process = start()
    until(lambda: len(server.requests("PATCH", "/update")) == parts + 1)
    process.popen.kill()
    process.end()
    stuck.set()
    assert_for_the_owner_alone(tmp_path / "state")
    sent, calls = bytes(seat.upload), len(seat.calls)
    assert len(sent) == parts * 100_000
    process = start()
    until(lambda: seat.status == "reported")
    assert "trained before; sending the update that was kept" in process.said
    assert seat.update.startswith(sent)
    assert {call["phase"] for call in seat.calls[calls:]} == {"uploading"}
    assert len(server.requests("GET", "/models/")) == 1 and len(server.requests("POST", "/enroll")) == 1


def test_killed_again_and_again_it_ends_with_the_same_update(start, server: FakeServer, until: Until, tmp_path: Path):
    server.max_put_bytes, server.part_bytes = 100, 50_000
    undisturbed = server.offer("synthetic", {"num_parameters": 200_000})
    first = start()
    until(lambda: undisturbed.status == "reported")
    first.popen.kill()
    first.end()
    shaken = server.offer("synthetic", {"num_parameters": 200_000})
    for delay in (0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
        process = start()
        time.sleep(delay)
        process.popen.kill()
        process.end()
        assert "Traceback" not in process.said
    start()
    until(lambda: shaken.status == "reported")
    assert shaken.update == undisturbed.update


MEASURING = """
from federation.fl.workloads.synthetic import Synthetic
from federation.fl.workloads.workload import LocalEvaluation, Stopped


class Measuring(Synthetic):
    name = "measuring"

    def local_evaluation(self, model, data, options, config, report):
        for example in (1, 2, 3):
            if not report("evaluating", example, 3, {}):
                raise Stopped
        return LocalEvaluation(3, {"loss": float(model["weight"].sum())}, {"labels": [1, 2]})


WORKLOAD = Measuring()
"""


@pytest.fixture
def offer(server: FakeServer, tmp_path: Path) -> Callable[[str], tuple[Seat, Sequence[str]]]:
    """Offers work of a kind, and says with which flags an agent takes it. Measuring here needs no torch."""
    file = tmp_path / "own" / "measuring.py"
    file.parent.mkdir()
    file.write_text(MEASURING)

    def offer(kind: str) -> tuple[Seat, Sequence[str]]:
        if kind == "initialise":
            return server.offer(kind=kind), ()
        own = {"name": "measuring", "kind": kind}
        seat = server.offer_to_script(source_digest(str(file)), {"weight": np.arange(5, dtype=np.float32)}, **own)
        return seat, ("--workloads", str(file.parent), "--allow", "measuring", "--workload", "measuring")

    return offer


OF_KINDS = (Point.EVALUATING, Point.RESULT_KEPT, Point.INITIAL_KEPT)  # passed in no other kind of work


@pytest.mark.parametrize("point", OF_KINDS)
def test_killed_in_an_evaluation_or_an_initialisation_it_sends_the_same_result(
    start, offer, until: Until, tmp_path: Path, point: Point
):
    kind = "initialise" if point is Point.INITIAL_KEPT else "evaluate"
    undisturbed, flags = offer(kind)
    first = start(*flags)
    until(lambda: undisturbed.status == "reported")
    first.popen.kill()
    first.end()
    shaken, _ = offer(kind)
    (tmp_path / "kill").write_text(point)
    process = start(*flags, FL_KILL_FILE=str(tmp_path / "kill"))
    assert process.end() == -signal.SIGKILL, process.said
    assert shaken.status == "open"
    process = start(*flags)
    until(lambda: shaken.status == "reported")
    assert (shaken.update, shaken.result) == (undisturbed.update, undisturbed.result)
    until(lambda: "accepted" in process.said)
    assert ("before; sending" in process.said) == (point is not Point.EVALUATING)


def test_a_refusal_by_the_server_is_its_sentence_and_status_2(start, server: FakeServer):
    process = start("--join", "wrong")
    assert process.end() == 2
    assert "run.py: This join code is not known here." in process.said and "Traceback" not in process.said


def test_a_gpu_that_is_not_there_ends_it_before_it_joins(start, server: FakeServer):
    seat = server.offer("digits")
    process = start("--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert process.end() == 2
    assert process.said.startswith("run.py: --device cuda: PyTorch cannot use it on this machine; use one of auto, ")
    assert process.said.count("\n") == 1
    assert server.seen == [] and seat.status == "open"


def test_a_token_that_is_gone_is_status_3(start, server: FakeServer, until: Until):
    process = start()
    until(lambda: "Waiting for work." in process.said)
    server.tokens.clear()
    server.end_polls()
    assert process.end() == 3
    assert "no longer accepts this client's token" in process.said and "Traceback" not in process.said


def test_it_runs_from_anywhere_without_django_and_without_torch_for_synthetic(server: FakeServer, tmp_path: Path):
    seat = server.offer()
    code = tmp_path / "guard.py"
    code.write_text(NO_DJANGO)
    flags = ["--server", server.url, "--join", CODE, "--state", "s", "--workload", "synthetic", "--once"]
    process = Process(str(code), str(RUN), *flags, "--name", "a", folder=tmp_path)
    assert process.end() == 0, process.said
    assert seat.status == "reported"
    assert (tmp_path / "s" / "identity.json").exists()


def test_the_benchmarks_agent_times_the_steps_of_each_round(server: FakeServer, tmp_path: Path):
    seat = server.offer()
    flags = ["--server", server.url, "--join", CODE, "--name", "a", "--state", "s", "--workload", "synthetic", "--once"]
    process = Process(str(ROOT / "benchmarks" / "timed_agent.py"), "timings", *flags, folder=tmp_path)
    assert process.end() == 0, process.said
    assert seat.status == "reported"
    [line] = (tmp_path / "timings").read_text().splitlines()
    assert json.loads(line).keys() == {"round", "began", "download", "client", "upload"}


def test_help_is_quick_and_loads_next_to_nothing(tmp_path: Path):
    code = "import sys, runpy; sys.argv = ['run.py', '--help']\n" \
           f"try: runpy.run_path({str(RUN)!r}, run_name='__main__')\n" \
           "finally: assert not {'torch', 'numpy', 'sklearn', 'rich'} & set(sys.modules)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--join CODE" in done.stdout


def test_torch_is_loaded_when_its_first_work_comes(start, server: FakeServer, until: Until):
    process = start("--workload", "digits")
    until(lambda: "Waiting for work." in process.said)
    maps = Path(f"/proc/{process.popen.pid}/maps")
    if maps.exists():  # elsewhere than on Linux, the other tests must do
        assert "libtorch" not in maps.read_text()
    seat = server.offer("digits")
    until(lambda: seat.status == "reported")


def test_in_a_terminal_a_bar_moves(server: FakeServer, tmp_path: Path):
    seat = server.offer()
    ours, theirs = pty.openpty()
    flags = ["--server", server.url, "--join", CODE, "--name", "a", "--state", "s", "--once", "--workload", "synthetic"]
    process = subprocess.Popen(
        [sys.executable, str(RUN), *flags], cwd=tmp_path, stdout=theirs, stderr=theirs,
        env=os.environ | slow_training(tmp_path) | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while chunk := os.read(ours, 65536):
            shown += chunk
            if b"loss 1" in shown:
                (tmp_path / "go").touch()
    os.close(ours)
    assert process.wait(60) == 0, shown
    assert seat.status == "reported"
    text = shown.decode()
    assert "first, round 1" in text and "training, 1%, loss 1" in text and "update accepted" in text
    assert text.rpartition("\x1b[?25")[2].startswith("h"), "the cursor is shown again"
