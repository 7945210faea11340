"""Each request's figures, and the ids that its log lines share."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import logs, meters
from federation.api.threads import at_length, in_thread
from flsite import observed
from tests.federation.asgi import request


def value(name: str, **labels: str) -> float:
    return meters.registry.get_sample_value(name, labels) or 0.0


def answering(status: int) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return application


def test_without_a_token_and_json_nothing_stands_between(settings):
    settings.FL_METRICS_TOKEN, settings.FL_LOG = "", "plain"
    inner = answering(200)
    assert observed.observed(inner) is inner


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "page"),
        ("/sessions/3/", "page"),
        ("/api/v1/work", "work"),
        ("/api/v1/participations/7/progress", "progress"),
        ("/api/v1/participations/7/update", "update"),
        (f"/api/v1/models/{'a' * 64}", "model"),
        ("/api/v1/sessions", "api"),
        ("/static/app.css", "static"),
        ("/healthz", "health"),
        ("/metrics", "health"),
    ],
)
def test_a_request_is_counted_by_its_route_and_status(settings, path, route):
    settings.FL_METRICS_TOKEN = "x"
    before = value("fl_requests_total", route=route, method="GET", status="418")
    times = value("fl_request_seconds_count", route=route)
    asyncio.run(request(observed.observed(answering(418)), "GET", path))
    assert value("fl_requests_total", route=route, method="GET", status="418") == before + 1
    assert value("fl_request_seconds_count", route=route) == times + 1


def test_methods_that_somebody_made_up_are_one_label():
    asyncio.run(request(observed.Metered(answering(405)), "BREW", "/"))
    assert value("fl_requests_total", route="page", method="other", status="405") >= 1
    assert value("fl_requests_total", route="page", method="BREW", status="405") == 0


def test_a_request_that_fails_without_an_answer_is_counted():
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    before = value("fl_requests_total", route="page", method="GET", status="none")
    with pytest.raises(RuntimeError):
        asyncio.run(request(observed.Metered(fails), "GET", "/"))
    assert value("fl_requests_total", route="page", method="GET", status="none") == before + 1


@given(st.text(max_size=200))
def test_any_address_has_one_of_few_routes(path):
    assert observed.route_of(path) in {name for name, _ in observed.ROUTES} | {"page"}


@pytest.fixture
def lines() -> Any:
    """What is logged within the test, as JSON."""
    written: list[Any] = []
    handler = logging.Handler()
    handler.emit = lambda record: written.append(json.loads(logs.AsJson().format(record)))  # type: ignore[method-assign]
    heard = [logging.getLogger("federation.test"), logs.did]
    level = logs.did.level
    logs.did.setLevel(logging.INFO)
    for log in heard:
        log.addHandler(handler)
    yield written
    for log in heard:
        log.removeHandler(handler)
    logs.did.setLevel(level)


def say(text: str) -> None:
    logging.getLogger("federation.test").warning("said %s", text)


def in_request(path: str, headers: dict[str, str]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        say("in the loop")
        await in_thread(say, "in a thread")
        await at_length(say, "at length")
        await answering(200)(scope, receive, send)

    asyncio.run(request(observed.Named(application), "GET", path, headers=headers))


def test_the_lines_of_a_request_share_its_id_in_every_thread(lines):
    in_request("/sessions/3/", {"x-request-id": "of-the-proxy"})
    messages = ["said in the loop", "said in a thread", "said at length", "GET /sessions/3/: 200"]
    assert [line["message"] for line in lines] == messages
    assert {(line["request"], line["session"]) for line in lines} == {("of-the-proxy", 3)}


@pytest.mark.parametrize(
    ("path", "status", "count"),
    [("/", 200, 1), ("/api/v1/work", 204, 0), ("/healthz", 200, 0), ("/api/v1/work", 503, 1), ("/api/v1/x", 404, 1)],
)
def test_an_answer_is_a_line_unless_clients_ask_for_it_often(lines, path, status, count):
    asyncio.run(request(observed.Named(answering(status)), "GET", path))
    assert [line["message"] for line in lines] == [f"GET {path}: {status}"] * count


@pytest.mark.parametrize("given_id", ["", "a b", "x" * 65, '"},{'])
def test_an_id_that_does_not_fit_is_replaced(lines, given_id):
    in_request("/", {"x-request-id": given_id} if given_id else {})
    assert len({line["request"] for line in lines}) == 1
    assert len(lines[0]["request"]) == 16 and "session" not in lines[0]


def test_after_the_block_the_ids_are_gone(lines):
    with logs.about(session=3):
        with logs.about(round=2):
            say("a")
        say("b")
    say("c")
    assert [{key: line.get(key) for key in ("session", "round")} for line in lines] == [
        {"session": 3, "round": 2},
        {"session": 3, "round": None},
        {"session": None, "round": None},
    ]


def test_an_exception_stands_in_its_line(lines):
    try:
        raise ValueError("of 1\n2")
    except ValueError:
        logging.getLogger("federation.test").exception("broken")
    (line,) = lines
    assert line["level"] == "ERROR" and line["logger"] == "federation.test" and line["message"] == "broken"
    assert "ValueError: of 1\n2" in line["error"]


@given(st.text())
def test_any_message_is_one_line_of_json(message):
    record = logging.LogRecord("a", logging.INFO, "", 0, "%s", (message,), None)
    text = logs.AsJson().format(record)
    assert "\n" not in text and json.loads(text)["message"] == message
