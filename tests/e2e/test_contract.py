"""A client written only from the contract: what it sends by PUT and tus becomes the model that it must."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tusclient.client import TusClient

from tests.e2e.plain import PlainClient, read
from tests.e2e.stack import Stack


@pytest.fixture
def clients(stack: Stack) -> list[PlainClient]:
    return [PlainClient(stack, f"plain-{n}", examples, n) for n, examples in enumerate((10, 20, 70))]


def test_put_and_tus_make_the_model_that_float64_fedavg_makes(stack: Stack, clients: list[PlainClient]):
    session = stack.session(rounds=1, quorum=3, cohort_size=3)
    works = [client.work() for client in clients]
    made = [client.update(work) for client, work in zip(clients, works, strict=True)]
    assert clients[0].put(works[0], made[0][1]) == 204
    _send_by_tuspy(clients[1], works[1], made[1][1])
    _send_half_then_resume(clients[2], works[2], made[2][1])
    assert stack.ended(session)["status"] == "completed"
    old, new = (_model(stack, session, version) for version in (0, 1))
    for name in old:
        mean = sum(c.num_examples / 100 * d[name].astype(np.float64) for c, (d, _) in zip(clients, made, strict=True))
        expected = (old[name].astype(np.float64) + mean).astype(np.float32)
        assert np.all(np.abs(new[name].astype(np.float64) - expected) <= np.spacing(np.abs(expected)))


def _send_by_tuspy(client: PlainClient, work, blob: bytes) -> None:
    tus = TusClient(client.stack.url + work["update_url"], headers=dict(client.http.headers))
    tus.uploader(file_stream=io.BytesIO(blob), chunk_size=4096, upload_checksum=True).upload()


def _send_half_then_resume(client: PlainClient, work, blob: bytes) -> None:
    url, half = client.stack.url + work["update_url"], len(blob) // 2
    tus = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    first = tus | {"Upload-Offset": "0", "Upload-Length": str(len(blob))}
    assert client.http.patch(url, data=blob[:half], headers=first, timeout=30).status_code == 204
    client.stack.kill("web")
    client.stack.start("web")
    at = int(client.http.head(url, headers=tus, timeout=30).headers["Upload-Offset"])
    assert at == half
    rest = tus | {"Upload-Offset": str(at)}
    assert client.http.patch(url, data=blob[at:], headers=rest, timeout=30).status_code == 204


def _model(stack: Stack, session: str, version: int) -> dict[str, np.ndarray]:
    digest = stack.get(f"/sessions/{session}/models")["items"][version]["digest"]
    return read(stack.http.get(f"{stack.url}/api/v1/models/{digest}", timeout=30).content)


def test_work_is_offered_to_its_own_client_alone(stack: Stack, clients: list[PlainClient]):
    stack.session(rounds=1, quorum=3, cohort_size=3)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: (n % 3, clients[n % 3].work()["participation"]), range(12)))
    assert len({seat for _, seat in found}) == 3
    assert len(set(found)) == 3


def test_fifty_clients_complete_five_rounds_of_100000_parameters(stack: Stack):
    clients = [PlainClient(stack, f"swarm-{n}", n + 1, n) for n in range(50)]
    workload = {"name": "synthetic", "options": {"num_parameters": 100_000}}
    session = stack.session(rounds=5, quorum=45, workload=workload)
    threads = [threading.Thread(target=client.serve, args=(session,)) for client in clients]
    for thread in threads:
        thread.start()
    assert stack.ended(session)["status"] == "completed"
    for thread in threads:
        thread.join(30)
    assert stack.get(f"/sessions/{session}")["completed_rounds"] == 5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rounds": 0}, "rounds"),
        ({"cohort_size": 2, "quorum": 3}, "quorum"),
        ({"workload": {"name": "nope"}}, "workload.name"),
        ({"strategy": {"name": "nope"}}, "strategy.name"),
        ({"train": {"learning_rate": -1}}, "train.learning_rate"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_session_with_impossible_values_is_refused_by_field(shared_stack: Stack, change, field):
    body = {"name": "x", "workload": {"name": "synthetic"}} | change
    answer = shared_stack.post("/sessions", body)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]
