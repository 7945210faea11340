"""What unfinished updates may take of the disk together."""

import contextlib
import fcntl
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import storage
from federation.errors import StorageFull
from federation.storage import arriving

MB = 1 << 20


@pytest.fixture
def disk(settings, tmp_path, monkeypatch):
    """30 MB are free beyond the reserve, so unfinished updates may take 10 MB. What they take counts as free space."""
    settings.FL_UPLOADS_DIR = tmp_path / "uploads"
    settings.FL_UPLOADS_DIR.mkdir()

    def free_bytes():
        return storage.room.SPARE_BYTES + 30 * MB - sum(p.stat().st_blocks * 512 for p in tmp_path.rglob("*.part"))

    monkeypatch.setattr(storage.room, "free_bytes", free_bytes)


@pytest.fixture
def receiving(disk):
    return arriving.Arriving()


def rest(name, num_bytes, *, seconds_ago=0):
    """Leave an unfinished upload."""
    path = storage.upload_path(name) if isinstance(name, int) else storage.model_upload_path(9)
    path.write_bytes(b"x" * num_bytes)
    at = path.stat().st_mtime - seconds_ago
    os.utime(path, (at, at))
    return path


def test_updates_that_are_received_at_the_same_time_share_a_third_of_what_is_free(receiving):
    with receiving.room_for(storage.upload_path(1), 6 * MB), receiving.room_for(storage.upload_path(2), 4 * MB):
        with (
            pytest.raises(StorageFull, match="as many updates") as refused,
            receiving.room_for(storage.upload_path(3), MB),
        ):
            pytest.fail("there is no room")
        assert refused.value.headers == {"Retry-After": "2"}
    with receiving.room_for(storage.upload_path(3), MB):
        pass


def test_a_single_one_may_have_whatever_is_free(receiving):
    with receiving.room_for(storage.upload_path(1), 29 * MB):
        pass


def test_small_ones_are_always_received(receiving):
    with receiving.room_for(storage.upload_path(1), 29 * MB):
        with receiving.room_for(storage.upload_path(2), arriving.SMALL_BYTES):
            pass
        with pytest.raises(StorageFull), receiving.room_for(storage.upload_path(2), arriving.SMALL_BYTES + 1):
            pass


def test_what_nobody_sends_makes_room_the_oldest_first_and_no_more_than_needed(receiving):
    old, older, new = rest(1, 4 * MB, seconds_ago=50), rest(2, 4 * MB, seconds_ago=90), rest(3, MB)
    with receiving.room_for(storage.upload_path(4), 4 * MB):
        assert (old.exists(), older.exists(), new.exists()) == (True, False, True)


def test_what_another_process_receives_and_what_operators_send_stays(receiving):
    theirs, operators = rest(1, 8 * MB, seconds_ago=90), rest("model", 20 * MB, seconds_ago=90)
    with theirs.open("r+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with (
            receiving.room_for(storage.upload_path(2), 200_000),
            pytest.raises(StorageFull),
            receiving.room_for(storage.upload_path(3), 3 * MB),
        ):
            pytest.fail("there is no room")
    assert theirs.exists() and operators.exists()


def test_an_upload_that_begins_anew_at_this_moment_is_not_removed_for_the_earlier_one(receiving, monkeypatch):
    earlier, lock = rest(1, 8 * MB, seconds_ago=90), fcntl.flock

    def locked(handle, how):
        earlier.unlink()
        rest(1, MB)
        lock(handle, how)

    monkeypatch.setattr(arriving.fcntl, "flock", locked)
    with receiving.room_for(storage.upload_path(2), 6 * MB):
        assert earlier.stat().st_size == MB


def test_an_upload_that_goes_on_is_not_counted_twice_nor_removed_for_itself(receiving):
    own = rest(1, 6 * MB, seconds_ago=90)
    with receiving.room_for(own, 9 * MB):
        assert own.exists()


@given(st.lists(st.tuples(st.integers(1, 12 * MB), st.booleans()), max_size=30))
def test_whoever_comes_and_goes_no_more_than_the_share_is_promised(sizes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arriving, "_unfinished", list)
        patch.setattr(storage.room, "free_bytes", lambda: storage.room.SPARE_BYTES + 30 * MB)
        receiving, open_ones = arriving.Arriving(), []
        for number, (size, one_ends) in enumerate(sizes):
            promise = contextlib.ExitStack()
            with contextlib.suppress(StorageFull):
                promise.enter_context(receiving.room_for(storage.upload_path(number), size))
                open_ones.append((size, promise))
            large = [size for size, _ in open_ones if size > arriving.SMALL_BYTES]
            assert sum(large) <= 10 * MB or len(large) == 1
            if one_ends and open_ones:
                open_ones.pop(0)[1].close()
        for _, promise in open_ones:
            promise.close()
        with receiving.room_for(storage.upload_path(0), 10 * MB):
            pass
