import asyncio
import json

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, transaction

from federation import events, feed
from federation.feed import SERVER_LOG, Feed
from federation.models import Event, ServerEvent
from federation.recent import Batch
from federation.services import rounds

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 10  # what is awaited here comes at once


@pytest.fixture(autouse=True)
def fresh():
    """The numbers of another test's logs mean nothing here."""
    feed.feed._cursors.clear()


@sync_to_async
def write(session, count=1, kind=Event.Kind.METRICS_REPORTED):
    for _ in range(count):
        with transaction.atomic():
            events.record(session.pk, kind)


@sync_to_async
@transaction.atomic
def write_to_server_log():
    events.record_server(ServerEvent.Kind.CLIENT_ONLINE)


def seqs(batch):
    return [event["seq"] for event in json.loads(batch.text)["events"]]


async def following(subscription):
    return await asyncio.wait_for(subscription.queue.get(), SECONDS)


async def begun(log_id):
    """Returns once the feed has looked at a log for the first time."""
    async with asyncio.timeout(SECONDS):
        while log_id not in feed.feed._cursors:
            await asyncio.sleep(0.001)


async def test_what_is_committed_reaches_whoever_watches(draft):
    session = await sync_to_async(draft)()
    with feed.feed.watch(session.pk) as subscription:
        await begun(session.pk)
        await write(session)
        batch = await following(subscription)
        while batch.last < 2:  # the first look may repeat the last event
            batch = await following(subscription)
    assert seqs(batch) == [2] and (batch.first, batch.last) == (2, 2)


async def test_every_browser_gets_it_encoded_once(draft):
    session = await sync_to_async(draft)()
    with feed.feed.watch(session.pk) as one, feed.feed.watch(session.pk) as other:
        await begun(session.pk)
        await write(session)
        first, second = await following(one), await following(other)
        while first.last < 2:
            first, second = await following(one), await following(other)
    assert first is second


async def test_other_sessions_are_not_heard(draft):
    session, other = await sync_to_async(draft)(), await sync_to_async(draft)(name="second")
    with feed.feed.watch(session.pk) as subscription:
        await begun(session.pk)
        await write(other)
        await write(session)
        batch = await following(subscription)
        while batch.last < 2:
            batch = await following(subscription)
    assert json.loads(batch.text)["events"][0]["kind"] == "metrics.reported"


async def test_the_servers_log_is_followed_like_a_sessions(db):
    with feed.feed.watch(SERVER_LOG) as subscription:
        await begun(SERVER_LOG)
        await write_to_server_log()
        assert seqs(await following(subscription)) == [1]


async def test_a_round_that_opens_ends_the_rest_after_a_look(draft, monkeypatch):
    rested = Feed()
    monkeypatch.setattr(feed, "REST_SECONDS", 6 * SECONDS)
    monkeypatch.setattr(events, "on_commit", [rested.wake])
    session = await sync_to_async(draft)()
    with rested.watch(session.pk) as subscription:
        assert (await following(subscription)).last == 1
        await write(session, kind=Event.Kind.ROUND_OPENED)
        assert (await following(subscription)).last == 2


@pytest.fixture
def quiet(monkeypatch):
    """A feed that looks only when told to."""
    quiet = Feed()
    monkeypatch.setattr(quiet, "_thread", object())
    return quiet


async def test_what_was_committed_between_reading_and_the_first_look_is_not_lost(draft, quiet):
    session = await sync_to_async(draft)()
    with quiet.watch(session.pk) as subscription:
        read = await sync_to_async(feed.read)(session.pk, 0)
        await write(session)
        await sync_to_async(quiet._look)()
        assert (read.last, (await following(subscription)).last) == (1, 2)


async def test_nothing_is_sent_twice_to_who_keeps_watching(draft, quiet):
    session = await sync_to_async(draft)()
    with quiet.watch(session.pk) as subscription:
        for _ in range(3):
            await sync_to_async(quiet._look)()
        await write(session, 2)
        await sync_to_async(quiet._look)()
        await asyncio.sleep(0)
        batches = [subscription.queue.get_nowait() for _ in range(subscription.queue.qsize())]
    assert [seqs(batch) for batch in batches] == [[1], [2, 3]]


async def test_a_slow_browsers_queue_is_bounded_and_others_miss_nothing(draft, quiet, monkeypatch):
    monkeypatch.setattr(feed, "QUEUE", 2)
    monkeypatch.setattr(feed, "BATCH", 1)
    session = await sync_to_async(draft)()
    with quiet.watch(session.pk) as slow:
        await sync_to_async(quiet._look)()
        await write(session, 5)
        await sync_to_async(quiet._look)()
        await asyncio.sleep(0)
        kept = [slow.queue.get_nowait().last for _ in range(slow.queue.qsize())]
        assert kept == [1, 2], "after a gap the browser reads from the database"
        await write(session)
        await sync_to_async(quiet._look)()
        assert (await following(slow)).first == 7


