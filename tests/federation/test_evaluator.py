"""The evaluator with real child processes; a child that misbehaves is a few lines of Python in its place."""

import queue
import subprocess
import sys
import time

import pytest

from federation import evaluator as module
from federation.evaluator import MAX_PENDING, MAX_TRIES, Evaluator
from federation.fl import workloads

SECONDS = 30
Popen = subprocess.Popen
INITIAL = {"do": "initial", "workload": "synthetic", "options": {"num_parameters": 10}, "seed": 1}


@pytest.fixture
def evaluator():
    evaluator = Evaluator()
    yield evaluator
    evaluator.stop()
    for child in children:
        child.wait(SECONDS)
    children.clear()


children: list[Popen] = []


@pytest.fixture(autouse=True)
def _counted(monkeypatch):
    started(monkeypatch, None)


def started(monkeypatch, program):
    """Have the evaluator start this program, or its own."""

    def popen(command, **more):
        children.append(Popen(command if program is None else [sys.executable, "-c", program], **more))
        return children[-1]

    monkeypatch.setattr(module.subprocess, "Popen", popen)


@pytest.fixture
def answers():
    return queue.Queue()


def test_a_job_is_done_by_a_child_that_is_kept_for_the_next(evaluator, answers, tmp_path):
    for name in ("one", "two"):
        evaluator.submit(name, INITIAL | {"out": str(tmp_path / name)}, answers.put)
        answer = answers.get(timeout=SECONDS)
        assert answer["ok"] and answer["id"] == name
    expected = tmp_path / "three"
    assert answer["digest"] == workloads.get("synthetic").write_initial(expected, {"num_parameters": 10}, 1)
    assert (tmp_path / "two").read_bytes() == expected.read_bytes()
    assert len(children) == 1


def test_what_cannot_be_done_is_told_in_a_sentence_and_the_next_job_is_done(evaluator, answers, tmp_path):
    evaluator.submit("bad", INITIAL | {"workload": "chess", "out": str(tmp_path / "x")}, answers.put)
    answer = answers.get(timeout=SECONDS)
    assert not answer["ok"] and "chess" in answer["error"]
    evaluator.submit("good", INITIAL | {"out": str(tmp_path / "x")}, answers.put)
    assert answers.get(timeout=SECONDS)["ok"]


ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    {before}
    print(json.dumps({{"id": request["id"], "ok": True, "got": request["n"]}}), flush=True)
"""


def test_asked_twice_while_it_waits_a_job_is_done_once(evaluator, answers, monkeypatch, tmp_path):
    gate = tmp_path / "gate"
    wait = f"import os, time\n    while not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    started(monkeypatch, ECHO.format(before=wait))
    for _ in range(3):
        evaluator.submit("same", {"n": 1}, answers.put)
    evaluator.submit("other", {"n": 2}, answers.put)
    gate.touch()
    assert [answers.get(timeout=SECONDS)["got"] for _ in range(2)] == [1, 2]
    assert answers.empty()


def test_no_more_jobs_wait_than_fit_the_pipe(evaluator, answers, monkeypatch):
    started(monkeypatch, "import sys, time; time.sleep(60)")
    for number in range(MAX_PENDING + 5):
        evaluator.submit(str(number), {"n": number}, answers.put)
    assert len(evaluator._pending) == MAX_PENDING


def wait_for_burial(evaluator):
    end = time.monotonic() + SECONDS
    while evaluator._child is not None or evaluator._pending:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_a_dead_child_was_doing_can_be_asked_for_again(evaluator, answers, monkeypatch):
    started(monkeypatch, "import sys; sys.stdin.readline(); sys.exit(3)")
    evaluator.submit("job", {"n": 1}, answers.put)
    wait_for_burial(evaluator)
    started(monkeypatch, ECHO.format(before="pass"))
    evaluator.submit("job", {"n": 1}, answers.put)
    assert answers.get(timeout=SECONDS)["got"] == 1
    assert len(children) == 2


def test_a_child_that_is_killed_in_the_middle_of_a_line_is_buried_too(evaluator, answers, monkeypatch):
    started(monkeypatch, 'import os, sys; sys.stdin.readline(); os.write(1, b\'{"id": "jo\'); os.kill(os.getpid(), 9)')
    evaluator.submit("job", {"n": 1}, answers.put)
    wait_for_burial(evaluator)
    started(monkeypatch, ECHO.format(before="pass"))
    evaluator.submit("job", {"n": 1}, answers.put)
    assert answers.get(timeout=SECONDS)["got"] == 1


def test_a_job_that_kills_its_child_again_and_again_is_given_up(evaluator, answers, monkeypatch):
    started(monkeypatch, "import sys; sys.stdin.readline(); sys.exit(3)")
    for _ in range(MAX_TRIES):
        assert answers.empty()
        evaluator.submit("deadly", {"n": 1}, answers.put)
        wait_for_burial(evaluator)
    answer = answers.get(timeout=SECONDS)
    assert not answer["ok"] and f"{MAX_TRIES} times" in answer["error"]


def test_an_answer_that_cannot_be_used_does_not_end_the_thread(evaluator, answers, monkeypatch):
    started(monkeypatch, ECHO.format(before="pass"))
    evaluator.submit("bad", {"n": 1}, lambda answer: 1 / 0)
    evaluator.submit("good", {"n": 2}, answers.put)
    assert answers.get(timeout=SECONDS)["got"] == 2
