"""Websockets: what was missed, then what happens, each event once and in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.test import Client as Browser
from django.test import override_settings

from dashboard import consumers
from federation import events, feed
from federation.models import Event, ServerEvent, TrainingSession
from federation.services import apikeys

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 10  # what is awaited here comes at once
ORIGIN = (b"origin", b"http://testserver")
HOST = (b"host", b"testserver")


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The server's application, without its embedded worker."""
    static = Path(tmp_path_factory.mktemp("static"))
    with override_settings(FL_EMBEDDED=False, STATIC_ROOT=static):
        from flsite.asgi import application

        return application


@pytest.fixture(autouse=True)
def fresh() -> None:
    """The numbers of another test's logs mean nothing here."""
    feed.feed._cursors.clear()


@pytest.fixture
def session(create: Callable[..., TrainingSession]) -> TrainingSession:
    """A session whose log has one event."""
    return create()


@pytest.fixture
def cookie(browser: Browser) -> tuple[bytes, bytes]:
    return b"cookie", f"fl_session={browser.cookies['fl_session'].value}".encode()


@pytest.fixture
def socket(application: Any, cookie: tuple[bytes, bytes]) -> Callable[..., Any]:
    """Opens a socket as Mara's browser does."""

    @asynccontextmanager
    async def socket(path: str, *headers: tuple[bytes, bytes]) -> AsyncIterator[WebsocketCommunicator]:
        made = WebsocketCommunicator(application, path, headers=list(headers or (HOST, ORIGIN, cookie)))
        accepted, _ = await made.connect(timeout=SECONDS)
        assert accepted
        try:
            yield made
        finally:
            await made.disconnect()

    return socket


@pytest.fixture
def refused(application: Any) -> Callable[..., Any]:
    async def refused(path: str, *headers: tuple[bytes, bytes]) -> bool:
        accepted, _ = await WebsocketCommunicator(application, path, headers=list(headers)).connect(timeout=SECONDS)
        return not accepted

    return refused


@sync_to_async
def write(session: TrainingSession, count: int = 1) -> None:
    for _ in range(count):
        with transaction.atomic():
            events.record(session.pk, Event.Kind.METRICS_REPORTED, client={"name": "anna"}, points=[])


@sync_to_async
@transaction.atomic
def write_to_server_log() -> None:
    events.record_server(ServerEvent.Kind.CLIENT_ONLINE)


async def hear(socket: WebsocketCommunicator, last: int) -> list[int]:
    """The numbers of what arrives, up to this one."""
    seen: list[int] = []
    while not seen or seen[-1] < last:
        message = json.loads(await socket.receive_from(timeout=SECONDS))
        assert message.keys() == {"events"}
        seen += [event["seq"] for event in message["events"]]
    return seen


async def test_what_was_missed_comes_first_and_then_what_happens(session, socket):
    await write(session, 2)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 0})
        assert await hear(browser, 3) == [1, 2, 3]
        await write(session, 2)
        assert await hear(browser, 5) == [4, 5]


async def test_a_browser_that_asks_is_told_that_nothing_is_missing_any_more(session, socket):
    await write(session, 2)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        for after, missed in ((1, [2, 3]), (3, [])):  # asked again on a connection that is open
            await browser.send_json_to({"after": after, "confirm": True})
            said = [json.loads(await browser.receive_from(timeout=SECONDS)) for _ in range(2 if missed else 1)]
            assert [event["seq"] for one in said for event in one["events"]] == missed
            assert said[-1] == {"events": []}
        await write(session)
        assert await hear(browser, 4) == [4]


async def test_an_event_has_the_members_of_the_contract(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 0})
        (event,) = json.loads(await browser.receive_from(timeout=SECONDS))["events"]
    assert event.keys() == {"seq", "kind", "time", "payload"}
    assert (event["seq"], event["kind"]) == (1, "session.created")


async def test_what_was_seen_already_does_not_come_again(session, socket):
    await write(session, 4)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 3})
        assert await hear(browser, 5) == [4, 5]


async def test_nothing_comes_before_the_browser_has_said_what_it_saw(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        assert await browser.receive_nothing(timeout=0.1)


async def test_a_browser_that_saw_all_hears_the_next_event(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 1})
        await write(session)
        assert await hear(browser, 2) == [2]


async def test_while_others_write_nothing_is_missed_and_nothing_comes_twice(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        writing = [asyncio.create_task(write(session, 30)) for _ in range(2)]
        await browser.send_json_to({"after": 0})
        assert await hear(browser, 61) == list(range(1, 62))
        await asyncio.gather(*writing)
        assert await browser.receive_nothing(timeout=0.1)


async def test_a_browser_that_could_not_keep_up_catches_up(session, socket, monkeypatch):
    monkeypatch.setattr(feed, "QUEUE", 1)
    monkeypatch.setattr(feed, "BATCH", 2)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 0})
        assert await hear(browser, 1) == [1]
        await write(session, 40)
        assert await hear(browser, 41) == list(range(2, 42))


