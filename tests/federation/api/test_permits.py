"""What is open ends once what let it in is taken back: polls, uploads between their chunks, downloads."""

import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client as Visitor

from federation import storage
from federation.api import downloads, permits
from federation.lifecycle import SeatStatus
from federation.models import ApiKey, Client
from federation.services import apikeys, clients, rounds, seats, standing
from federation.services.clients import invitations
from tests.federation.api.conftest import application
from tests.federation.asgi import _scope, request
from tests.federation.cast import seat_of, token_of, update

pytestmark = pytest.mark.django_db(transaction=True)
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}


def disable(alice, now):
    clients.set_enabled(Client.objects.get(name="anna"), False, by="alice")


def remove(alice, now):
    clients.remove(Client.objects.get(name="anna"), by="alice", now=now)


def reissue(alice, now):
    _, code = invitations.reissue(Client.objects.get(name="anna"), by=alice, now=now)
    clients.enroll(join_code=code, name="anna", info={}, token=token_of("anna's new disk"), now=now)


ACTS = pytest.mark.parametrize("act, status", [(disable, 403), (remove, 401), (reissue, 401)])


async def reached(what):
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.005)


def holders():
    return [permit.principal for watch in list(permits._watches.values()) for permit in watch._permits]


def refused(answer, status):
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    assert len(json.loads(answer.body)["detail"]) > 10


@ACTS
def test_a_held_poll_ends(enrol, alice, now, act, status):
    enrol("anna", "ben")

    async def poll_and_act():
        polls = [
            asyncio.create_task(request(application, "GET", f"/api/v1/work?wait={wait}", token=token_of(name)))
            for name, wait in (("anna", 60), ("ben", 3))
        ]
        await reached(lambda: len(holders()) == 2)
        await sync_to_async(act)(alice, now)
        return [await poll for poll in polls]

    ended, held = asyncio.run(poll_and_act())
    refused(ended, status)
    assert held.status == 204, "nobody took anything from ben"


@ACTS
def test_a_round_that_opens_at_that_moment_gives_no_work(enrol, running, alice, now, act, status, monkeypatch):
    """Before anybody has looked whether the client may go on."""
    (anna,) = enrol("anna")
    session = running()
    loaded = clients.authenticate(token_of("anna"), now=now)
    rounds.advance(session, now=now)
    assert anna.seats.exists()
    act(alice, now)
    assert seats.offer(loaded, now=now) is None


@ACTS
@pytest.mark.parametrize("way", ["PUT", "PATCH"])
def test_an_upload_ends_between_two_chunks(open_round, alice, now, act, status, way):
    open_round("anna", "ben")
    seat = seat_of("anna")
    blob = update(seat)
    headers = TUS | {"Upload-Length": str(len(blob))} if way == "PATCH" else {}

    async def act_and_say_nothing():
        await sync_to_async(act)(alice, now)
        await asyncio.Event().wait()

    answer = asyncio.run(
        request(
            application,
            way,
            f"/api/v1/participations/{seat.pk}/update",
            [blob[:100], blob[100:]],
            headers=headers,
            token=token_of("anna"),
            go_on=act_and_say_nothing(),
        )
    )
    refused(answer, status)
    assert seat_of("anna").status != SeatStatus.REPORTED
    assert not list(settings.FL_SCRATCH_DIR.glob("*"))


@ACTS
def test_an_update_that_came_at_once_is_not_counted(open_round, alice, now, act, status, monkeypatch):
    """Nothing waits for its sender, so what lets it in is looked at when it is counted."""
    open_round("anna", "ben")
    seat, sent = seat_of("anna"), []
    blob, put = update(seat), storage.put

    def act_and_put(file, digest, **more):
        act(alice, now)
        put(file, digest, **more)

    async def send(message):
        sent.append(message)

    monkeypatch.setattr(storage, "put", act_and_put)
    scope = _scope("PUT", f"/api/v1/participations/{seat.pk}/update", {}, token_of("anna"))
    asyncio.run(application(scope | {"fl.take": lambda: blob}, None, send))
    assert sent[0]["status"] == status, sent
    assert seat_of("anna").status != SeatStatus.REPORTED
    assert not list(settings.FL_SCRATCH_DIR.glob("*"))


