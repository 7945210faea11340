"""One agent acts for a client; another with the same token is refused with a sentence that tells who."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from federation.errors import Invalid
from federation.models import Client
from federation.services import clients, instances
from federation.services.instances import HeldElsewhere, Instance
from tests.federation.cast import token_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def agents(enrol, now):
    """Two agents in two places, with the token of one client."""
    enrol("anna")
    first = Instance("place-1", "one.example", 11, now)
    return first, Instance("place-2", "two.example", 22, now + timedelta(seconds=1))


def call(instance, at):
    return clients.authenticate(token_of("anna"), now=at, instance=instance)


def test_the_second_is_refused_and_told_who_was_first(agents, now):
    first, second = agents
    call(first, now)
    with pytest.raises(HeldElsewhere, match=f"process 11 on one.example, since {now:%Y-%m-%d %H:%M:%S} UTC") as refused:
        call(second, now)
    assert refused.value.status == 409 and refused.value.headers == {"FL-Agent-Held": "1"}
    assert "--take-over" in str(refused.value)
    call(first, now)


def test_a_refused_agent_is_no_sign_of_life(agents, now):
    first, second = agents
    call(first, now)
    with pytest.raises(HeldElsewhere):
        call(second, now + timedelta(seconds=30))
    assert Client.objects.get().last_seen == now


def test_an_agent_that_takes_over_ends_the_first(agents, now):
    first, second = agents
    call(first, now)
    call(replace(second, takes_over=True), now)
    call(second, now)
    with pytest.raises(HeldElsewhere, match=r"process 22 on two\.example"):
        call(first, now)


def test_a_silent_agent_gives_way(agents, now, settings):
    first, second = agents
    call(first, now)
    call(second, now + settings.FL_ONLINE)
    with pytest.raises(HeldElsewhere):
        call(first, now + settings.FL_ONLINE)


def test_an_agent_that_left_gives_way(agents, now):
    first, second = agents
    clients.leave(call(first, now))
    call(second, now)


def test_a_later_start_in_the_same_place_is_the_successor_and_an_earlier_one_is_not(agents, now):
    first, _ = agents
    call(first, now)
    later = replace(first, pid=33, since=first.since + timedelta(seconds=5))
    call(later, now)
    with pytest.raises(HeldElsewhere, match="process 33"):
        call(first, now)


def test_who_does_not_tell_is_not_asked(agents, now):
    first, _ = agents
    call(first, now)
    call(None, now)
    call(first, now)


def test_of_two_that_come_at_once_one_wins(agents, now):
    first, second = agents
    read_before = Client.objects.get()
    call(first, now)
    with pytest.raises(HeldElsewhere, match="process 11"):
        instances.hold(read_before, second, now=now)


GOOD = {"id": "3f9c", "host": "a.example", "pid": 12, "since": "2026-01-01T00:00:00Z"}


def test_the_header_is_read(now):
    read = instances.parse(json.dumps(GOOD | {"take_over": True}))
    assert (read.id, read.host, read.pid, read.takes_over) == ("3f9c", "a.example", 12, True)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""}, {"id": "x" * 65}, {"id": 3}, {"id": "a\x00b"}, {"host": None}, {"host": "h" * 254}, {"pid": "12"},
        {"pid": -1}, {"pid": 2**31}, {"pid": True}, {"since": "today"}, {"since": 5}, {"since": "2026-01-01T00:00:00"},
        {"since": "2026-13-01T00:00:00Z"}, {"take_over": "yes"},
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_is_refused_with_an_example(change):
    with pytest.raises(Invalid, match="FL-Agent-Instance must be a JSON object such as"):
        instances.parse(json.dumps(GOOD | change))


@pytest.mark.parametrize("header", ["", "agent", "[]", "3", "{}", "null"])
def test_a_header_that_is_something_else_is_refused(header):
    with pytest.raises(Invalid, match="FL-Agent-Instance must be a JSON object"):
        instances.parse(header)
