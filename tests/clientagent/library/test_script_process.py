"""A script as a process: signals, exceptions, kills at each point, and the supervisor that starts it again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from federation.fl.workloads.workload import source_digest
from federation.killpoints import Point
from tests.clientagent.fake_server import CODE, FakeServer, Seat
from tests.clientagent.test_process import ROOT, RUN, Process

Start = Callable[..., Process]
MODEL = {"w": np.arange(60_000, dtype=np.float32)}
SCRIPT = """
import time
import numpy as np
import clientagent

model = {"w": np.zeros(60_000, np.float32)}
for work in clientagent.works("toy", initial=model):
    work.load_into(model)
    momentum = np.zeros(60_000, np.float32) if work.state is None else work.state
    for batch in BATCHES:
        momentum = 0.9 * momentum + np.random.random(60_000).astype(np.float32)
        model["w"] += momentum
        work.log(loss=batch)
        BODY
    work.next_state = momentum
    work.send(model, num_examples=3)
print("after the loop")
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    def write(body: str = "pass", batches: str = "range(3)") -> Path:
        (tmp_path / "train.py").write_text(SCRIPT.replace("BODY", body).replace("BATCHES", batches))
        return tmp_path / "train.py"

    return write


@pytest.fixture
def start(server: FakeServer, tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def one(*words: str, flags: bool = True, **environment: str) -> Process:
        ours = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / "state")]
        words = (*words, *ours) if flags else words
        started.append(Process(*words, folder=tmp_path, environment={"PYTHONPATH": str(ROOT)} | environment))
        return started[-1]

    yield one
    for process in started:
        process.popen.kill()
        process.end()


def offer(server: FakeServer, script: Path, **changes: object) -> Seat:
    return server.offer_to_script(source_digest(str(script)), MODEL, **changes)


@pytest.mark.parametrize(("batches", "said"), [("work.steps(range(10**9))", True), ("range(10**9)", False)])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_politely_and_its_work_stays(start: Start, server: FakeServer, until, script, batches, said, number):
    seat = offer(server, written := script("time.sleep(0.01)", batches))
    process = start(str(written))
    until(lambda: seat.calls)
    process.popen.send_signal(number)
    assert process.end() == 0, process.said
    assert server.left == 1 and seat.status == "open"
    assert server.seen[-1].path.endswith("/leave"), "nothing is said after the goodbye"
    assert "Traceback" not in process.said
    assert ("after the loop" in process.said) == said, "with steps the batch and the program come to their ends"


def test_it_leaves_while_it_waits(start: Start, server: FakeServer, until, script):
    process = start(str(script()))
    until(lambda: "Waiting for work." in process.said)
    process.popen.send_signal(signal.SIGINT)
    assert process.end() == 0
    assert "after the loop" in process.said and server.left == 1


def test_an_exception_gives_the_seat_up_with_its_sentence_and_line(start: Start, server: FakeServer, script):
    seat = offer(server, written := script("raise RuntimeError('no such patient')"))
    process = start(str(written))
    assert process.end() == 1
    line = 1 + written.read_text().splitlines().index("        raise RuntimeError('no such patient')")
    assert (seat.status, seat.reason) == ("failed", f"RuntimeError: no such patient (train.py, line {line})")
    assert "Traceback" in process.said and server.left == 1


POINTS = [Point.DOWNLOAD_HALF_READ, Point.TRAINING, Point.TRAINED, Point.UPDATE_KEPT]
POINTS += [Point.PART_HALF_SENT, Point.REPORTED]


def test_killed_at_any_point_it_sends_the_same_update(start: Start, server: FakeServer, until, script, tmp_path: Path):
    server.max_put_bytes, server.part_bytes = 100, 100_000
    written = script()

    def named(seat: Seat) -> dict[str, str]:
        return {"participation": seat.work["participation"], "digest": sha256(seat.update).hexdigest()}

    first = offer(server, written)
    process = start(str(written))
    until(lambda: first.status == "reported")
    kept = named(first)
    undisturbed = offer(server, written, last_update=kept)
    until(lambda: undisturbed.status == "reported")
    process.popen.kill()
    process.end()
    for point in POINTS:
        for model in tmp_path.glob("state/models/*"):
            model.unlink()
        shaken = offer(server, written, last_update=kept)
        (tmp_path / "kill").write_text(f"{point}:2" if point is Point.TRAINING else point)
        process = start(str(written), FL_KILL_FILE=str(tmp_path / "kill"))
        assert process.end() == -signal.SIGKILL, process.said
        process = start(str(written))
        until(lambda seat=shaken: seat.status == "reported")
        assert shaken.update == undisturbed.update, point
        if point is Point.UPDATE_KEPT:
            until(lambda now=process: "trained before; sending the update that was kept" in now.said)
        process.popen.kill()
        process.end()


