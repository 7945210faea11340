"""Behind nginx the models are sent by nginx, to whom the server lets have them."""

import grp
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from websockets.sync.client import connect

from tests.e2e import lines, nginx
from tests.e2e.stack import Stack, running, until

pytestmark = pytest.mark.skipif(nginx.NGINX is None, reason="nginx is not installed")


@dataclass
class Site:
    """A server behind nginx, with a session's first model."""

    stack: Stack
    url: str
    session: str
    digest: str
    num_bytes: int

    def get(self, **headers: str) -> requests.Response:
        return self.stack.http.get(f"{self.url}/api/v1/models/{self.digest}", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A data folder and the group that may read its models: nginx's own where this user may give it files."""
    above = Path(tempfile.gettempdir()).resolve()
    passable = all(folder.stat().st_mode & 0o001 for folder in (above, *above.parents))
    if os.geteuid() == 0 and passable and nginx.OWN_USER in {group.gr_name for group in grp.getgrall()}:
        with tempfile.TemporaryDirectory(prefix="fl-nginx-") as folder:
            yield Path(folder), nginx.OWN_USER
    else:
        yield tmp_path_factory.mktemp("site"), grp.getgrgid(os.getegid()).gr_name


@pytest.fixture(scope="module")
def site(place: tuple[Path, str]) -> Iterator[Site]:
    folder, group = place
    env = {"FL_ACCEL_REDIRECT": "/protected/", "FL_DATA_GROUP": group}
    with running(folder, env=env) as stack, nginx.before(stack) as url:
        workload = {"name": "synthetic", "options": {"num_parameters": 300_000}}
        session = stack.session(workload=workload, rounds=2, quorum=1)
        model = until(lambda: stack.get(f"/sessions/{session}/models")["items"], why="the first model")[0]
        yield Site(stack, url, session, model["digest"], model["num_bytes"])


def test_a_model_comes_whole_and_under_its_digest(site: Site):
    answer = site.get()
    assert (answer.status_code, len(answer.content)) == (200, site.num_bytes)
    assert hashlib.sha256(answer.content).hexdigest() == site.digest
    assert answer.headers["ETag"] == f'"{site.digest}"'
    assert "immutable" in answer.headers["Cache-Control"] and "private" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert site.digest[:12] in answer.headers["Content-Disposition"]
    assert answer.headers["Server"].startswith("nginx") and "X-Accel-Redirect" not in answer.headers


def test_the_server_itself_sends_no_byte_of_it(site: Site):
    direct = site.stack.http.get(f"{site.stack.url}/api/v1/models/{site.digest}", timeout=30)
    assert (direct.status_code, direct.content) == (200, b"")
    assert direct.headers["X-Accel-Redirect"] == f"/protected/{site.digest[:2]}/{site.digest}.safetensors"


def test_a_cut_download_goes_on_where_it_was_cut(site: Site):
    whole, half = site.get().content, site.num_bytes // 2
    for condition in ({}, {"If-Range": f'"{site.digest}"'}):
        rest = site.get(Range=f"bytes={half}-", **condition)
        assert rest.status_code == 206
        assert rest.headers["Content-Range"] == f"bytes {half}-{site.num_bytes - 1}/{site.num_bytes}"
        assert rest.headers["ETag"] == f'"{site.digest}"'
        assert hashlib.sha256(whole[:half] + rest.content).hexdigest() == site.digest
    assert site.get(Range="bytes=0-9", **{"If-Range": '"another"'}).status_code == 200
    beyond = site.get(Range=f"bytes={site.num_bytes}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{site.num_bytes}")


def test_a_known_model_is_not_sent_again_and_head_tells_its_size(site: Site):
    assert site.get(**{"If-None-Match": f'"{site.digest}"'}).status_code == 304
    head = site.stack.http.head(f"{site.url}/api/v1/models/{site.digest}", timeout=30)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(site.num_bytes))


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer " + "0" * 64}, {"Authorization": "Bearer flk_no"}])
def test_who_may_not_have_it_is_refused_and_cannot_go_round_the_server(site: Site, headers: dict[str, str]):
    refused = requests.get(f"{site.url}/api/v1/models/{site.digest}", headers=headers, timeout=30)
    assert (refused.status_code, refused.headers["Content-Type"]) == (401, "application/problem+json")
    path = f"/protected/{site.digest[:2]}/{site.digest}.safetensors"
    assert requests.get(site.url + path, headers=headers, timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/api/v1/enroll", 6 << 20),
        ("/sign-in/", 20 << 10),
        ("/nothing", 6 << 20),
        ("/api/v1/participations/1/update", 17 << 20),
    ],
)
def test_what_is_larger_than_its_address_takes_does_not_reach_the_server(site: Site, path: str, size: int):
    head = lines.head("POST", path, int(site.url.rpartition(":")[2]), Content_Length=str(size))
    reply = lines.ask(int(site.url.rpartition(":")[2]), head)
    assert reply.status == 413 and "server: nginx" in reply.head


def test_a_caller_is_counted_by_its_own_address_and_not_by_what_it_says(site: Site):
    headers = {"Origin": site.url}
    answers = [
        requests.post(
            f"{site.url}/sign-in/", data={"a": "b"}, timeout=30, headers=headers | {"X-Forwarded-For": f"9.9.9.{n}"}
        )
        for n in range(70)
    ]
    assert 429 in {answer.status_code for answer in answers}


def test_agents_and_browsers_get_through(site: Site):
    """Last: the session ends with it."""
    agent = site.stack.agent("behind-nginx", "--server", site.url)
    assert site.stack.ended(site.session)["status"] == "completed"
    assert agent.poll() is None
    with pytest.raises(Exception, match="HTTP 403|4401|4403"):  # the handshake reached the server, which refused
        connect(f"{site.url.replace('http', 'ws')}/ws/sessions/{site.session}/")