async def test_asked_again_it_begins_there(session, socket):
    await write(session, 2)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 2})
        assert await hear(browser, 3) == [3]
        await browser.send_json_to({"after": 1})
        assert await hear(browser, 3) == [2, 3]
        await write(session)
        assert await hear(browser, 4) == [4]


async def test_a_long_log_comes_in_several_messages(session, socket, monkeypatch):
    monkeypatch.setattr(feed, "BATCH", 10)
    await write(session, 24)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 0})
        sizes = [len(json.loads(await browser.receive_from(timeout=SECONDS))["events"]) for _ in range(3)]
    assert sizes == [10, 10, 5]


async def test_the_servers_log(mara, socket):
    async with socket("/ws/server/") as browser:
        await browser.send_json_to({"after": 0})
        await write_to_server_log()
        assert await hear(browser, 1) == [1]


async def test_two_browsers_hear_the_same(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as one, socket(f"/ws/sessions/{session.pk}/") as other:
        await one.send_json_to({"after": 0})
        await other.send_json_to({"after": 1})
        await write(session)
        assert (await hear(one, 2), await hear(other, 2)) == ([1, 2], [2])


async def test_who_is_not_signed_in_hears_nothing(session, refused):
    assert await refused(f"/ws/sessions/{session.pk}/", HOST, ORIGIN)
    assert await refused("/ws/server/", HOST, ORIGIN, (b"cookie", b"fl_session=guessed"))


async def test_a_page_of_another_origin_hears_nothing(session, refused, cookie):
    for origin in (
        b"http://evil.example",
        b"http://testserver:8001",
        b"http://testserver.evil.example",
        b"null",
        b"http://[",
        b"",
    ):
        assert await refused(f"/ws/sessions/{session.pk}/", HOST, cookie, (b"origin", origin))
    assert await refused(f"/ws/sessions/{session.pk}/", HOST, cookie)
    assert await refused(f"/ws/sessions/{session.pk}/", cookie)


async def test_a_script_hears_with_its_key(session, socket, mara):
    _, key = await sync_to_async(apikeys.create)(mara)
    async with socket(f"/ws/sessions/{session.pk}/", HOST, (b"authorization", f"Bearer {key}".encode())) as script:
        await script.send_json_to({"after": 0})
        assert await hear(script, 1) == [1]


async def test_a_wrong_key_hears_nothing_whoever_is_signed_in(session, refused, cookie):
    for key in (b"Bearer flk_guessed", b"Bearer "):
        assert await refused(f"/ws/sessions/{session.pk}/", HOST, ORIGIN, cookie, (b"authorization", key))


async def test_a_session_that_is_not_there_is_not_there(refused, cookie, mara):
    assert await refused("/ws/sessions/999/", HOST, ORIGIN, cookie)


async def test_a_user_who_may_not_sign_in_any_more_hears_nothing(session, refused, cookie, mara: User):
    mara.is_active = False
    await sync_to_async(mara.save)()
    assert await refused(f"/ws/sessions/{session.pk}/", HOST, ORIGIN, cookie)


@pytest.mark.parametrize(
    "garbage",
    ["hello", "[]", "null", "7", "{}", '{"after": "1"}', '{"after": -1}', '{"after": true}', '{"after": 1.5}',
     '{"after": NaN}', "[" * 100_000, '{"after": 1' + "0" * 5000 + "}"],
)  # fmt: skip
async def test_garbage_ends_the_conversation(session, application, cookie, garbage):
    browser = WebsocketCommunicator(application, f"/ws/sessions/{session.pk}/", headers=[HOST, ORIGIN, cookie])
    await browser.connect(timeout=SECONDS)
    await browser.send_to(text_data=garbage)
    assert (await browser.receive_output(timeout=SECONDS)) == {
        "type": "websocket.close",
        "code": 4400,
        "reason": 'Send {"after": <last seq seen>}.',
    }
    await browser.disconnect()


async def test_bytes_are_garbage_too(session, application, cookie):
    browser = WebsocketCommunicator(application, f"/ws/sessions/{session.pk}/", headers=[HOST, ORIGIN, cookie])
    await browser.connect(timeout=SECONDS)
    await browser.send_to(bytes_data=b'{"after": 0}')
    assert (await browser.receive_output(timeout=SECONDS))["code"] == 4400
    await browser.disconnect()


async def test_while_the_database_does_not_answer_the_socket_ends_so_that_the_browser_comes_again(
    session, application, cookie, monkeypatch
):
    def gone(*_: Any) -> None:
        raise OperationalError("the database is gone")

    monkeypatch.setattr(consumers, "read", gone)
    browser = WebsocketCommunicator(application, f"/ws/sessions/{session.pk}/", headers=[HOST, ORIGIN, cookie])
    await browser.connect(timeout=SECONDS)
    await browser.send_json_to({"after": 0})
    assert (await browser.receive_output(timeout=SECONDS))["code"] == 1013
    await browser.disconnect()


async def test_whoever_goes_is_forgotten(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 0})
        await hear(browser, 1)
        assert session.pk in feed.feed._watched
    assert session.pk not in feed.feed._watched
