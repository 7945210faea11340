"""Clients written from the contract measure a stored model, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from federation.killpoints import Point
from tests.e2e.plain import PlainClient
from tests.e2e.stack import Stack, running, until

KINDS = ["train", "evaluate"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("evaluations"), killable=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def clients(site: Stack) -> list[PlainClient]:
    return [PlainClient(site, f"plain-{n}", examples, n, kinds=KINDS) for n, examples in enumerate((10, 30))]


@pytest.fixture(scope="module")
def model(site: Stack, clients: list[PlainClient]) -> str:
    """The digest of a model that they trained."""
    session = site.session(rounds=1, quorum=2, cohort_size=2)
    for client in clients:
        work = client.work()
        assert work["kind"] == "train" and client.put(work, client.update(work)[1]) == 204
    assert site.ended(session)["status"] == "completed"
    return site.get(f"/sessions/{session}/models")["items"][1]["digest"]


def evaluate(site: Stack, digest: str, **more: Any) -> str:
    answer = site.post("/sessions", {"kind": "evaluate", "initial_model": digest} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def work_of(client: PlainClient) -> dict[str, Any]:
    work = until(lambda: client.work(wait=1))
    assert work["kind"] == "evaluate"
    return work


def metrics_of(site: Stack, session: str) -> dict[str, Any]:
    (found,) = site.get(f"/sessions/{session}/rounds")["items"]
    return found["metrics"]


def test_a_model_is_measured_on_demand(site: Stack, clients: list[PlainClient], model: str):
    session = evaluate(site, model)
    for client, accuracy in zip(clients, (1.0, 0.0), strict=True):
        work = work_of(client)
        assert work["base_model"]["digest"] == model
        assert client.http.get(site.url + work["base_model"]["url"], timeout=30).status_code == 200
        assert client.measure(work, accuracy=accuracy) == 204
        assert client.measure(work, accuracy=accuracy) == 204
        assert client.measure(work, accuracy=0.5) == 409
    assert site.ended(session)["status"] == "completed"
    assert metrics_of(site, session) == {"accuracy": 0.25}
    assert client.measure(work, accuracy=0.0) == 204, "the same again, after the end"


@pytest.mark.parametrize(
    ("point", "time"),
    [
        (Point.UPDATE_ACCEPTED, 2),
        (Point.ANSWER_LOST, 1),
        (Point.EVENT_WRITTEN, 3),
        (Point.EVENT_WRITTEN, 5),
        (Point.EVENT_COMMITTED, 4),
    ],
    ids=str,
)
def test_the_server_is_killed(site: Stack, clients: list[PlainClient], model: str, point: Point, time: int):
    before = {one["id"] for one in site.get("/sessions", limit=1000)["items"]}
    site.kill_at("web", point, time=time)
    with contextlib.suppress(requests.RequestException):
        evaluate(site, model)
        for client in clients:
            client.measure(client.work(wait=10), accuracy=1.0)
    site.died("web")
    site.start("web")
    session = next((one["id"] for one in site.get("/sessions", limit=1000)["items"] if one["id"] not in before), None)
    session = session or evaluate(site, model)  # it died before the session was there
    for client in clients:
        if work := client.work(wait=2):
            assert client.measure(work, accuracy=1.0) == 204
    assert site.ended(session)["status"] == "completed"
    assert metrics_of(site, session) == {"accuracy": 1.0}
    kinds = [event["kind"] for event in site.events(session)]
    assert kinds.count("result.received") == 2 and kinds.count("evaluation.completed") == 1


def test_a_client_that_dies_delays_it_only_to_the_deadline(site: Stack, clients: list[PlainClient], model: str):
    session = evaluate(site, model, round_seconds=2)
    work_of(clients[1])
    assert clients[0].measure(work_of(clients[0]), accuracy=1.0) == 204
    assert site.ended(session)["status"] == "completed"
    assert metrics_of(site, session) == {"accuracy": 1.0}


def test_a_client_that_does_not_know_the_kind_gives_it_up(site: Stack, clients: list[PlainClient], model: str):
    session = evaluate(site, model)
    for client in clients:
        url = f"{site.url}/api/v1/participations/{work_of(client)['participation']}/fail"
        assert client.http.post(url, json={"reason": "unknown kind"}, timeout=30).status_code == 200
    assert site.ended(session)["status"] == "failed"
