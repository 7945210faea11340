"""Many clients of one process at one server: each has an end of its own, and what they share goes round."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from clientagent.crowd import naming, polls, running
from clientagent.crowd.board import LOG, PlainTotals
from clientagent.crowd.running import Crowd
from clientagent.errors import Misconfigured
from clientagent.lock import try_lock
from clientagent.settings import Settings
from tests.clientagent.fake_server import CODE, FakeServer

NAMES = ["sim-1", "sim-2", "sim-3"]
SENT = "reported"


@dataclass
class Process:
    """A crowd in a thread of this process."""

    settings: Settings
    out: io.StringIO = field(default_factory=io.StringIO)
    leaving: threading.Event = field(default_factory=threading.Event)
    status: int | None = None

    @property
    def said(self) -> str:
        return self.out.getvalue()

    @property
    def logged(self) -> str:
        return (naming.folder(self.settings) / LOG).read_text()

    def run(self) -> None:
        folder = naming.folder(self.settings)
        folder.mkdir(parents=True, exist_ok=True)
        crowd = Crowd(self.settings, folder, self.leaving)
        try:
            crowd.run(naming.members(self.settings))
        finally:
            crowd.close()
        self.status = crowd.status


@pytest.fixture
def settings(server: FakeServer, tmp_path: Path) -> Settings:
    return Settings(server=server.url, join_code=CODE, name="sim", state=tmp_path / "sim", clients=3, workers=1,
                    workload="synthetic")  # fmt: skip


@contextlib.contextmanager
def living(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """A crowd that leaves at the end of the block, if it has not ended before."""
    process = Process(settings)
    monkeypatch.setattr(running.board, "for_terminal", lambda out: PlainTotals(process.out))
    monkeypatch.setattr(running.board, "EVERY_SECONDS", 0.0)
    thread = threading.Thread(target=process.run, daemon=True)
    thread.start()
    try:
        yield process
        if settings.once:
            thread.join(30)
    finally:
        process.leaving.set()
        thread.join(30)
    assert not thread.is_alive(), f"the crowd did not leave; it said {process.said}"


def test_each_client_joins_works_and_leaves_and_comes_back_as_itself(settings, server: FakeServer, until, monkeypatch):
    with living(settings, monkeypatch) as process:
        until(lambda: sorted(server.tokens.values()) == NAMES)
        seats = [server.offer(client=name) for name in NAMES]
        until(lambda: all(seat.status == SENT for seat in seats))
    assert process.status == 0 and server.left == 3
    assert all(f"{name}: first, round" in process.logged for name in NAMES)
    assert "3 results sent" in process.said and "update accepted" not in process.said
    tokens = dict(server.tokens)
    with living(replace(settings, join_code=None), monkeypatch):
        seat = server.offer(client="sim-3")
        until(lambda: seat.status == SENT)
    assert server.tokens == tokens


def test_a_client_whose_token_is_refused_ends_alone(settings, server: FakeServer, until, monkeypatch):
    with living(settings, monkeypatch) as process:
        until(lambda: sorted(server.tokens.values()) == NAMES)
        for token, name in list(server.tokens.items()):
            if name == "sim-2":
                del server.tokens[token]
        server.end_polls()
        seats = [server.offer(client=name) for name in ("sim-1", "sim-3")]
        until(lambda: all(seat.status == SENT for seat in seats) and "1 ended" in process.said)
    assert "sim-2: The server no longer accepts this client's token" in process.said
    assert process.status == 0 and server.left == 2


def test_clients_that_are_all_refused_end_the_process(settings, server: FakeServer, monkeypatch):
    with living(replace(settings, join_code="WRNG-WRNG-WRNG", once=True), monkeypatch) as process:
        pass
    assert process.status == 2
    assert process.said.count("This join code is not known here.") == 1, "it is said once"
    assert process.logged.count("This join code is not known here.") == 3


def test_a_disabled_client_holds_no_connection_that_another_needs(settings, server: FakeServer, until, monkeypatch):
    server.disabled_names = {"sim-1"}
    with living(replace(settings, clients=2, connections=1), monkeypatch) as process:
        until(lambda: "sim-1: This client is disabled." in process.said)
        seat = server.offer(client="sim-2")
        until(lambda: seat.status == SENT)


def test_work_that_waits_in_line_is_asked_for_again_and_not_begun_if_it_was_dropped(
    settings, server: FakeServer, until, monkeypatch
):
    monkeypatch.setattr(polls, "places", lambda workers: 1)
    monkeypatch.setattr(polls, "LOOK_AGAIN_SECONDS", 0.05)
    go_on = threading.Event()
    server.script("PUT", "/participations/1/update", lambda handler: (go_on.wait(20), handler.route(handler.path, {})))
    with living(settings, monkeypatch) as process:
        until(lambda: len(server.tokens) == 3)
        first = server.offer(client="sim-1")
        until(lambda: server.requests("PUT", "/1/update"))
        waiting, dropped = server.offer(client="sim-2"), server.offer(client="sim-3")
        until(lambda: "2 in line" in process.said)
        dropped.status = "dropped"
        asked = len(server.requests("GET", "wait=0"))
        until(lambda: len(server.requests("GET", "wait=0")) > asked + 2)
        go_on.set()
        until(lambda: first.status == waiting.status == SENT)
    assert dropped.calls == [] and not server.requests("PUT", "/3/update")


def test_a_client_that_is_disabled_in_line_keeps_no_place_from_others(settings, server: FakeServer, until, monkeypatch):
    monkeypatch.setattr(polls, "places", lambda workers: 1)
    monkeypatch.setattr(polls, "LOOK_AGAIN_SECONDS", 0.05)
    go_on = threading.Event()
    server.script("PUT", "/participations/1/update", lambda handler: (go_on.wait(20), handler.route(handler.path, {})))
    with living(settings, monkeypatch) as process:
        until(lambda: len(server.tokens) == 3)
        first = server.offer(client="sim-1")
        until(lambda: server.requests("PUT", "/1/update"))
        disabled = server.offer(client="sim-2")
        until(lambda: "1 in line" in process.said)
        server.disabled_names = {"sim-2"}
        until(lambda: "sim-2: This client is disabled." in process.said)
        go_on.set()
        last = server.offer(client="sim-3")
        until(lambda: first.status == last.status == SENT)
    assert disabled.calls == []


def test_each_takes_part_once_if_that_is_asked_for(settings, server: FakeServer, until, monkeypatch):
    seats = [server.offer(client=name) for name in NAMES]
    with living(replace(settings, once=True), monkeypatch) as process:
        pass
    assert all(seat.status == SENT for seat in seats) and server.left == 3 and process.status == 0


def test_a_file_in_the_place_of_the_folder_is_refused_and_stays(settings, tmp_path: Path):
    (tmp_path / "sim").write_text("mine")
    with pytest.raises(Misconfigured, match=r"The state folder .*sim cannot be used: File exists\.$"):
        running.run(settings)
    assert (tmp_path / "sim").read_text() == "mine"


def test_a_folder_that_another_process_uses_is_refused(settings, tmp_path: Path):
    (tmp_path / "sim").mkdir()
    lock = try_lock(tmp_path / "sim" / "lock")
    assert lock is not None
    with lock, pytest.raises(Misconfigured, match="Another agent uses the state folder"):
        running._alone(tmp_path / "sim")


def test_too_many_clients_for_the_open_files_are_refused(monkeypatch):
    monkeypatch.setattr(running.resource, "getrlimit", lambda _: (256, 1024))
    with pytest.raises(Misconfigured, match="--clients 1000 needs .* open files, and this system allows 1024"):
        running._need_files(1000, 500, 2)
    raised = []
    monkeypatch.setattr(running.resource, "setrlimit", lambda _, limits: raised.append(limits))
    running._need_files(100, 500, 2)
    assert raised[0][1] == 1024 and 256 < raised[0][0] <= 1024
