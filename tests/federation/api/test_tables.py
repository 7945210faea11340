"""The table of all points is read and sent in pieces, and only for as long as somebody takes it."""

import asyncio
import csv
import io

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from federation.api import tables
from federation.models import ApiKey, Metric
from federation.services import apikeys
from tests.federation.api.conftest import application, problem
from tests.federation.asgi import _scope, request
from tests.federation.cast import seat_of, token_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def points(open_round):
    session = open_round("anna").session
    seat, now = seat_of("anna"), timezone.now()
    Metric.objects.bulk_create(
        Metric(session=session, participation=seat, name="=loss", step=step, value=step / 2, time=now)
        for step in range(25)
    )
    return session


@pytest.fixture
def pieces(monkeypatch):
    monkeypatch.setattr(tables, "ROWS", 10)


def url(session, more="format=csv"):
    return f"/api/v1/sessions/{session.pk}/metrics?{more}"


def test_the_table_is_whole_and_comes_in_pieces(points, key, pieces, raw):
    answer = raw("GET", url(points), token=key)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="session-{points.pk}-metrics.csv"'
    header, *lines = csv.reader(io.StringIO(answer.body.decode()))
    assert tuple(header) == tables.HEADER
    assert [(line[0], line[3], float(line[5])) for line in lines] == [("anna", "'=loss", n / 2) for n in range(25)]


@pytest.mark.parametrize("asked", ["format=csv&limit=1", "limit=5&format=%63sv", "format=json&format=csv&after=3"])
def test_however_it_is_asked_for(points, key, raw, asked):
    assert raw("GET", url(points, asked), token=key).body.count(b"\n") == 26


def test_it_is_harmless_to_a_spreadsheet_and_a_value_that_is_not_finite_is_empty(points, key, raw):
    Metric.objects.filter(step=0).update(name="=1+1")
    Metric.objects.filter(step=24).update(name="train_loss", value=None)
    answer = raw("GET", url(points, "format=csv&limit=1"), token=key)
    header, *lines = answer.body.decode().splitlines()
    assert header == "client,round,attempt,name,step,value,time"
    assert len(lines) == 25
    assert lines[0].startswith("anna,1,1,'=1+1,0,0.0,") and lines[24].startswith("anna,1,1,train_loss,24,,")


@pytest.mark.parametrize("asked", ["format=csv&limit=0", "format=csv&after=-1", "format=csv&limit=many"])
def test_what_makes_no_sense_is_named(points, key, raw, asked):
    problem(raw("GET", url(points, asked), token=key), 422)


def test_who_is_no_operator_gets_none(points, raw):
    problem(raw("GET", url(points)), 401)
    problem(raw("GET", url(points), token="flk_guessed"), 401)
    problem(raw("GET", url(points), token=token_of("anna")), 403)


def test_a_session_that_is_not_there(points, key, raw):
    problem(raw("GET", f"/api/v1/sessions/{points.pk + 1}/metrics?format=csv", token=key), 404)


def revoke(alice):
    apikeys.revoke(ApiKey.objects.get(), now=timezone.now())


def deactivate(alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)


@pytest.mark.parametrize("act", [revoke, deactivate])
def test_a_reader_that_takes_nothing_costs_no_further_row_and_ends_with_its_key(points, alice, key, pieces, act):
    sent = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)
        if len(sent) == 3:
            await sync_to_async(act)(alice)
            await asyncio.Event().wait()

    async def main():
        async with asyncio.timeout(20):
            scope = _scope("GET", url(points), {"Authorization": f"Bearer {key}"}, None)
            await application(scope, receive, send)

    asyncio.run(main())
    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * 2
    assert sent[-1]["more_body"] and sent[-1]["body"].count(b"\n") == 10, "cut off, so that nobody takes it for whole"


def test_as_json_it_is_answered_elsewhere(points, key):
    with pytest.raises(AssertionError, match="not a raw route"):
        asyncio.run(request(application, "GET", url(points, "format=json"), token=key))