@pytest.fixture
def in_pieces(monkeypatch):
    """Models are sent as a large one is."""
    monkeypatch.setattr(downloads, "AT_ONCE", 0)


async def download(headers, digest, act):
    """Ask for a model with a socket that is full after the headers; act then. What was sent, and what it ended with."""
    sent = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)
        if message["type"] == "http.response.body":
            await act()
            await asyncio.Event().wait()

    scope = _scope("GET", f"/api/v1/models/{digest}", headers, None)
    async with asyncio.timeout(20):
        await application(scope, receive, send)
    return sent


@ACTS
def test_a_download_is_cut_off(in_pieces, open_round, alice, now, act, status):
    digest = open_round("anna").base_model.digest
    headers = {"Authorization": f"Bearer {token_of('anna')}"}
    start, *pieces = asyncio.run(download(headers, digest, lambda: sync_to_async(act)(alice, now)))
    assert start["status"] == 200
    assert len(pieces) == 1, "nothing follows, and no second answer"


def revoke_key(alice):
    apikeys.revoke(ApiKey.objects.get(), now=ApiKey.objects.get().created_at)


def deactivate(alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)


def sign_out(alice):
    alice.set_password("another-horse")
    alice.save()


@pytest.mark.parametrize("act", [revoke_key, deactivate])
def test_a_download_of_a_script_is_cut_off(in_pieces, open_round, alice, key, act):
    digest = open_round("anna").base_model.digest
    headers = {"Authorization": f"Bearer {key}"}
    _, *pieces = asyncio.run(download(headers, digest, lambda: sync_to_async(act)(alice)))
    assert len(pieces) == 1


@pytest.mark.parametrize("act", [sign_out, deactivate])
def test_a_download_of_a_browser_is_cut_off(in_pieces, open_round, alice, act):
    digest = open_round("anna").base_model.digest
    visitor = Visitor()
    visitor.force_login(alice)
    headers = {"Cookie": f"fl_session={visitor.cookies['fl_session'].value}"}
    _, *pieces = asyncio.run(download(headers, digest, lambda: sync_to_async(act)(alice)))
    assert len(pieces) == 1


def test_who_may_go_on_gets_all_of_it(open_round, alice):
    round_ = open_round("anna")
    answer = asyncio.run(
        request(application, "GET", f"/api/v1/models/{round_.base_model.digest}", token=token_of("anna"))
    )
    assert answer.status == 200 and len(answer.body) == round_.base_model.num_bytes


def test_nothing_is_watched_once_nobody_is_here(enrol):
    enrol("anna")

    async def poll():
        await request(application, "GET", "/api/v1/work?wait=0.01", token=token_of("anna"))
        (watch,) = permits._watches.values()
        await reached(watch._looking.done)
        assert holders() == []

    permits._watches.clear()
    asyncio.run(poll())


def test_while_the_database_is_away_nobody_is_turned_out(enrol, alice, now, monkeypatch):
    enrol("anna")
    asked = []

    def away(*args, **kwargs):
        asked.append(args)
        if len(asked) < 3:
            raise OperationalError("the database is away")
        return honest(*args, **kwargs)

    honest = standing.withdrawn
    monkeypatch.setattr(standing, "withdrawn", away)
    monkeypatch.setattr(permits, "LOOK_SECONDS", 0.01)

    async def poll_and_act():
        poll = asyncio.create_task(request(application, "GET", "/api/v1/work?wait=60", token=token_of("anna")))
        await reached(lambda: len(asked) > 3)
        assert not poll.done()
        await sync_to_async(disable)(alice, now)
        return await poll

    assert asyncio.run(poll_and_act()).status == 403


def test_what_a_wait_gives_or_raises_comes_through(enrol):
    async def give():
        return 7

    async def give_up():
        raise TimeoutError("of its own")

    async def main():
        permit = permits.Permit(standing.Script("0" * 64))
        assert await permit.wait(give) == 7
        with pytest.raises(TimeoutError, match="of its own"):
            await permit.wait(give_up)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await permit.wait(asyncio.Event().wait)
        assert not permit._waits

    asyncio.run(main())
