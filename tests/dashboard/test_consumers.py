"""Websockets: what was missed, then what happens, each event once and in order."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.test import Client as Browser
from django.test import override_settings

from dashboard import consumers
from federation import events, feed
from federation.api import threads
from federation.models import Event, ServerEvent, SignIn, TrainingSession
from federation.recent import Batch
from federation.services import apikeys, clients

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 10  # what is awaited here comes at once
ORIGIN = (b"origin", b"http://testserver")
HOST = (b"host", b"testserver")


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The server's application, without its embedded worker."""
    static = Path(tmp_path_factory.mktemp("static"))
    with override_settings(FL_EMBEDDED=False, STATIC_ROOT=static), patch.object(clients.heard, "begin"):
        from flsite.asgi import application

        return application


@pytest.fixture(autouse=True)
def fresh() -> None:
    """The numbers of another test's logs mean nothing here."""
    feed.feed._cursors.clear()
    feed.recent.clear()


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
    assert await SignIn.objects.filter(outcome="wrong_key").acount() == 1


async def test_a_session_that_is_not_there_is_not_there(refused, cookie, mara):
    assert await refused("/ws/sessions/999/", HOST, ORIGIN, cookie)


async def test_a_user_who_may_not_sign_in_any_more_hears_nothing(session, refused, cookie, mara: User):
    mara.is_active = False
    await sync_to_async(mara.save)()
    assert await refused(f"/ws/sessions/{session.pk}/", HOST, ORIGIN, cookie)


@pytest.mark.parametrize(
    "garbage",
    ["hello", "[]", "null", "7", "{}", '{"after": "1"}', '{"after": -1}', '{"after": true}', '{"after": 1.5}',
     '{"after": NaN}', "[" * 100_000, '{"after": 1' + "0" * 5000 + "}", '{"after": 9223372036854775808}',
     '{"after": 1e3}', '{"after": -9223372036854775809}', '{"after": 0, "more": "' + "x" * 5000 + '"}'],
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


async def test_the_largest_number_is_one_too(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 2**63 - 1, "confirm": True})
        assert json.loads(await browser.receive_from(timeout=SECONDS)) == {"events": []}


async def test_an_address_where_there_is_none_is_refused(refused, cookie):
    for path in ("/", "/ws/", "/ws/sessions/abc/", "/ws/sessions/" + "9" * 30 + "/", "/sign-in/"):
        assert await refused(path, HOST, ORIGIN, cookie)
        assert await refused(path)


async def ended(browser: WebsocketCommunicator) -> tuple[int, str]:
    """How the server closed a conversation."""
    while True:
        message = await browser.receive_output(timeout=SECONDS)
        if message["type"] == "websocket.close":
            return message["code"], message["reason"]


async def test_who_does_not_begin_is_let_go_of(session, socket, monkeypatch):
    monkeypatch.setattr(consumers, "FIRST_SECONDS", 0.05)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        assert (await ended(browser))[0] == 4408


async def test_who_has_begun_is_not(session, socket, monkeypatch):
    monkeypatch.setattr(consumers, "FIRST_SECONDS", 0.2)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 1, "confirm": True})
        await browser.receive_from(timeout=SECONDS)
        assert await browser.receive_nothing(timeout=0.4)
        await write(session)
        assert await hear(browser, 2) == [2]


async def test_who_asks_without_end_is_let_go_of(session, socket, monkeypatch):
    monkeypatch.setattr(consumers, "MOST_ASKED", 3)
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        for _ in range(4):
            await browser.send_json_to({"after": 0})
        code, reason = await ended(browser)
        assert code == 4429 and "at most 3 a minute" in reason


class Full:
    """A browser's end that takes so many messages and then none."""

    def __init__(self, takes: int) -> None:
        self.takes, self.sent, self.gone = takes, list[dict[str, Any]](), asyncio.Event()
        self.asked = asyncio.Queue[dict[str, Any]]()
        for message in ({"type": "websocket.connect"}, {"type": "websocket.receive", "text": '{"after": 0}'}):
            self.asked.put_nowait(message)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.asked.put_nowait({"type": "websocket.disconnect", "code": 1006})
        elif message["type"] == "websocket.send" and self.texts() > self.takes:
            await self.gone.wait()

    def texts(self) -> int:
        return sum(message["type"] == "websocket.send" for message in self.sent)


def scope(path: str, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "websocket", "path": path, "headers": list(headers), "query_string": b"", "subprotocols": []}


