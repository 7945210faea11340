"""compose.yaml and compose.demo.yaml, started from the images: a session completes, and everything stops."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
import requests

from tests.e2e.stack import PASSWORD, until
from tests.images.building import Builder
from tests.images.composed import Stack, model, own_network

AGENTS = ("north", "east")
URL = "http://127.0.0.1:8080"
DEMO = ("compose.yaml", "compose.demo.yaml")
ENDED = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def stack(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    described = model(*DEMO)
    own_network()
    stack = Stack(tmp_path_factory.mktemp("stack"), described, builder, without=["south", "west"])
    try:
        stack.start()
        yield stack
    finally:
        stack.kill()


@pytest.fixture(scope="module")
def api(stack: Stack) -> requests.Session:
    """The first account, by one command, and a key of it."""
    account = ("createsuperuser", "--noinput", "--username", "alice", "--email", "alice@example.org")
    stack.exec("web", "python3", "manage.py", *account, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    made = json.loads(stack.exec("web", "python3", "manage.py", "createapikey", "alice", "--json"))
    api = requests.Session()
    api.headers["Authorization"] = f"Bearer {made['api_key']}"
    api.trust_env = False
    return api


def get(api: requests.Session, path: str) -> Any:
    answer = api.get(f"{URL}/api/v1{path}", timeout=30)
    answer.raise_for_status()
    return answer.json()


def test_every_part_works(stack: Stack, api: requests.Session):
    until(lambda: api.get(f"{URL}/systemz", timeout=10).ok, seconds=120, why=stack.said("worker"))
    checks = {check["name"]: check["ok"] for check in api.get(f"{URL}/systemz", timeout=10).json()["checks"]}
    assert checks == dict.fromkeys(("database", "storage", "worker", "broker", "beat"), True)


def test_secrets_are_made_once_and_stand_in_no_environment(stack: Stack):
    password = stack.exec("web", "cat", "/secrets/database_password")
    assert len(password) > 40
    assert all(password not in f"{stack.container(name).env}" for name in stack.services)
    again = stack.container("setup").run(stack.container("setup").command)
    assert (again.returncode, again.stdout) == (0, "")
    assert stack.exec("web", "cat", "/secrets/database_password") == password


def test_a_session_completes_with_two_agents(stack: Stack, api: requests.Session):
    until(
        lambda: sum(one["online"] for one in get(api, "/clients")["items"]) == len(AGENTS),
        seconds=240,
        why=stack.said("north"),
    )
    wanted = {"name": "in containers", "workload": {"name": "digits"}, "rounds": 2, "quorum": 2, "round_seconds": 300}
    made = api.post(f"{URL}/api/v1/sessions", json=wanted, timeout=30)
    assert made.status_code == 201, made.text
    session = made.json()["id"]
    until(lambda: get(api, f"/sessions/{session}")["status"] in ENDED, seconds=400, why=stack.said("worker"))
    ended = get(api, f"/sessions/{session}")
    assert ended["status"] == "completed", ended["reason"]
    models = get(api, f"/sessions/{session}/models")["items"]
    assert max(one["version"] for one in models) == 2


def test_nginx_sends_the_models_of_the_volume(stack: Stack, api: requests.Session):
    session = get(api, "/sessions")["items"][0]["id"]
    newest = max(get(api, f"/sessions/{session}/models")["items"], key=lambda one: one["version"])
    answer = api.get(f"{URL}/api/v1/models/{newest['digest']}", timeout=60)
    assert answer.ok and answer.headers["Server"] == "nginx"
    assert sha256(answer.content).hexdigest() == newest["digest"]


def test_a_browser_signs_in(stack: Stack, api: requests.Session):
    browser = requests.Session()
    browser.trust_env = False
    form = browser.get(f"{URL}/sign-in/", timeout=30)
    token = form.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    sent = {"username": "alice", "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = browser.post(f"{URL}/sign-in/", sent, timeout=30)
    assert answer.ok and "Sign out" in answer.text
    assert "in containers" in browser.get(f"{URL}/training", timeout=30).text


def test_everything_stops_by_itself_when_it_is_asked(stack: Stack):
    ended = stack.stop()
    assert stack.running == {}
    assert {name: status for name, status in ended.items() if status == -signal.SIGKILL} == {}
    ours = ("web", "worker", "beat", *AGENTS)
    assert {name: ended[name] for name in ours} == dict.fromkeys(ours, 0)
