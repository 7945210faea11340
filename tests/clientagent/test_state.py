"""What is kept between starts, and what a killed agent leaves behind."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from clientagent.errors import Misconfigured
from clientagent.identity import identify
from clientagent.settings import Settings
from clientagent.state import Identity, State

GIVEN = Settings(server="https://a:1", join_code="code", name="site-a")


@pytest.fixture
def state(tmp_path: Path):
    with_lock = State(tmp_path / "state")
    yield with_lock
    with_lock.close()


def enrolled(state: State, **changes: str) -> Identity:
    identity = replace(Identity("https://a:1", "site-a", "t" * 64, client_id="7"), **changes)
    state.save(identity)
    return identity


def test_a_second_agent_on_one_folder_is_refused(state: State):
    with pytest.raises(Misconfigured, match="Another agent uses the state folder"):
        State(state.folder)


def test_the_folder_is_free_again_when_its_agent_ended(state: State):
    state.close()
    State(state.folder).close()


def test_a_folder_that_others_could_read_is_closed_to_them(tmp_path: Path):
    tmp_path.chmod(0o755)
    State(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_what_is_made_is_for_this_user_alone_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        state = State(tmp_path / "state")
        enrolled(state)
    finally:
        os.umask(before)
    state.close()
    made = [state.folder, *state.folder.rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be used: Not a directory"):
        State(tmp_path / "file" / "state")


def test_the_token_is_saved_before_the_server_hears_of_it(state: State):
    identity = identify(GIVEN, state)
    assert len(bytes.fromhex(identity.token)) == 32
    assert json.loads((state.folder / "identity.json").read_text())["token"] == identity.token


def test_an_agent_killed_while_it_enrolled_tries_the_same_again(state: State):
    first = identify(GIVEN, state)
    assert identify(Settings(), state) == first
    assert identify(GIVEN, state) == first


def test_another_name_or_server_gets_another_token(state: State):
    first = identify(GIVEN, state)
    assert identify(replace(GIVEN, name="site-b"), state).token != first.token
    assert identify(replace(GIVEN, server="https://b:1"), state).token != first.token


def test_once_enrolled_the_state_is_enough_and_a_code_is_ignored(state: State):
    identity = enrolled(state)
    assert identify(Settings(), state) == identity
    assert identify(Settings(join_code="another"), state) == identity


def test_a_server_that_moved_is_remembered(state: State):
    enrolled(state)
    identify(Settings(server="https://b:2"), state)
    assert identify(Settings(), state).server == "https://b:2"


def test_one_clients_state_is_not_for_another(state: State):
    enrolled(state)
    with pytest.raises(Misconfigured, match="belongs to 'site-a'. Give another --state for 'site-b'"):
        identify(replace(GIVEN, name="site-b"), state)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"server": 1}', '{"unknown": ""}'])
def test_an_unreadable_identity_is_not_thrown_away(state: State, content: str):
    (state.folder / "identity.json").write_text(content)
    with pytest.raises(Misconfigured, match=r"identity\.json cannot be read"):
        identify(GIVEN, state)
    assert (state.folder / "identity.json").read_text() == content


def test_an_identity_is_replaced_whole_or_not_at_all(state: State, monkeypatch):
    identity = enrolled(state)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        enrolled(state, token="u" * 64)
    assert state.identity() == identity


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_an_identity_that_does_not_fit_the_disk_leaves_the_one_before(state: State):
    identity = enrolled(state)
    (state.folder / "identity.tmp").symlink_to("/dev/full")
    with pytest.raises(Misconfigured, match=r"identity\.json cannot be written: No space left on device"):
        identify(Settings(server="https://b:2"), state)
    assert state.identity() == identity


def test_only_a_whole_update_of_the_same_work_is_taken_for_finished(state: State):
    from hashlib import sha256

    digest = sha256(b"update").hexdigest()
    state.unfinished().write_bytes(b"update")
    assert state.finished("work") is None
    kept = state.keep("work", digest)
    assert (kept.kept, state.finished("work")) == (False, replace(kept, kept=True))
    assert state.finished("other") is None
    kept.path.write_bytes(b"damag")
    assert state.finished("work") is None


def test_the_last_points_are_kept_with_their_update_alone(state: State):
    state.unfinished().write_bytes(b"older")
    state.keep("older", "a" * 64, [{"name": "train_loss", "step": step} for step in range(9)])
    assert len(state.points("older")) == 9
    state.unfinished().write_bytes(b"newer")
    state.keep("newer", "b" * 64, [{"name": "train_loss", "step": 2}])
    assert state.points("newer") == [{"name": "train_loss", "step": 2}]
    assert state.points("older") == []
    state.unfinished().write_bytes(b"newest")
    state.keep("newest", "c" * 64)
    assert state.points("newest") == []


@pytest.mark.parametrize("content", ["", "{", "3", "{}", '{"work": "work"}', '{"work": "work", "points": 3}'])
def test_points_that_cannot_be_read_cost_no_work(state: State, content: str):
    (state.updates / "points.json").write_text(content)
    assert state.points("work") == []


def test_the_next_update_takes_the_place_of_the_last(state: State):
    for number in (b"1", b"2"):
        state.unfinished().write_bytes(number)
        state.keep(number.decode(), "0" * 64)
    assert [path.name for path in state.updates.glob("*.safetensors")] == [f"2.{'0' * 64}.safetensors"]
    state.forget()
    assert list(state.updates.iterdir()) == [state.unfinished()]  # the next one is written over it


def test_what_was_half_written_is_cleared_away_at_the_next_start(state: State):
    state.unfinished().write_bytes(b"half")
    state.close()
    State(state.folder).close()
    assert not list(state.updates.iterdir())