async def test_sockets_that_fell_behind_together_read_the_database_once(session, socket, monkeypatch):
    """And what the feed sent others is read by nobody again."""
    monkeypatch.setattr(feed, "BATCH", 4)
    await write(session, 30)
    reads: list[int] = []

    def counted(log_id: int, after: int) -> Batch | None:
        reads.append(after)
        return feed.read(log_id, after)

    monkeypatch.setattr(consumers, "read", counted)
    path = f"/ws/sessions/{session.pk}/"
    async with socket(path) as first, socket(path) as second:
        for browser in (first, second):
            await browser.send_json_to({"after": 2})
        for browser in (first, second):
            assert await hear(browser, 31) == list(range(3, 32))
        assert {after: reads.count(after) for after in reads if after < 30} == dict.fromkeys(range(2, 30, 4), 1)
        await write(session)
        assert await hear(first, 32) == await hear(second, 32) == [32]
    async with socket(path) as third, socket(path) as late:
        await third.send_json_to({"after": 31})
        assert await hear(third, 32) == [32]
        await late.send_json_to({"after": 31})
        assert await hear(late, 32) == [32]
    assert reads.count(31) <= 3  # each that found nothing more, and one of those who came late


async def test_of_a_log_no_more_is_read_than_the_socket_takes(session, application, cookie, monkeypatch):
    """And a socket that takes nothing for long is let go of."""
    monkeypatch.setattr(feed, "BATCH", 2)
    await write(session, 30)
    reads: list[int] = []

    def counted(log_id: int, after: int) -> Batch | None:
        reads.append(after)
        return feed.read(log_id, after)

    monkeypatch.setattr(consumers, "read", counted)
    end = Full(takes=3)
    with override_settings(FL_STALL_SECONDS=0.3):
        asked = scope(f"/ws/sessions/{session.pk}/", HOST, ORIGIN, cookie)
        async with asyncio.timeout(SECONDS):
            await application(asked, end.asked.get, end.send)
    assert reads == [0, 2, 4, 6]
    assert (end.sent[-1]["type"], end.sent[-1]["code"]) == ("websocket.close", 4408)
    assert session.pk not in feed.feed._watched and not consumers._open


async def test_one_who_reads_nothing_is_sent_no_more_however_often_it_asks(session, application, cookie, monkeypatch):
    """Each message would stay in memory until the socket ends, and asking again does not put that off."""
    monkeypatch.setattr(consumers, "MOST_ASKED", 10_000)
    end = Full(takes=0)

    async def ask() -> None:
        while True:
            end.asked.put_nowait({"type": "websocket.receive", "text": '{"after": 0}'})
            await asyncio.sleep(0.01)

    asking = asyncio.create_task(ask())
    with override_settings(FL_STALL_SECONDS=0.3):
        async with asyncio.timeout(SECONDS):
            await application(scope(f"/ws/sessions/{session.pk}/", HOST, ORIGIN, cookie), end.asked.get, end.send)
    asking.cancel()
    assert end.texts() == 1
    assert (end.sent[-1]["type"], end.sent[-1]["code"]) == ("websocket.close", 4408)


async def test_what_is_asked_while_a_message_is_on_its_way_is_answered_after_it(session, application, cookie):
    await write(session, 3)
    end = Full(takes=0)
    asked = scope(f"/ws/sessions/{session.pk}/", HOST, ORIGIN, cookie)
    served = asyncio.create_task(application(asked, end.asked.get, end.send))
    async with asyncio.timeout(SECONDS):
        while not end.texts():
            await asyncio.sleep(0.005)
        for after in (1, 3):  # the last one counts
            end.asked.put_nowait({"type": "websocket.receive", "text": f'{{"after": {after}}}'})
        while not end.asked.empty():
            await asyncio.sleep(0.005)
        end.gone.set()
        while end.texts() < 2:
            await asyncio.sleep(0.005)
        end.asked.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await served
    told = [json.loads(m["text"])["events"] for m in end.sent if m["type"] == "websocket.send"]
    assert [[event["seq"] for event in events] for events in told] == [[1, 2, 3, 4], [4]]


async def test_one_who_reads_all_of_a_log_again_and_again_holds_up_nobody(session, socket, mara, monkeypatch):
    """A call of an agent does not wait for what sockets missed, and another's socket waits for one of them."""
    key = await sync_to_async(make_key)(mara)
    path, reads, go_on = f"/ws/sessions/{session.pk}/", list[int](), threading.Event()

    def held_up(log_id: int, after: int) -> Batch | None:
        reads.append(log_id)
        assert go_on.wait(SECONDS)
        return feed.read(log_id, after)

    monkeypatch.setattr(consumers, "read", held_up)
    script = (HOST, (b"authorization", f"Bearer {key}".encode()))
    async with socket(path) as first, socket(path) as second, socket("/ws/server/", *script) as other:
        await first.send_json_to({"after": 0})
        while not reads:
            await asyncio.sleep(0.005)
        await second.send_json_to({"after": 0})
        while not consumers._turns[mara.pk]._waiters:
            await asyncio.sleep(0.005)
        await other.send_json_to({"after": 0})
        while not threads._sparing._jobs.qsize():
            await asyncio.sleep(0.005)
        assert await threads.in_thread(lambda: "at once") == "at once"
        assert reads == [session.pk]
        go_on.set()
        assert await hear(first, 1) == await hear(second, 1) == [1]
        while len(reads) < 2:  # the rest after a read is not over when its answer is there
            await asyncio.sleep(0.005)
    assert reads[1] == feed.SERVER_LOG
    assert not consumers._turns


