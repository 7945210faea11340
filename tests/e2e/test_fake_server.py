"""The fake server of the agent's tests answers every call of the contract as the real one does."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import pytest
import requests

from tests.clientagent.fake_server import CODE, FakeServer
from tests.e2e.plain import read, write
from tests.e2e.stack import Stack, running

MAX_PUT_BYTES = 32_768
NUM_PARAMETERS = 1000
OURS = (
    "accept-ranges", "content-range", "content-type", "etag", "fl-agent-held", "fl-server-version", "location",
    "retry-after", "tus-resumable", "upload-defer-length", "upload-length", "upload-offset", "www-authenticate",
)  # fmt: skip
BY_NAME = ("etag", "location")  # headers whose values name a seat or a model
TUS = {"Tus-Resumable": "1.0.0"}
INFO = {"num_examples": 10, "kinds": ["train", "evaluate"]}


class Side(Protocol):
    """One of the two servers, with what a test does beside the calls of the contract."""

    url: str
    join_code: str

    def offer(self) -> None:
        """Let a round open that the client takes part in."""

    def evaluate(self) -> None:
        """Let a model be measured by the client."""

    def disable(self, disabled: bool) -> None:
        """Take away and give back the client's right to work."""


@dataclass
class Fake:
    fake: FakeServer

    @property
    def url(self) -> str:
        return self.fake.url

    join_code: str = CODE

    def offer(self) -> None:
        self.fake.offer("synthetic", {"num_parameters": NUM_PARAMETERS})

    def evaluate(self) -> None:
        (last, *_) = (seat for seat in self.fake.seats.values() if seat.update)
        counted = {"participation": last.work["participation"], "digest": "sha256:" + "0" * 64}
        self.fake.offer("synthetic", {"num_parameters": NUM_PARAMETERS}, kind="evaluate", last_update=counted)

    def disable(self, disabled: bool) -> None:
        self.fake.disabled = disabled


@dataclass
class Real:
    stack: Stack

    @property
    def url(self) -> str:
        return self.stack.url

    @property
    def join_code(self) -> str:
        return self.stack.join_code

    def offer(self) -> None:
        workload = {"name": "synthetic", "options": {"num_parameters": NUM_PARAMETERS}}
        self.stack.session(rounds=1, quorum=1, cohort_size=1, workload=workload, max_retries=0)

    def evaluate(self) -> None:
        sessions = self.stack.get("/sessions")["items"]
        model = self.stack.get(f"/sessions/{sessions[0]['id']}/models")["items"][0]["digest"]
        answer = self.stack.post("/sessions", {"kind": "evaluate", "initial_model": model})
        assert answer.status_code == 201, answer.text

    def disable(self, disabled: bool) -> None:
        [client] = self.stack.get("/clients")["items"]
        where = f"{self.stack.url}/api/v1/clients/{client['id']}"
        self.stack.http.patch(where, json={"enabled": not disabled}, timeout=30).raise_for_status()