async def test_many_events_come_in_one_message_up_to_a_limit(draft, quiet, monkeypatch):
    monkeypatch.setattr(feed, "BATCH", 3)
    session = await sync_to_async(draft)()
    with quiet.watch(session.pk) as subscription:
        await sync_to_async(quiet._look)()
        await write(session, 4)
        await sync_to_async(quiet._look)()
        assert [seqs(await following(subscription)) for _ in range(3)] == [[1], [2, 3, 4], [5]]


async def test_a_deleted_session_disturbs_nobody(draft, quiet):
    session = await sync_to_async(draft)()
    with quiet.watch(session.pk):
        await sync_to_async(quiet._look)()
        await sync_to_async(session.delete)()
        await sync_to_async(quiet._look)()


async def test_whoever_stops_watching_is_forgotten(draft, quiet):
    session = await sync_to_async(draft)()
    with quiet.watch(session.pk):
        await sync_to_async(quiet._look)()
    assert not quiet._watched
    await sync_to_async(quiet._look)()
    assert not quiet._cursors


async def test_an_opened_round_wakes_the_agents_with_a_seat_and_no_others(enrol, running, now, quiet):
    anna, ben = await sync_to_async(enrol)("anna", "ben")
    session = await sync_to_async(running)(cohort_size=1)
    with quiet.waiting() as one, quiet.waiting() as other:
        quiet.join(one, anna.pk)
        quiet.join(other, ben.pk)
        await sync_to_async(quiet._look)()
        assert not one.woken.is_set() and not other.woken.is_set()
        await sync_to_async(rounds.advance)(session, now=now)
        await sync_to_async(quiet._look)()
        await asyncio.sleep(0)
        assert one.woken.is_set() != other.woken.is_set()


async def test_an_agent_that_hung_up_before_it_was_known_is_not_waited_for(enrol, quiet):
    (anna,) = await sync_to_async(enrol)("anna")
    with quiet.waiting() as place:
        pass
    quiet.join(place, anna.pk)
    assert not quiet._agents


async def test_a_loop_that_has_ended_disturbs_nobody(draft, quiet):
    session = await sync_to_async(draft)()

    def watch_and_end():
        ended = asyncio.new_event_loop()
        ended.close()
        return feed.Subscription(session.pk, ended)

    quiet._watched[session.pk].add(watch_and_end())
    with quiet.watch(session.pk) as subscription:
        await sync_to_async(quiet._look)()
        assert (await following(subscription)).last == 1


async def test_a_database_that_did_not_answer_is_asked_again(draft, monkeypatch):
    session = await sync_to_async(draft)()
    failures = [OperationalError("gone")]
    moved = Feed._moved

    def failing_once(self, *args):
        if failures:
            raise failures.pop()
        return moved(self, *args)

    with feed.feed.watch(session.pk) as subscription:
        await begun(session.pk)
        monkeypatch.setattr(Feed, "_moved", failing_once)
        await write(session)
        batch = await following(subscription)
        while batch.last < 2:
            batch = await following(subscription)
    assert not failures


@sync_to_async
def write_large(session, count, size):
    for _ in range(count):
        with transaction.atomic():
            events.record(session.pk, Event.Kind.METRICS_REPORTED, text="x" * size)


async def test_a_message_takes_no_more_once_it_is_large(draft):
    session = await sync_to_async(draft)()
    await write_large(session, 20, feed.MESSAGE_BYTES // 4)
    after, sizes = 0, []
    while batch := await sync_to_async(feed.read)(session.pk, after):
        assert seqs(batch) == list(range(after + 1, batch.last + 1)) and batch.first == after + 1
        sizes.append(len(batch.text))
        after = batch.last
    assert after == 21 and max(sizes) < feed.MESSAGE_BYTES * 5 // 4 and len(sizes) >= 5


async def test_one_event_that_is_larger_than_a_message_comes_alone(draft):
    session = await sync_to_async(draft)()
    await write_large(session, 2, feed.MESSAGE_BYTES * 2)
    batch = await sync_to_async(feed.read)(session.pk, 1)
    assert (batch.first, batch.last) == (2, 2)


async def test_what_waits_for_a_browser_that_does_not_listen_is_bounded_in_bytes(draft):
    session = await sync_to_async(draft)()
    with feed.feed.watch(session.pk) as subscription:
        large = Batch(1, 1, "x" * feed.MESSAGE_BYTES)
        for _ in range(feed.QUEUE):
            subscription.offer(large)
        assert subscription.queue.qsize() == feed.QUEUE_BYTES // feed.MESSAGE_BYTES
        subscription.queue.get_nowait()
        subscription.offer(large)
        subscription.offer(large)
        assert subscription.queue.qsize() == feed.QUEUE_BYTES // feed.MESSAGE_BYTES
