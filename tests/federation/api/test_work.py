import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.utils import timezone

from federation.api import work
from federation.api.head import Head
from federation.feed import feed
from federation.fl import sampling, workloads
from federation.lifecycle import SeatStatus
from federation.models import Client, TrainingSession
from federation.services import clients, rounds, sessions
from tests.federation.api.conftest import application, problem
from tests.federation.asgi import request
from tests.federation.cast import seat_of, send, settle, token_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_work_of_a_compressed_session_tells_how(open_round, raw):
    open_round("anna", compression="topk", compression_options={"fraction": 0.2})
    work = raw("GET", "/api/v1/work?wait=0", by="anna").json()
    assert (work["encoding"], work["encoding_options"]) == ("topk", {"fraction": 0.2})


async def polling(*names):
    """Returns once these clients wait for work."""
    ids = set(await sync_to_async(list)(Client.objects.filter(name__in=names).values_list("pk", flat=True)))
    async with asyncio.timeout(10):
        while not ids <= set(feed._agents):
            await asyncio.sleep(0.005)


def test_the_work_has_exactly_the_members_of_the_contract(open_round, raw):
    round_ = open_round("anna", seed=5)
    session, base, seat = round_.session, round_.base_model, seat_of("anna")
    answer = raw("GET", "/api/v1/work?wait=0", by="anna")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "participation": str(seat.pk),
        "kind": "train",
        "session": {"id": str(session.pk), "name": "first"},
        "round": 1,
        "attempt": 1,
        "workload": {
            "name": "synthetic",
            "version": "1",
            "digest": workloads.get("synthetic").digest(),
            "options": {"num_parameters": 10},
        },
        "config": {
            "epochs": 1,
            "batch_size": 32,
            "learning_rate": 0.1,
            "seed": sampling.client_seed(5, 1, "anna"),
        },
        "base_model": {
            "version": 0,
            "digest": base.digest,
            "num_bytes": base.num_bytes,
            "url": f"/api/v1/models/{base.digest}",
        },
        "update_url": f"/api/v1/participations/{seat.pk}/update",
        "part_bytes": 16 << 20,
        "max_put_bytes": 8 << 20,
        "encoding": "float32",
        "extra_tensors": [],
        "last_update": None,
        "buffers": [],
        "deadline": round_.deadline.isoformat(),
    }


def test_the_same_work_is_offered_until_the_seat_has_reported(open_round, raw, now):
    open_round("anna", "ben")
    first, again = (raw("GET", "/api/v1/work?wait=0", by="anna") for _ in range(2))
    assert first.json() == again.json()
    assert seat_of("anna").status == SeatStatus.TRAINING
    send("anna", now=now)
    answer = raw("GET", "/api/v1/work?wait=0", by="anna")
    assert (answer.status, answer.body) == (204, b"")


def test_there_is_none_after_the_wait(enrol, raw):
    enrol("anna")
    assert raw("GET", "/api/v1/work?wait=0.05", by="anna").status == 204


@pytest.mark.parametrize("wait", ["", "-1", "61", "nan", "inf", "soon", "1e9"])
def test_a_wait_is_0_to_60_seconds(enrol, raw, wait):
    enrol("anna")
    assert "0 to 60" in problem(raw("GET", f"/api/v1/work?wait={wait}", by="anna"), 422, field="wait")


def test_an_opened_round_wakes_the_poll_at_once(enrol, running, now):
    """The wait is longer than this test may take; nothing but the feed can end it."""
    enrol("anna")
    session = running()

    async def poll_and_open():
        poll = asyncio.create_task(request(application, "GET", "/api/v1/work?wait=60", token=token_of("anna")))
        await polling("anna")
        await sync_to_async(rounds.advance)(session, now=now)
        return await poll

    answer = asyncio.run(poll_and_open())
    assert answer.status == 200 and answer.json()["round"] == 1


def test_only_those_with_a_seat_are_woken(enrol, running, now):
    enrol("anna", "ben")
    session = running(cohort_size=1)

    async def poll_and_open():
        polls = {
            name: asyncio.create_task(request(application, "GET", "/api/v1/work?wait=0.5", token=token_of(name)))
            for name in ("anna", "ben")
        }
        await polling("anna", "ben")
        await sync_to_async(rounds.advance)(session, now=now)
        return {name: (await poll).status for name, poll in polls.items()}

    assert sorted(asyncio.run(poll_and_open()).values()) == [200, 204]


def test_who_hangs_up_is_not_waited_for(enrol):
    enrol("anna")

    async def hang_up():
        gone = asyncio.Event()
        poll = request(application, "GET", "/api/v1/work?wait=60", token=token_of("anna"), hung_up=gone)
        poll = asyncio.create_task(poll)
        await polling("anna")
        gone.set()
        await poll

    asyncio.run(hang_up())


def test_a_client_that_waits_is_online_all_the_while(enrol, settings):
    enrol("anna")
    settings.FL_ONLINE = timedelta(seconds=0.6)

    async def poll_and_look():
        poll = asyncio.create_task(request(application, "GET", "/api/v1/work?wait=1", token=token_of("anna")))
        await asyncio.sleep(0.8)
        online = await sync_to_async(Client.objects.online(timezone.now()).exists)()
        await poll
        return online

    assert asyncio.run(poll_and_look())


def test_it_is_refreshed_often_enough_for_whatever_counts_as_online(settings):
    for seconds in (1, 10, 45, 3600):
        settings.FL_ONLINE = timedelta(seconds=seconds)
        assert work.refresh_seconds() < seconds


