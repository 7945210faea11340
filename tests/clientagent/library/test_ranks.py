"""Two processes train together over torch.distributed, as torchrun starts them: rank 0 talks, the other follows."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import clientagent
from federation.fl import weights
from federation.fl.workloads.workload import source_digest
from tests.clientagent.fake_server import CODE, FakeServer, Seat
from tests.clientagent.test_process import ROOT
from tests.e2e import warm
from tests.e2e.stack import free_port

MODEL = {"bias": np.zeros(2, np.float32), "weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
SCRIPT = """
import os
import torch
import clientagent
from clientagent.library import ranks

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
BEFORE
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 2))
batches = torch.ones(BATCHES, 4, 3) * (1 + rank)

def measure(given):
    return {"is_bare": type(given) is torch.nn.Linear, "num_examples": 3}

for work in clientagent.works("toy", options={"width": 4}, initial=model, evaluate=measure, once=ONCE):
    work.load_into(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    steps = 0
    for batch in work.steps(batches):
        loss = model(batch + torch.rand_like(batch)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        work.log(loss=loss)
        steps += 1
        BODY
    work.next_state = f"kept by {rank}"
    try:
        sent = work.send(model, num_examples=EXAMPLES)
    except ValueError as error:
        print("refused:", error, flush=True)
        sent = work.send(model, num_examples=4)
    kept, bias = work.state, float(model.module.bias[0])
    print("work:", steps, sent, work.dropped, work.options["width"], kept, bias, flush=True)
print("after the loop", flush=True)
"""


class Training:
    """The two processes, and what each of them said."""

    def __init__(self, folder: Path, script: Path, flags: list[str]) -> None:
        self._logs = [folder / f"rank-{rank}.log" for rank in (0, 1)]
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
        env = {name: value for name, value in os.environ.items() if not name.startswith("FL_")}
        env |= where | {"PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo", "TMPDIR": str(folder)}
        self.processes = [
            warm.start([str(script), *flags], log=log, env=env | {"RANK": str(rank)})
            for rank, log in enumerate(self._logs)
        ]

    def said(self, rank: int) -> str:
        return self._logs[rank].read_text()

    def end(self) -> list[int]:
        """The exit statuses, waited for."""
        return [process.wait(60) for process in self.processes]


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: str) -> Path:
        text = SCRIPT
        for name, value in (
            {"BEFORE": "", "BATCHES": "3", "BODY": "", "EXAMPLES": "8", "ONCE": "True"} | changes
        ).items():
            text = text.replace(name, value)
        (tmp_path / "train.py").write_text(text)
        return tmp_path / "train.py"

    return write


@pytest.fixture
def start(server: FakeServer, tmp_path: Path) -> Iterator[Callable[..., Training]]:
    started: list[Training] = []

    def one(script: Path, code: str = CODE) -> Training:
        flags = ["--server", server.url, "--join", code, "--name", "site-a", "--state", str(tmp_path / "state")]
        started.append(Training(tmp_path, script, flags))
        return started[-1]

    yield one
    for training in started:
        for process in training.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        training.end()


def offer(server: FakeServer, script: Path, **changes: object) -> Seat:
    return server.offer_to_script(source_digest(str(script)), MODEL, **changes)


def test_both_train_what_came_and_one_of_them_sends_it(start, server: FakeServer, script, until, tmp_path: Path):
    written = script(ONCE="False")
    options = {"width": 9}
    first = offer(server, written, options=options)
    training = start(written)
    until(lambda: first.status == "reported", seconds=60)
    counted = {"participation": "1", "digest": sha256(first.update).hexdigest()}
    second = offer(server, written, options=options, last_update=counted)
    until(lambda: second.status == "reported")
    measured = offer(server, written, kind="evaluate")
    until(lambda: measured.result)
    training.processes[0].send_signal(signal.SIGTERM)
    assert training.end() == [0, 0], training.said(0) + training.said(1)
    assert server.left == 1 and len(server.tokens) == 1
    (tmp_path / "sent").write_bytes(first.update)
    bias = float(weights.load(tmp_path / "sent")["bias"][0])
    for rank in (0, 1):
        assert f"work: 3 True False 9 None {bias}" in training.said(rank)
        assert f"work: 3 True False 9 kept by 0 {bias}" in training.said(rank)
        assert "after the loop" in training.said(rank)
    assert len(first.values("loss")) == 3, "those of rank 0"
    assert measured.result == {"num_examples": 3, "metrics": {"is_bare": 1.0}}, "the others do not take part"


@pytest.mark.parametrize("who", [0, 1])
def test_whoever_is_asked_to_leave_both_end_at_the_same_step(start, server: FakeServer, script, until, who: int):
    seat = offer(server, written := script(BATCHES="10**5", ONCE="False"))
    training = start(written)
    until(lambda: seat.points, seconds=60)
    training.processes[who].send_signal(signal.SIGINT)
    assert training.end() == [0, 0], training.said(0) + training.said(1)
    (mine, theirs) = (next(line for line in training.said(rank).splitlines() if "work:" in line) for rank in (0, 1))
    assert mine == theirs and " False True " in mine
    assert seat.status == "open" and server.left == 1


def test_dropped_work_ends_both_at_the_same_step(start, server: FakeServer, script):
    seat = offer(server, written := script(BATCHES="10**5"))
    seat.goes_on = False
    training = start(written)
    assert training.end() == [0, 0], training.said(0) + training.said(1)
    (mine, theirs) = (next(line for line in training.said(rank).splitlines() if "work:" in line) for rank in (0, 1))
    assert mine == theirs and " False True " in mine and seat.update == b""


def test_a_shorter_loader_ends_both_and_what_one_is_refused_both_are(start, server: FakeServer, script):
    seat = offer(server, written := script(BATCHES="3 - rank", EXAMPLES="0"))
    training = start(written)
    assert training.end() == [0, 0], training.said(0) + training.said(1)
    for rank in (0, 1):
        assert "refused: num_examples must be a whole number from 1 to 10^12, not 0." in training.said(rank)
        assert "work: 2 True False" in training.said(rank)
    assert seat.status == "reported"


def test_a_model_travels_to_another_machine(start, server: FakeServer, script, tmp_path: Path):
    elsewhere = "ranks._is_here, ranks.BLOCK_BYTES = (lambda path: rank == 0), 100"
    show = 'print("from", work.path.parent.name[:12], work.weights["weight"].sum())'
    seat = offer(server, written := script(BEFORE=elsewhere, BATCHES="1", BODY=show))
    training = start(written)
    assert training.end() == [0, 0], training.said(0) + training.said(1)
    assert seat.status == "reported"
    assert "from models 15.0" in training.said(0) and "from clientagent- 15.0" in training.said(1)
    assert not list(tmp_path.glob("clientagent-*")), "the copy is removed"


def test_a_refusal_to_join_ends_both(start, server: FakeServer, script):
    training = start(script(), code="wrong")
    assert training.end() == [2, 2]
    assert "toy: This join code is not known here." in training.said(0)
    assert "Traceback" not in training.said(0) + training.said(1)


@pytest.mark.parametrize("who", [0, 1])
def test_an_exception_of_one_ends_both_and_its_words_give_the_seat_up(start, server: FakeServer, script, who: int):
    seat = offer(server, written := script(BODY=f"if rank == {who}: raise RuntimeError('no such patient')"))
    training = start(written)
    assert 0 not in training.end()
    assert "RuntimeError: no such patient" in training.said(who)
    assert seat.status == "failed"
    assert seat.reason.startswith(["", "rank 1: "][who] + "RuntimeError: no such patient (train.py, line ")


@pytest.mark.parametrize("who", [[0], [1], [0, 1]], ids=["rank_0", "rank_1", "both"])
def test_whoever_is_killed_the_same_bytes_are_sent(start, server: FakeServer, script, until, tmp_path: Path, who):
    hold = tmp_path / "hold"
    written = script(BEFORE="import time", BODY=f"while os.path.exists({str(hold)!r}): time.sleep(0.01)")
    undisturbed = offer(server, written)
    assert start(written).end() == [0, 0]
    hold.touch()
    seat = offer(server, written)
    training = start(written)
    until(lambda: seat.points, seconds=60)
    for rank in who:
        training.processes[rank].send_signal(signal.SIGKILL)
    hold.unlink()
    assert 0 not in training.end(), training.said(0) + training.said(1)
    assert seat.status == "open" and server.left == 1, "the seat is kept, and nobody said goodbye"
    assert start(written).end() == [0, 0]
    assert seat.update == undisturbed.update


def test_a_process_whose_leader_is_killed_while_they_wait_says_so_and_ends(start, server: FakeServer, script, until):
    training = start(script())
    until(lambda: "Waiting for work." in training.said(0), seconds=60)
    training.processes[0].send_signal(signal.SIGKILL)
    assert training.end()[1] == 1
    assert "Rank 1: The process with rank 0 ended (" in training.said(1)
    assert "Traceback" not in training.said(1)


def test_with_a_rank_and_no_process_group_the_remedy_is_named(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(clientagent.ScriptError, match="Call torch.distributed.init_process_group.. before works"):
        clientagent.works("toy")