@dataclass(frozen=True)
class Seen:
    """What an agent can make of an answer: the status, our headers, and the members of the body with their types."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class Client:
    """Makes the calls, and notes each answer under a name."""

    side: Side
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    seen: dict[str, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.http = requests.Session()
        self.http.trust_env = False

    def call(self, name: str, method: str, path: str, *, token: str | None = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.token}"} | more.pop("headers", {})
        answer = self.http.request(method, self.side.url + path, headers=headers, timeout=60, **more)
        self.seen[name] = Seen(answer.status_code, our_headers(answer), body(answer))
        return answer

    def enroll(self, name: str, **changes: str) -> None:
        asked = {"join_code": self.side.join_code, "name": "site-a", "info": INFO, "token": self.token} | changes
        self.call(name, "POST", "/api/v1/enroll", json=asked)

    def taken(self, name: str) -> dict[str, Any]:
        """The work of a new round."""
        self.side.offer()
        answer: dict[str, Any] = self.call(name, "GET", "/api/v1/work?wait=30").json()
        return answer

    def update(self, work: dict[str, Any], scale: float = 1.0) -> bytes:
        url = self.side.url + work["base_model"]["url"]
        base = read(self.http.get(url, headers={"Authorization": f"Bearer {self.token}"}, timeout=30).content)
        delta = {name: (array * 0 + scale).astype("float32") for name, array in base.items()}
        return write(delta, num_examples="10", base_digest=work["base_model"]["digest"])


def our_headers(answer: requests.Response) -> dict[str, str]:
    given = {name.lower(): value for name, value in answer.headers.items()}
    values = {name: "…" if name in BY_NAME else given[name] for name in OURS if name in given}
    return {name: value.partition(";")[0] for name, value in values.items()}  # the charset says nothing


def body(answer: requests.Response) -> Any:
    if answer.content and "json" in answer.headers.get("content-type", ""):
        return shape(answer.json())
    return len(answer.content)


def shape(value: Any) -> Any:
    """The names of all members and the types of their values. Numbers are one type."""
    match value:
        case dict():
            return {name: shape(member) for name, member in sorted(value.items()) if name != "from_the_future"}
        case list():
            return [shape(member) for member in value[:1]]
        case bool():
            return "bool"
        case int() | float():
            return "number"
    return type(value).__name__


# ---- the calls, in their order


def join(client: Client) -> None:
    client.enroll("a code that is unknown", join_code="AAAA-AAAA-AAAA")
    client.enroll("enroll")
    client.enroll("enroll again, as after a lost answer")
    client.enroll("a name that is taken", token=secrets.token_hex(32))
    client.call("an unknown token", "GET", "/api/v1/work?wait=0", token="ab" * 32)
    client.call("no work", "GET", "/api/v1/work?wait=0")
    client.call("info", "POST", "/api/v1/clients/me/info", json={"info": INFO})
    lines = [{"time": "2026-01-01T00:00:00Z", "text": "Waiting for work."}]
    client.call("log", "POST", "/api/v1/clients/me/log", json={"lines": lines})
    client.call("progress of an unknown seat", "POST", f"{SEAT}/999999/progress", json=progress())


SEAT = "/api/v1/participations"


def progress() -> dict[str, Any]:
    point = {"name": "train_loss", "step": 1, "value": 0.5, "time": "2026-01-01T00:00:00Z"}
    times = {"sent_at": "2026-01-01T00:00:01Z", "timings": {"downloading": 0.5, "training": 1.5}}
    return {"phase": "training", "fraction": 0.5, "metrics": [point], **times}


def put_an_update(client: Client) -> None:
    work = client.taken("work")
    download(client, work)
    seat, url = f"{SEAT}/{work['participation']}", work["update_url"]
    client.call("progress", "POST", f"{seat}/progress", json=progress())
    client.call("where an upload stands that never began", "HEAD", url, headers=TUS)
    update, other = client.update(work), client.update(work, 2.0)
    client.call("a PUT that is damaged", "PUT", url, data=update, headers=content_digest(other))
    client.call("a PUT that is too large", "PUT", url, data=bytes(MAX_PUT_BYTES + 1))
    client.call("a PUT of what is no update", "PUT", url, data=b"no update", headers=content_digest(b"no update"))
    client.call("PUT", "PUT", url, data=update, headers=content_digest(update))
    client.call("the same PUT again", "PUT", url, data=update, headers=content_digest(update))
    client.call("a PUT of other bytes", "PUT", url, data=other, headers=content_digest(other))
    client.call("where an accepted upload stands", "HEAD", url, headers=TUS)


def download(client: Client, work: dict[str, Any]) -> None:
    url, size = work["base_model"]["url"], work["base_model"]["num_bytes"]
    client.call("a model", "GET", url)
    client.call("a part of a model", "GET", url, headers={"Range": "bytes=10-99"})
    client.call("a part beyond the model", "GET", url, headers={"Range": f"bytes={size}-{size + 9}"})
    client.call("an unknown model", "GET", f"/api/v1/models/{'0' * 64}")


def send_an_update_in_parts(client: Client) -> None:
    work = client.taken("more work")
    url, update = work["update_url"], client.update(work)
    half = len(update) // 2
    client.call("create", "POST", url, headers=TUS | {"Upload-Length": str(len(update))})
    client.call("a part", "PATCH", url, data=update[:half], headers=part(0, update))
    client.call("a part from elsewhere", "PATCH", url, data=update[:half], headers=part(0, update))
    client.call("where an upload stands", "HEAD", url, headers=TUS)
    damaged = part(half, update) | {"Repr-Digest": digest_field(b"other")}
    client.call("the last part of a damaged upload", "PATCH", url, data=update[half:], headers=damaged)
    client.call("where an upload stands that was damaged", "HEAD", url, headers=TUS)
    client.call("the last part", "PATCH", url, data=update, headers=part(0, update))
    client.call("where an upload in parts stands at its end", "HEAD", url, headers=TUS)


def give_up(client: Client) -> None:
    work = client.taken("work to give up")
    seat = f"{SEAT}/{work['participation']}"
    client.call("fail", "POST", f"{seat}/fail", json={"reason": "The disk is full."})
    client.call("progress of a seat that was given up", "POST", f"{seat}/progress", json=progress())


def send_a_result(client: Client) -> None:
    client.side.evaluate()
    work = client.call("work to evaluate", "GET", "/api/v1/work?wait=30").json()
    seat = f"{SEAT}/{work['participation']}"
    client.call("progress of an evaluation", "POST", f"{seat}/progress", json=progress() | {"phase": "evaluating"})
    other = {"num_examples": 3, "metrics": {"loss": 0.5}}
    client.call("a result without examples", "POST", f"{seat}/result", json=other | {"num_examples": 0})
    result = {"num_examples": 4, "metrics": {"loss": 0.5, "accuracy": None}, "counts": {"confusion": [[3, 0], [1, 0]]}}
    client.call("result", "POST", f"{seat}/result", json=result)
    client.call("the same result again", "POST", f"{seat}/result", json=result)
    client.call("another result", "POST", f"{seat}/result", json=other)
    client.call("the result of training", "POST", f"{SEAT}/1/result", json=result)


def end(client: Client) -> None:
    client.side.disable(True)
    client.call("work of a disabled client", "GET", "/api/v1/work?wait=0")
    client.call("info of a disabled client", "POST", "/api/v1/clients/me/info", json={"info": {}})
    client.side.disable(False)
    client.call("leave", "POST", "/api/v1/clients/me/leave", json={})


def part(offset: int, update: bytes) -> dict[str, str]:
    return TUS | {
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
        "Upload-Length": str(len(update)),
        "Repr-Digest": digest_field(update),
    }


def content_digest(update: bytes) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "Content-Digest": digest_field(update)}


def digest_field(update: bytes) -> str:
    return f"sha-256=:{base64.b64encode(sha256(update).digest()).decode()}:"


STEPS: tuple[Callable[[Client], None], ...] = (
    join,
    put_an_update,
    send_an_update_in_parts,
    give_up,
    send_a_result,
    end,
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Seen]]:
    env = {"FL_MAX_PUT_BYTES": str(MAX_PUT_BYTES), "FL_PART_BYTES": str(1 << 20)}
    with running(tmp_path_factory.mktemp("real"), env=env) as stack:
        yield answers(Real(stack))


@pytest.fixture(scope="module")
def fake() -> Iterator[dict[str, Seen]]:
    with FakeServer() as server:
        server.marks_all, server.max_put_bytes = True, MAX_PUT_BYTES
        yield answers(Fake(server))


def answers(side: Side) -> dict[str, Seen]:
    client = Client(side)
    for step in STEPS:
        step(client)
    return client.seen


def test_the_fake_server_answers_as_the_real_one_does(real: dict[str, Seen], fake: dict[str, Seen]):
    assert len(real) > 30
    other = {name: (fake[name], real[name]) for name in real if fake[name] != real[name]}
    assert not other, "\n".join(f"{name}:\n  fake {mine}\n  real {true}" for name, (mine, true) in other.items())
