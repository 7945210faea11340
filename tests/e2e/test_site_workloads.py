"""A workload that the server never heard of: version 0 from a site, three rounds, and its evaluation, all over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.plain import PlainClient, write
from tests.e2e.stack import Stack, until
from tests.federation.services.declaring import entry, telling

NORTH, SOUTH = "a" * 64, "b" * 64
SHAPE = (3, 2)


@pytest.fixture
def sites(stack: Stack) -> list[PlainClient]:
    """Two with the same workload and different sources of it, and one that only has the server's own."""
    has = [PlainClient(stack, name, 10 * n, n, **telling(entry(digest=digest, num_examples=10 * n)))
           for n, (name, digest) in enumerate((("north", NORTH), ("south", SOUTH)), start=1)]  # fmt: skip
    return [*has, PlainClient(stack, "yan", 5, 3, kinds=["train", "evaluate", "initialise"])]


def work_of(client: PlainClient, kind: str) -> dict[str, Any]:
    work = until(lambda: client.work(wait=1))
    assert work["kind"] == kind, work
    return work


def test_a_workload_of_sites_is_begun_trained_and_evaluated(stack: Stack, sites: list[PlainClient]):
    north, south, yan = sites
    (listed,) = [one for one in stack.get("/workloads")["items"] if one["origin"] == "sites"]
    assert [one["name"] for one in listed["clients"]] == ["north", "south"]
    wish = {"name": "x-rays", "workload": {"name": "chest-xray", "options": {"width": 8}}, "rounds": 3, "quorum": 2}
    answer = stack.post("/sessions", wish)
    assert answer.status_code == 201, answer.text
    session = answer.json()["id"]

    first = work_of(north, "initialise")
    assert first["base_model"] is None
    assert first["workload"] == {"name": "chest-xray", "version": "1.2", "digest": NORTH, "options": {"width": 8}}
    assert first["config"]["epochs"] == 3 and first["config"]["learning_rate"] == 0.05
    assert north.put(first, write({"weight": np.ones(SHAPE, np.float32)})) == 204

    for number in (1, 2, 3):
        seen = {}
        for client in (north, south):
            work = work_of(client, "train")
            seen[work["workload"]["digest"]] = work["round"]
            assert client.put(work, client.update(work)[1]) == 204
        assert seen == {NORTH: number, SOUTH: number}
    for client, auc in ((north, 0.6), (south, 0.9)):
        assert client.measure(work_of(client, "evaluate"), auc=auc) == 204
    assert stack.ended(session)["status"] == "completed"
    assert yan.work(wait=0) is None, "it does not have the workload"
    (evaluation,) = stack.get(f"/sessions/{session}/rounds", kind="evaluate")["items"]
    assert evaluation["metrics"] == {"auc": pytest.approx((10 * 0.6 + 20 * 0.9) / 30)}
    models = stack.get(f"/sessions/{session}/models")["items"]
    assert [one["version"] for one in models] == [0, 1, 2, 3]
    shown = stack.get(f"/sessions/{session}")
    assert shown["main_measure"] == "auc" and shown["workload"]["origin"] == "sites"


SCRIPT = """
import numpy as np
import clientagent
from clientagent import Direction, Measure

def first(options):
    return {"weight": np.zeros(options["width"], np.float32)}

def distance(model):
    return {"num_examples": 5, "distance": float(np.abs(1 - model["weight"]).mean())}

about = {"version": "1", "options": {"width": 4}, "measures": [Measure("distance", "Distance", Direction.MIN)]}
for work in clientagent.works("pull", initial=first, evaluate=distance, num_examples=5, **about):
    weight = work.weights["weight"]
    for _ in work.steps(range(3)):
        weight += (1 - weight) / 4
        work.log(loss=float(np.abs(1 - weight).mean()))
    work.send({"weight": weight}, num_examples=5)
"""


def test_scripts_that_the_server_never_saw_train_it(stack: Stack, tmp_path: Path):
    script = tmp_path / "pull.py"
    script.write_text(SCRIPT)
    for name in ("north", "south"):
        stack.script(name, script)
    until(lambda: [len(one["clients"]) for one in stack.get("/workloads")["items"] if one["origin"] == "sites"] == [2])
    wish = {"name": "pull", "workload": {"name": "pull", "options": {"width": 8}}, "rounds": 3, "quorum": 2}
    answer = stack.post("/sessions", wish | {"equal_digests": True})
    assert answer.status_code == 201, answer.text
    ended = stack.ended(answer.json()["id"])
    assert (ended["status"], ended["main_measure"], ended["completed_rounds"]) == ("completed", "distance", 3)
    (evaluation,) = stack.get(f"/sessions/{ended['id']}/rounds", kind="evaluate")["items"]
    assert evaluation["metrics"] == {"distance": pytest.approx(0.75**9, rel=1e-4)}
