import errno
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
    old, young, upload = storage.scratch_path(), storage.scratch_path(), storage.upload_path(7)
    for file in (old, young, upload):
        file.write_bytes(b"half")
    yesterday = time.time() - 90_000
    os.utime(old, (yesterday, yesterday))
    os.utime(upload, (yesterday, yesterday))
    storage.sweep()
    assert (old.exists(), young.exists(), upload.exists()) == (False, True, False)


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
    monkeypatch.setattr(storage, "SPARE_BYTES", 1 << 60)
    assert storage.is_full()
    with pytest.raises(StorageFull):
        storage.require_room()
