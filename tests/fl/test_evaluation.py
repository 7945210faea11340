import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from federation.fl import evaluation, weights, workloads

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "federation.fl.evaluation"]


def talk(*requests):
    lines = "".join((request if isinstance(request, str) else json.dumps(request)) + "\n" for request in requests)
    ran = subprocess.run(COMMAND, input=lines, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in ran.stdout.splitlines()]


def weights_at(file):
    """What a request says of a file."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "0" * 64
    return {"weights": str(file), "digest": digest}


def test_it_makes_and_evaluates_models_and_goes_on_after_a_failure(tmp_path):
    common = {"workload": "digits", "options": {}}
    digest = weights.save(tmp_path / "same", workloads.get("digits").initial_weights({}, 3))
    made, missing, evaluated = talk(
        {"id": "a", "do": "initial", **common, "seed": 3, "out": str(tmp_path / "w")},
        {"id": "b", "do": "evaluate", **common, **weights_at(tmp_path / "none")},
        {"id": "c", "do": "evaluate", **common, "weights": str(tmp_path / "w"), "digest": digest},
    )
    assert made == {"id": "a", "ok": True, "digest": digest, "buffers": []}
    assert missing == {"id": "b", "ok": False, "error": "none is damaged.", "damaged": True}
    assert evaluated["id"] == "c" and evaluated["ok"] and set(evaluated["metrics"]) == {"loss", "accuracy"}


@pytest.mark.parametrize(
    "request_, id_, sentence",
    [
        ({"id": "1", "do": "evaluate", "workload": "nope"}, "1", "There is no workload 'nope'"),
        (
            {"id": "1", "do": "initial", "workload": "synthetic", "options": {"x": 1}, "seed": 1, "out": "/"},
            "1",
            "no option 'x'",
        ),
        ({"id": "1", "do": "dance"}, "1", "KeyError"),
        ({"do": "evaluate"}, None, "KeyError"),
        ([], None, "TypeError"),
        ("nonsense", None, "JSONDecodeError"),
        ("[" * 100_000, None, "RecursionError"),
    ],
    ids=range(7),
)
def test_whatever_fails_is_answered(request_, id_, sentence):
    line = request_ if isinstance(request_, str) else json.dumps(request_)
    found = evaluation.answer(line)
    assert found["id"] == id_ and found["ok"] is False and sentence in found["error"]


def test_weights_that_are_none_are_answered_in_a_sentence(tmp_path):
    (tmp_path / "w").write_bytes(b"nonsense")
    request = {"id": "1", "do": "evaluate", "workload": "digits", "options": {}, **weights_at(tmp_path / "w")}
    assert evaluation.answer(json.dumps(request))["error"].startswith("Not a safetensors file")


def test_weights_with_a_flipped_bit_are_not_evaluated(tmp_path):
    weights.save(tmp_path / "w", {"weight": np.zeros(1, np.float32)})
    request = {"id": "1", "do": "evaluate", "workload": "synthetic", "options": {}, **weights_at(tmp_path / "w")}
    data = bytearray((tmp_path / "w").read_bytes())
    data[-1] ^= 1
    (tmp_path / "w").write_bytes(data)
    assert evaluation.answer(json.dumps(request)) == {
        "id": "1", "ok": False, "error": "w is damaged.", "damaged": True,
    }  # fmt: skip


def test_a_metric_that_is_not_finite_is_named_without_a_number(tmp_path, monkeypatch):
    weights.save(tmp_path / "w", {"weight": np.zeros(1, np.float32)})
    monkeypatch.setattr(
        type(workloads.get("synthetic")), "evaluate", lambda *_: {"loss": float("nan"), "accuracy": 0.5}
    )
    request = {"id": "1", "do": "evaluate", "workload": "synthetic", "options": {}, **weights_at(tmp_path / "w")}
    assert evaluation.answer(json.dumps(request)) == {"id": "1", "ok": True, "metrics": {"loss": None, "accuracy": 0.5}}


def test_it_ends_with_its_input():
    assert talk() == []


def test_only_answers_reach_standard_output_and_torch_has_one_thread():
    code = """
import os
from federation.fl import evaluation
def shout(request):
    print("printed by a library")
    os.system("echo printed by another process")
    import torch
    return {"threads": torch.get_num_threads(), "nice": os.nice(0)}
evaluation.JOBS["shout"] = shout
evaluation.main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input='{"id": "1", "do": "shout"}\n',
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout) == {"id": "1", "ok": True, "threads": 1, "nice": min(os.nice(0) + 5, 19)}
    assert ran.stderr.count("printed by") == 2


def test_ctrl_c_in_the_servers_terminal_does_not_end_it():
    child = subprocess.Popen(COMMAND, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        child.stdin.write('{"id": "1", "do": "nothing"}\n')
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["id"] == "1"
        child.send_signal(signal.SIGINT)
        child.stdin.write('{"id": "2", "do": "nothing"}\n')
        child.stdin.flush()
        assert json.loads(child.stdout.readline())["id"] == "2"
    finally:
        child.stdin.close()
        assert child.wait(timeout=30) == 0
        child.stdout.close()