def test_killed_before_it_noted_that_it_joined_it_joins_again_as_the_same(
    start: Start, server, until, script, tmp_path
):
    (tmp_path / "kill").write_text(Point.ENROLLED)
    written = script()
    assert start(str(written), FL_KILL_FILE=str(tmp_path / "kill")).end() == -signal.SIGKILL
    start(str(written))
    until(lambda: len(server.requests("GET", "/work")) == 1)
    assert len(server.tokens) == 1


def test_a_kept_model_is_sent_after_a_kill(start: Start, server: FakeServer, until, script, tmp_path: Path):
    seat = offer(server, written := script(), kind="initialise")
    (tmp_path / "kill").write_text(Point.INITIAL_KEPT)
    assert start(str(written), FL_KILL_FILE=str(tmp_path / "kill")).end() == -signal.SIGKILL
    process = start(str(written))
    until(lambda: seat.status == "reported")
    assert "made before; sending the model that was kept" in process.said


# ---- run.py ... -- COMMAND


def supervised(start: Start, server: FakeServer, tmp_path: Path, *command: str) -> Process:
    ours = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / "state")]
    return start(str(RUN), *ours, "--", *command, flags=False)


def test_a_program_that_dies_is_started_again_and_goes_on(start: Start, server: FakeServer, until, script, tmp_path):
    written = script("assert work.round > 1, 'not the first'")
    first, second = offer(server, written), offer(server, written)
    process = supervised(start, server, tmp_path, sys.executable, str(written))
    until(lambda: second.status == "reported")
    assert first.reason.startswith("AssertionError: not the first (train.py, line ")
    assert "ended with the exit status 1. It is started again in 1 s." in process.said
    until(lambda: len(server.requests("GET", "/work")) == 3)  # it waits again
    process.popen.send_signal(signal.SIGINT)
    assert process.end() == 0, process.said
    assert server.left == 2 and "after the loop" in process.said


@pytest.mark.parametrize(("code", "status"), [("raise SystemExit(3)", 3), ("pass", 0)])
def test_a_program_that_leaves_is_not_started_again(start: Start, server, tmp_path, code: str, status: int):
    assert supervised(start, server, tmp_path, sys.executable, "-c", code).end() == status


def test_a_program_that_was_killed_is_started_again(start: Start, server: FakeServer, until, tmp_path: Path):
    code = "import os, pathlib; there = pathlib.Path('there'); again = there.exists(); there.touch()\n" \
           "if not again: os.kill(os.getpid(), 9)"  # fmt: skip
    process = supervised(start, server, tmp_path, sys.executable, "-c", code)
    assert process.end() == 0
    assert "was ended by SIGKILL. It is started again in 1 s." in process.said


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_terminal_that_is_closed_ends_the_program_as_well(start: Start, server: FakeServer, until, tmp_path: Path):
    code = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(600)"
    process = supervised(start, server, tmp_path, sys.executable, "-c", code)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.popen.send_signal(signal.SIGHUP)
    assert process.end() == 0, process.said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("",), "run.py: Which program? Give its command after --, for example -- python train.py."),
        (
            ("train.py",),
            "run.py: The program 'train.py' cannot be started: No such file or directory. Python runs a file of its "
            "own: -- python train.py.",
        ),
        ((), "run.py: Which program? Give its command after --, for example -- python train.py."),
        (("./nothing-here",), "run.py: The program './nothing-here' cannot be started: No such file or directory."),
    ],
)
def test_a_command_that_cannot_be_run_is_said(start: Start, server, tmp_path, command: tuple[str, ...], message: str):
    process = supervised(start, server, tmp_path, *command)
    assert process.end() == 2
    assert process.said.strip() == message


def test_the_flags_are_in_the_environment_of_the_program(start: Start, server: FakeServer, tmp_path: Path):
    code = "import clientagent, os; print(os.environ['FL_CLIENT_NAME'], os.environ['FL_SERVER_URL'])"
    process = supervised(start, server, tmp_path, sys.executable, "-c", code)
    assert process.end() == 0
    assert process.said == f"site-a {server.url}{os.linesep}"


@pytest.mark.parametrize(("words", "environment"), [(["--threads", "3"], {}), ([], {"FL_CLIENT_THREADS": "3"})])
def test_the_number_of_threads_is_in_the_environment_of_the_program(start: Start, server, tmp_path, words, environment):
    code = "import os; print(os.environ['OMP_NUM_THREADS'], os.environ['FL_CLIENT_THREADS'])"
    flags = ["--server", server.url, "--join", CODE, "--state", str(tmp_path / "state"), *words]
    process = start(str(RUN), *flags, "--", sys.executable, "-c", code, flags=False, **environment)
    assert process.end() == 0
    assert process.said == f"3 3{os.linesep}"