def test_a_client_that_comes_back_may_be_what_a_session_waited_for(enrol, raw, enqueued):
    (anna,) = enrol("anna")
    raw("GET", "/api/v1/work?wait=0", by="anna")
    assert enqueued == []
    clients.leave(anna)
    raw("GET", "/api/v1/work?wait=0", by="anna")
    assert enqueued == [("advance_all",)]


def test_a_client_that_was_disabled_while_it_waited_gets_no_work(enrol, running, now):
    (anna,) = enrol("anna")
    session = running()

    async def poll_and_disable():
        poll = asyncio.create_task(request(application, "GET", "/api/v1/work?wait=0.3", token=token_of("anna")))
        await polling("anna")
        await sync_to_async(clients.set_enabled)(anna, False, by="alice")
        await sync_to_async(rounds.advance)(session, now=now)
        return await poll

    assert asyncio.run(poll_and_disable()).status == 204


def test_the_work_of_the_next_round_names_the_next_model(open_round, raw, now):
    session = open_round("anna").session
    send("anna", now=now)
    settle(session, now=now)
    work_ = raw("GET", "/api/v1/work?wait=0", by="anna").json()
    assert (work_["round"], work_["base_model"]["version"]) == (2, 1)


def test_a_cancelled_session_has_no_work(open_round, raw, alice, now):
    session = open_round("anna").session
    sessions.cancel(session, by=alice, now=now)
    assert raw("GET", "/api/v1/work?wait=0", by="anna").status == 204


def test_without_a_valid_token_there_is_no_answer(enrol, raw, key):
    enrol("anna")
    problem(raw("GET", "/api/v1/work?wait=0"), 401)
    problem(raw("GET", "/api/v1/work?wait=0", token="0" * 64), 401)
    problem(raw("GET", "/api/v1/work?wait=0", headers={"Authorization": "Basic YTpi"}), 401)
    problem(raw("GET", "/api/v1/work?wait=0", token="flk_guessed"), 401)
    problem(raw("GET", "/api/v1/work?wait=0", token=key), 403)


def test_a_disabled_client_is_told_so(enrol, raw):
    (anna,) = enrol("anna")
    clients.set_enabled(anna, False, by="alice")
    assert "disabled" in problem(raw("GET", "/api/v1/work?wait=0", by="anna"), 403)


def test_other_methods_are_refused(enrol, raw):
    enrol("anna")
    answer = raw("POST", "/api/v1/work", by="anna")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET"


def test_asking_costs_a_handful_of_queries(open_round, django_assert_max_num_queries):
    open_round("anna")
    headers = {"authorization": f"Bearer {token_of('anna')}"}
    with django_assert_max_num_queries(7):  # two of them begin and end the transaction
        work._first_look(Head(headers), None)
    with django_assert_max_num_queries(2):
        work._first_look(Head(headers), None)


def test_the_deadline_is_the_extended_one(open_round, raw):
    session = open_round("anna").session
    rounds.extend(TrainingSession.objects.get(pk=session.pk), seconds=60, by="alice")
    deadline = session.round_set.get().deadline
    assert raw("GET", "/api/v1/work?wait=0", by="anna").json()["deadline"] == deadline.isoformat()


def test_a_database_that_is_away_is_told_with_when_to_come_again(open_round, raw, monkeypatch):
    def away(client):
        raise OperationalError("the database is not there")

    monkeypatch.setattr(work, "look", away)
    monkeypatch.setattr("federation.api.threads.connections.close_all", lambda: None)
    open_round("anna")
    answer = raw("GET", "/api/v1/work?wait=0", by="anna")
    assert "The database does not answer now" in problem(answer, 503)
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("wait", ["nan", "inf", "-1", "61", "1e400", "1_0", "%D9%A1", "%C2%B2", "9" * 5000, "%00"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(enrol, raw, wait):
    enrol("anna")
    said = problem(raw("GET", f"/api/v1/work?wait={wait}", by="anna"), 422, field="wait")
    assert len(said) < 400


FIRST_VERSION = "abb202974e493e2817943f6dcfc766b8affc727084d6a48fa987b87707b89bcc"  # of `synthetic`, in 0.1.0


@pytest.mark.parametrize("made_with", ["today's", FIRST_VERSION])
def test_each_client_is_told_its_own_source_of_the_workload_where_it_trains_the_same(open_round, raw, now, made_with):
    """An upgrade of the server, or of some agents, ends no session."""
    here = workloads.get("synthetic").digest()
    open_round("anna", "ben", "cleo")
    if made_with == FIRST_VERSION:
        TrainingSession.objects.update(workload_digest=FIRST_VERSION, workload_version="")
    clients.tell(Client.objects.get(name="anna"), {"workloads": {"synthetic": FIRST_VERSION}}, now=now)
    clients.tell(Client.objects.get(name="ben"), {"workloads": {"synthetic": here}}, now=now)
    told = {name: raw("GET", "/api/v1/work?wait=0", by=name).json()["workload"] for name in ("anna", "ben", "cleo")}
    of_session = here if made_with == "today's" else FIRST_VERSION
    assert {name: each["digest"] for name, each in told.items()} == {
        "anna": FIRST_VERSION,
        "ben": here,
        "cleo": of_session,
    }


def test_a_client_with_other_code_is_told_the_sessions(open_round, raw, now):
    open_round("anna")
    clients.tell(Client.objects.get(name="anna"), {"workloads": {"synthetic": "e" * 64}}, now=now)
    work = raw("GET", "/api/v1/work?wait=0", by="anna").json()
    assert work["workload"]["digest"] == workloads.get("synthetic").digest()
