"""A proxy that answers in the server's place, on every call: nothing is lost, and nothing is trained twice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clientagent import polls
from clientagent.kinds.training import Trainer
from tests.clientagent.sites import Site
from tests.e2e.proxy import Proxy, proxy_to
from tests.e2e.stack import Stack, assert_nothing_counted_twice, running, until

ENV = {"FL_MAX_PUT_BYTES": "32768", "FL_PART_BYTES": "65536"}
WHOLE, IN_PARTS = 2_000, 50_000  # parameters of a model whose update goes in one PUT, and of one that goes in parts


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("proxy"), env=ENV) as stack:
        yield stack


@pytest.fixture
def proxy(stack: Stack) -> Iterator[Proxy]:
    with proxy_to(stack.port) as proxy:
        yield proxy


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    real = Trainer.update

    def update(self: Trainer, work: Any, *more: Any) -> str:
        made.append(work.participation)
        return real(self, work, *more)

    monkeypatch.setattr(Trainer, "update", update)
    return made


def one_round(stack: Stack, name: str, num_parameters: int) -> str:
    """A session of one round for the client of this name alone, once it is there."""

    def found() -> list[dict[str, Any]]:
        return [each for each in stack.get("/clients", limit=1000)["items"] if each["name"] == name]

    [client] = until(found, why=name)
    tag = f"only-{client['id']}"
    stack.http.patch(f"{stack.url}/api/v1/clients/{client['id']}", json={"tags": [tag]}, timeout=30).raise_for_status()
    workload = {"name": "synthetic", "options": {"num_parameters": num_parameters}}
    return stack.session(workload=workload, rounds=1, quorum=1, cohort_size=1, client_tags=[tag])


def take_part(stack: Stack, proxy: Proxy, folder: Path, num_parameters: int) -> str:
    """Be an agent behind the proxy for one round, from joining to leaving. Returns what it said."""
    site, name = Site(proxy, folder), folder.parent.name  # type: ignore[arg-type]
    ended = threading.Thread(target=site.run, kwargs={"join_code": stack.join_code, "name": name}, daemon=True)
    ended.start()
    session = one_round(stack, name, num_parameters)
    assert stack.ended(session)["status"] == "completed", site.said
    ended.join(30)
    assert not ended.is_alive(), site.said
    assert_nothing_counted_twice(stack, session)
    return site.said


@pytest.mark.parametrize("num_parameters", [WHOLE, IN_PARTS])
@pytest.mark.parametrize("status", [200, 204, 302, 401, 403, 404, 405, 413, 502])
def test_a_round_survives_a_proxy_that_answers_every_call_itself(
    stack: Stack,
    proxy: Proxy,
    trainings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    num_parameters: int,
):
    monkeypatch.setattr("clientagent.persisting.FIRST_DELAY", 0.05)
    proxy.status, proxy.times = status, 2
    said = take_part(stack, proxy, tmp_path / "state", num_parameters)
    assert len(trainings) == 1
    upload = "PUT update" if num_parameters == WHOLE else "PATCH update"
    expected = {"POST enroll", "GET work", "GET models", "POST progress", "POST leave", upload}
    assert expected <= proxy.answered.keys()
    assert "Dropped" not in said and "gives up this seat" not in said


def test_a_proxy_that_ends_polls_gets_shorter_ones_and_is_no_absence(
    stack: Stack, proxy: Proxy, trainings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(polls, "LEAST_SECONDS", 0.5)
    proxy.cut_after = 1.0
    site, name = Site(proxy, tmp_path / "state"), tmp_path.name  # type: ignore[arg-type]
    ended = threading.Thread(target=site.run, kwargs={"join_code": stack.join_code, "name": name}, daemon=True)
    ended.start()
    until(lambda: len(proxy.waits) >= 3)
    assert proxy.waits[0] == 30 and all(0.5 <= wait < 1.0 for wait in proxy.waits[1:])
    assert stack.ended(one_round(stack, name, WHOLE))["status"] == "completed"
    ended.join(30)
    assert len(trainings) == 1 and not ended.is_alive()
    assert "does not answer" not in site.said and "Something on the way ends calls that wait" in site.said


def test_an_update_that_no_proxy_lets_through_outlives_the_agent(stack: Stack, proxy: Proxy):
    proxy.status, proxy.times, proxy.only = 403, 10**9, {"PUT update"}
    stack.agent("kept", "--workload", "synthetic", "--server", proxy.url)
    session = one_round(stack, "kept", WHOLE)
    until(lambda: proxy.answered["PUT update"] >= 2)
    os.killpg(stack.agents["kept"].pid, signal.SIGKILL)
    stack.agents["kept"].wait()
    proxy.status = None
    stack.agent("kept", "--workload", "synthetic", "--server", proxy.url)
    assert stack.ended(session)["status"] == "completed"
    log = (stack.folder / "kept.log").read_text()
    assert "trained before; sending the update that was kept" in log
    assert "The server does not answer PUT update (it answers 403)" in log
    assert_nothing_counted_twice(stack, session)
