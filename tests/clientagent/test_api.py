"""Retries, and what an agent makes of answers that are not the server's."""

import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clientagent.api import Api
from clientagent.connection import MOST_JSON_BYTES, Connection
from clientagent.errors import Dropped, Failed, TokenRefused
from clientagent.exchange import Request
from clientagent.link import Link, duration
from tests.clientagent.fake_server import FakeServer, cut, half, html, plainly, status


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("clientagent.persisting.FIRST_DELAY", 0.01)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (status(500), "it answers 500"),
        (status(503), "it answers 503"),
        (status(429), "it answers 429"),
        (html(200), "something that is not JSON answers there"),
        (html(302, Location="https://login.example/"), "it redirects to https://login.example/"),
        (html(404), "it answers 404"),
        (half, "the connection was cut"),
        (lambda handler: handler.answer(200, bytes(MOST_JSON_BYTES + 1)), "its answer is too long"),
    ],
)
def test_a_call_for_work_is_made_again_until_the_server_answers(api: Api, server, said, quick, failure, reason):
    seat = server.offer()
    server.script("GET", "/work", failure, failure)
    assert api.work(0) == seat.work
    away, back = said
    assert reason in away and away.endswith("Trying again until it does.")
    assert back.startswith("The server is back after")


def test_a_connection_that_was_closed_while_idle_is_not_an_absence(api: Api, server: FakeServer, said):
    assert api.work(0) is None
    server.script("GET", "/work", cut, plainly)
    assert api.work(0) is None
    assert said == []


def test_an_absence_is_said_once_and_then_now_and_then(said, monkeypatch):
    link = Link(said.append)
    now = [100.0]
    monkeypatch.setattr("clientagent.link.monotonic", lambda: now[0])
    for now[0] in range(100, 280, 5):
        link.down("connection refused")
    link.up()
    link.up()
    assert said == [
        "The server does not answer (connection refused). Trying again until it does.",
        "Still no answer from the server after 1 min 0 s (connection refused).",
        "Still no answer from the server after 2 min 0 s (connection refused).",
        "The server is back after 2 min 55 s.",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (65, "1 min 5 s"), (7380, "2 h 3 min")])
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("after", ["1", "date"])
def test_retry_after_is_honoured(api: Api, server: FakeServer, quick, after: str):
    # A date has whole seconds, so what is left of it when it is read lies between one and two.
    value = formatdate(time.time() + 2, usegmt=True) if after == "date" else after
    server.script("GET", "/work", status(503, Retry_After=value))
    began = time.monotonic()
    api.work(0)
    assert time.monotonic() - began >= 0.9


def test_pauses_grow_and_are_never_the_same_for_all(api: Api, server: FakeServer, quick, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(api, "pause", pauses.append)
    server.script("GET", "/work", *[status(503)] * 45)
    api.work(0)
    assert pauses[:3] == pytest.approx([0.01, 0.012, 0.0144])
    assert pauses[-1] == 15.0


def test_pauses_are_shortened_at_random(api: Api):
    waits: list[float] = []
    api.stop.wait = lambda seconds: waits.append(seconds) or False  # type: ignore[method-assign]
    for _ in range(50):
        api.pause(2.0)
    assert len(set(waits)) > 10 and min(waits) >= 1.0 and max(waits) <= 2.0


def test_a_server_that_is_away_is_waited_for(api: Api, server: FakeServer, said):
    server.away()
    threading.Timer(0.5, server.back).start()
    assert api.work(0) is None
    assert "connection refused" in said[0] and len(said) == 2


def test_waiting_for_the_server_ends_when_the_work_is_dropped(api: Api, server: FakeServer):
    server.away()
    dropped = threading.Event()
    threading.Timer(0.2, dropped.set).start()
    with pytest.raises(Dropped), api.until(dropped):
        api.work(0)


def test_a_disabled_client_is_told_once_and_goes_on_when_it_is_enabled(api: Api, server, said, monkeypatch):
    monkeypatch.setattr("clientagent.api.DISABLED_SECONDS", 0.1)
    server.disabled = True

    def enable() -> None:
        server.disabled = False

    threading.Timer(0.5, enable).start()
    assert api.work(0) is None
    assert said == ["This client is disabled. Asking again every 0 s.", "The server accepts this client again."]
    assert 4 <= len(server.requests("GET", "/work")) <= 12


def test_a_refused_token_is_no_absence(api: Api, server: FakeServer):
    server.tokens.clear()
    with pytest.raises(TokenRefused):
        api.work(0)


@pytest.mark.parametrize("url", ["//evil.example/x", "https://evil.example/x", "x", "http://127.0.0.1:1/x"])
def test_the_token_goes_to_no_other_server(api: Api, server: FakeServer, url: str):
    with pytest.raises(Failed, match="an address that is not its own"):
        api.put(url, [b"x"], 1, "00" * 32)
    assert server.seen == []


def test_a_goodbye_is_said_once_and_does_not_wait_for_an_absent_server(api: Api, server: FakeServer):
    assert api.leave()
    server.away()
    began = time.monotonic()
    assert not api.leave()
    assert time.monotonic() - began < 1


def test_a_reason_is_cut_to_what_a_page_can_show(api: Api, server: FakeServer):
    seat = server.offer()
    api.fail("1", "x" * 10_000)
    assert seat.reason == "x" * 500


class Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked = (self.path, self.headers["Proxy-Authorization"])  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_proxy_of_the_site_is_used(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.server_address[1]}")
        connection = Connection("http://fl.example:8000")
        assert connection.exchange(Request("GET", "/api/v1/work")).status == 204
        connection.close()
        proxy.shutdown()
        assert proxy.asked == ("http://fl.example:8000/api/v1/work", "Basic bWU6c2VjcmV0")  # type: ignore[attr-defined]


def test_no_proxy_stands_between_an_agent_and_its_own_machine(api: Api, server: FakeServer, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert api.work(0) is None  # connects only now
