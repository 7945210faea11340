"""One agent acts for a client; another with the same token is refused with a sentence that tells who."""

import json
import shutil
import stat
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from clientagent import instance as agent
from federation.errors import Invalid
from federation.models import Client
from federation.services import clients
from federation.services.clients import one_agent
from federation.services.clients.one_agent import HeldElsewhere, Instance
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


def starts(start, *after, at, since=0, host="one.example"):
    """An agent of a later version than 0.1.0."""
    return Instance(f"place of {host}", host, 11, at + timedelta(seconds=since), start=start, after=after)


def test_who_knows_the_present_start_succeeds_it_whatever_its_host_and_clock_say(enrol, now):
    enrol("anna")
    call(starts("a", at=now), now)
    call(starts("b", "a", at=now, since=-365 * 86400, host="another"), now)
    with pytest.raises(HeldElsewhere, match=r"on another"):
        call(starts("a", at=now), now)
    call(starts("d", "a", "b", "c", at=now), now)  # the server never heard of c


def test_a_copy_is_refused_however_late_it_says_that_it_started(enrol, now, settings):
    enrol("anna")
    call(starts("b", "a", at=now), now)
    copy = starts("c", at=now, since=3600)
    for stranger in (copy, starts("c", "a", at=now, since=3600)):
        with pytest.raises(HeldElsewhere):
            call(stranger, now)
    call(copy, now + settings.FL_ONLINE)  # silent by the server's clock


def test_an_agent_that_was_updated_in_its_place_and_back_succeeds_the_other_version(agents, now):
    first, _ = agents
    call(first, now)
    updated = replace(first, since=now + timedelta(seconds=1), start="a")
    call(updated, now)
    with pytest.raises(HeldElsewhere):
        call(first, now)
    call(replace(first, since=now + timedelta(seconds=2)), now)
    with pytest.raises(HeldElsewhere):
        call(updated, now)


def test_an_agent_that_left_and_comes_back_holds_its_client_again(enrol, agents, now):
    mine = starts("a", at=now)
    clients.leave(call(mine, now))
    call(mine, now)
    with pytest.raises(HeldElsewhere):
        call(agents[1], now)


class Folder:
    """A state folder as an agent leaves it when it is killed."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        (path / "lock").touch()

    def start(self, monkeypatch, *, host="box", days=0):
        monkeypatch.setattr("platform.node", lambda: host)
        header = agent.begin(self.path)
        header["since"] = (datetime.fromisoformat(header["since"]) + timedelta(days=days)).isoformat()
        return one_agent.parse(json.dumps(header))


@pytest.mark.parametrize("change", [{}, {"host": "another-container"}, {"days": -365}, {"days": 365}])
def test_an_agent_that_was_killed_starts_again_at_once(enrol, now, monkeypatch, tmp_path, change):
    enrol("anna")
    folder = Folder(tmp_path / "state")
    call(folder.start(monkeypatch), now)
    for _ in range(3):
        again = folder.start(monkeypatch, **change)
        call(again, now)
        call(again, now)
    call(folder.start(monkeypatch), now)


def test_a_folder_that_was_moved_or_given_to_another_user_is_no_copy(enrol, now, monkeypatch, tmp_path):
    enrol("anna")
    folder = Folder(tmp_path / "state")
    call(folder.start(monkeypatch), now)
    folder.path = folder.path.rename(tmp_path / "moved")
    (folder.path / "lock").chmod(0o600)
    call(folder.start(monkeypatch), now)


@pytest.mark.parametrize("host", ["box", "another-machine"])
def test_a_copied_folder_is_known_as_one(enrol, now, monkeypatch, tmp_path, host):
    enrol("anna")
    folder = Folder(tmp_path / "state")
    original = folder.start(monkeypatch)
    call(original, now)
    copy = Folder(tmp_path / "copy")
    shutil.copytree(folder.path, copy.path, dirs_exist_ok=True)
    for _ in range(2):  # its own second start makes it no better
        with pytest.raises(HeldElsewhere):
            call(copy.start(monkeypatch, host=host, days=1), now)
    call(original, now)
    call(replace(copy.start(monkeypatch, host=host), takes_over=True), now)
    call(copy.start(monkeypatch, host=host), now)
    with pytest.raises(HeldElsewhere):
        call(folder.start(monkeypatch), now)


def test_starts_are_for_their_owner_alone_and_what_cannot_be_read_is_no_start(monkeypatch, tmp_path):
    folder = Folder(tmp_path / "state")
    first = folder.start(monkeypatch)
    kept = folder.path / "starts.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert folder.start(monkeypatch).after == (first.start,)
    for broken in ("", "[]", '{"starts": 3}', '{"place": 1, "starts": []}'):
        kept.write_text(broken)
        assert folder.start(monkeypatch).after == ()


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
        one_agent.hold(read_before, second, now=now)


GOOD = {"id": "3f9c", "host": "a.example", "pid": 12, "since": "2026-01-01T00:00:00Z"}


def test_the_header_is_read(now):
    read = one_agent.parse(json.dumps(GOOD | {"take_over": True}))
    assert (read.id, read.host, read.pid, read.takes_over) == ("3f9c", "a.example", 12, True)


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""}, {"id": "x" * 65}, {"id": 3}, {"id": "a\x00b"}, {"host": None}, {"host": "h" * 254}, {"pid": "12"},
        {"pid": -1}, {"pid": 2**31}, {"pid": True}, {"since": "today"}, {"since": 5}, {"since": "2026-01-01T00:00:00"},
        {"since": "2026-13-01T00:00:00Z"}, {"take_over": "yes"},
        {"start": 5}, {"start": "x" * 65}, {"start": "a\x00b"}, {"start": None}, {"after": "abc"}, {"after": ["a"] * 9},
        {"after": [3]}, {"after": [""]}, {"after": [["a"]]}, {"after": {"a": 1}}, {"after": None},
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_is_refused_with_an_example(change):
    with pytest.raises(Invalid, match="FL-Agent-Instance must be a JSON object such as"):
        one_agent.parse(json.dumps(GOOD | change))


@pytest.mark.parametrize("header", ["", "agent", "[]", "3", "{}", "null"])
def test_a_header_that_is_something_else_is_refused(header):
    with pytest.raises(Invalid, match="FL-Agent-Instance must be a JSON object"):
        one_agent.parse(header)