def test_what_can_be_asked_for_without_end_rests_twice_as_long_as_it_works(monkeypatch):
    slept = []
    monkeypatch.setattr(threads, "monotonic", iter([10.0, 12.5]).__next__)
    monkeypatch.setattr(threads, "sleep", slept.append)
    assert threads._and_rest(lambda: "read") == "read"
    assert slept == [5.0]


def make_key(mara: User) -> str:
    return apikeys.create(mara)[1]


async def test_a_user_has_so_many_sockets_and_a_key_too(session, socket, mara, cookie):
    path, key = f"/ws/sessions/{session.pk}/", await sync_to_async(make_key)(mara)
    script = (HOST, (b"authorization", f"Bearer {key}".encode()))
    with override_settings(FL_SOCKETS_EACH=2):
        async with socket(path) as one, socket("/ws/server/"), socket(path) as third:
            code, reason = await ended(third)
            assert code == 4429 and "2 live connections" in reason
            async with socket(path, *script), socket(path, *script), socket(path, *script) as too_many:
                assert (await ended(too_many))[0] == 4429
            await one.send_json_to({"after": 0})
            assert await hear(one, 1) == [1]
        async with socket(path) as browser:  # there is room again
            await browser.send_json_to({"after": 0})
            assert await hear(browser, 1) == [1]


async def test_the_server_bears_so_many_sockets_in_all(session, socket, mara):
    path, key = f"/ws/sessions/{session.pk}/", await sync_to_async(make_key)(mara)
    with override_settings(FL_SOCKETS=2):
        script = (HOST, (b"authorization", f"Bearer {key}".encode()))
        async with socket(path), socket(path), socket(path, *script) as third:
            assert (await ended(third))[0] == 4429
    assert not consumers._open


def sign_out(mara: User, browser: Browser) -> None:
    browser.logout()


def deactivate(mara: User, browser: Browser) -> None:
    User.objects.filter(pk=mara.pk).update(is_active=False)


def change_password(mara: User, browser: Browser) -> None:
    mara.set_password("another-horse")
    mara.save()


@pytest.mark.parametrize("act", [sign_out, deactivate, change_password])
@pytest.mark.parametrize("began", [True, False])
async def test_a_socket_ends_when_its_user_may_not_go_on(session, socket, mara, browser, act, began):
    async with socket(f"/ws/sessions/{session.pk}/") as open_socket:
        if began:
            await open_socket.send_json_to({"after": 0})
            assert await hear(open_socket, 1) == [1]
        await sync_to_async(act)(mara, browser)
        code, reason = await ended(open_socket)
        assert (code, reason) == (4401, "You are signed out.")
        await write(session)
        assert await open_socket.receive_nothing(timeout=0.1)


@pytest.mark.parametrize("act", ["revoke", "deactivate"])
async def test_a_socket_ends_when_its_key_is_good_no_more(session, socket, mara, act):
    (key, secret), _ = await sync_to_async(lambda: (apikeys.create(mara), apikeys.create(mara)))()
    path = f"/ws/sessions/{session.pk}/"
    async with socket(path, HOST, (b"authorization", f"Bearer {secret}".encode())) as script:
        if act == "revoke":
            await sync_to_async(apikeys.revoke)(key, now=key.created_at)
        else:
            await sync_to_async(deactivate)(mara, Browser())
        assert (await ended(script))[0] == 4401


async def test_other_sockets_stay_open(session, socket, mara):
    (key, _), (_, other) = await sync_to_async(lambda: (apikeys.create(mara), apikeys.create(mara)))()
    path = f"/ws/sessions/{session.pk}/"
    async with socket(path) as browser, socket(path, HOST, (b"authorization", f"Bearer {other}".encode())) as script:
        await sync_to_async(apikeys.revoke)(key, now=key.created_at)
        for open_socket in (browser, script):
            await open_socket.send_json_to({"after": 0})
            assert await hear(open_socket, 1) == [1]
            assert await open_socket.receive_nothing(timeout=1.0)


async def test_whoever_goes_is_forgotten(session, socket):
    async with socket(f"/ws/sessions/{session.pk}/") as browser:
        await browser.send_json_to({"after": 0})
        await hear(browser, 1)
        assert session.pk in feed.feed._watched
    assert session.pk not in feed.feed._watched
