import json
import threading

import pytest

from clientagent import logtail
from clientagent.errors import Failed
from tests.clientagent.fake_server import FakeServer, Handler


class Terminal:
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def close(self):
        self.closed = True


@pytest.fixture
def got(server: FakeServer) -> list[list[str]]:
    """The lines of each call that the server was sent. The first call is refused."""
    calls: list[list[str]] = []

    def note(handler: Handler) -> None:
        calls.append([line["text"] for line in json.loads(handler.body)["lines"]])
        if len(calls) == 1:
            handler.problem(422, "These lines cannot be.")
        else:
            handler.json(200, {})

    server.script("POST", "/clients/me/log", note, note)
    return calls


def test_lines_go_to_the_terminal_and_to_the_server_and_a_refusal_stops_nothing(api, server, got, said, monkeypatch):
    monkeypatch.setattr(logtail, "EVERY_SECONDS", 0.01)
    terminal = Terminal()
    tail = logtail.LogTail(terminal)
    tail.say("one\n\ntwo")
    tail.start(api.another(threading.Event()))
    server.wait_until(lambda: len(got) == 1)
    tail.say("x" * 600)
    server.wait_until(lambda: len(got) == 2)
    tail.close()
    assert terminal.said == ["one\n\ntwo", "x" * 600] and terminal.closed
    assert got == [["one", "two"], ["x" * 500]]
    assert said == []  # the server was not away


def test_lines_that_the_server_does_not_take_are_told_with_its_sentence(api, got):
    with pytest.raises(Failed, match="These lines cannot be"):
        api.log([{"time": "2026-01-01T00:00:00Z", "text": "one"}])
    assert api.work(0) is None


def test_only_the_newest_lines_wait():
    tail = logtail.LogTail(Terminal())
    for n in range(500):
        tail.say(str(n))
    assert [line["text"] for line in tail._lines] == [str(n) for n in range(300, 500)]
