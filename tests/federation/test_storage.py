import errno
import hashlib
import os
import time

import pytest

from federation import storage
from federation.errors import StorageFull

DIGEST = "ab" * 32


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.new"
    path.write_bytes(b"weights")
    return path


def test_a_file_is_kept_under_its_digest(file):
    storage.put(file, DIGEST)
    assert storage.path(DIGEST).read_bytes() == b"weights"
    assert not file.exists()


def test_the_same_content_again_is_the_same_file(file):
    storage.put(file, DIGEST)
    file.write_bytes(b"weights")
    storage.put(file, DIGEST)
    assert storage.path(DIGEST).read_bytes() == b"weights"


def test_what_is_left_of_a_file_in_the_making_is_removed():
    with pytest.raises(ZeroDivisionError), storage.scratch() as made:
        made.write_bytes(b"half")
        _ = 1 / 0
    assert not made.exists()


def test_a_scratch_file_that_was_put_is_nobodys_any_more():
    with storage.scratch() as made:
        made.write_bytes(b"weights")
        storage.put(made, DIGEST)
    assert storage.exists(DIGEST)


def test_deleting_what_is_not_there_is_harmless(file):
    storage.put(file, DIGEST)
    storage.delete([DIGEST, "cd" * 32])
    assert not storage.exists(DIGEST)


def test_sweeping_removes_what_a_killed_process_left_a_day_ago():
    old, young, folder, upload = *(storage.scratch_path() for _ in range(3)), storage.upload_path(7)
    folder.mkdir()  # of a restore
    for file in (old, young, upload, folder / "db.sqlite3"):
        file.write_bytes(b"half")
    yesterday = time.time() - 90_000
    for left in (old, upload, folder):
        os.utime(left, (yesterday, yesterday))
    storage.sweep()
    assert [left.exists() for left in (old, young, upload, folder)] == [False, True, False, False]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_refusal_in_words(number):
    with pytest.raises(StorageFull, match="disk is full"), storage.refusing_when_full():
        raise OSError(number, os.strerror(number))


def test_another_error_of_the_system_is_not_taken_for_a_full_disk():
    with pytest.raises(PermissionError), storage.refusing_when_full():
        raise PermissionError(errno.EACCES, "no")


def test_the_disk_counts_as_full_when_only_the_spare_room_is_left(monkeypatch):
    assert not storage.is_full()
    storage.require_room()
    monkeypatch.setattr(storage.room, "SPARE_BYTES", 1 << 60)
    assert storage.is_full()
    with pytest.raises(StorageFull):
        storage.require_room()


@pytest.fixture
def kept():
    """The digest of a file in the store."""
    digest = hashlib.sha256(b"weights").hexdigest()
    with storage.scratch() as file:
        file.write_bytes(b"weights")
        storage.put(file, digest)
    return digest


def damaged(digest):
    with storage.Check([digest]) as check:
        return check.damaged(lambda: None)


def test_a_file_that_was_written_a_moment_ago_is_not_read_again(kept, monkeypatch):
    monkeypatch.setattr(storage.wholeness, "digest_of", lambda *_: "read")
    assert damaged(kept) == set()


def test_a_file_that_was_written_long_ago_is_read(kept, monkeypatch):
    monkeypatch.setattr(storage.wholeness, "CACHED_SECONDS", 0.0)
    assert damaged(kept) == set()
    monkeypatch.setattr(storage.wholeness, "digest_of", lambda *_: "of other bytes")
    assert damaged(kept) == {kept}


@pytest.mark.parametrize("how", ["written", "removed"])
def test_a_file_that_was_changed_since_is_found(kept, how):
    file = storage.path(kept)
    file.write_bytes(b"weighed") if how == "written" else file.unlink()
    assert damaged(kept) == {kept}


def test_what_was_seen_is_forgotten_at_last(kept, monkeypatch):
    monkeypatch.setattr(storage.wholeness, "MOST_SEEN", 2)
    for number in range(5):
        with storage.scratch() as file:
            file.write_bytes(b"%d" % number)
            storage.put(file, hashlib.sha256(b"%d" % number).hexdigest())
    assert len(storage.wholeness._seen_whole) == 2
