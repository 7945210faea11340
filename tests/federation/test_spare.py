"""Files that are given up serve again, and nobody ever sees in one what it was before."""

import errno
import hashlib
import mmap
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from federation import storage
from federation.storage import spare

OLD = b"an older update, which nobody needs"
DIGEST = hashlib.sha256(OLD).hexdigest()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(spare, "LEAST_BYTES", 8)


def put(content: bytes = OLD) -> str:
    digest = hashlib.sha256(content).hexdigest()
    with storage.scratch() as file:
        file.write_bytes(content)
        storage.put(file, digest)
    return digest


def spares() -> list[bytes]:
    return [file.read_bytes() for file, _, _ in spare._kept()]


@pytest.fixture
def given_up():
    """A file that was stored and given up. Its number is what tells it from a new one."""
    digest = put()
    number = storage.path(digest).stat().st_ino
    storage.delete([digest], spare=True)
    return number


def test_a_file_that_is_given_up_leaves_the_store_and_is_written_over(given_up):
    assert not storage.exists(DIGEST) and not storage.was_whole(DIGEST) and spares() == [OLD]
    taken = spare.take(len(OLD))
    assert taken.stat().st_ino == given_up and spares() == []
    assert spare.take(len(OLD)) is None, "nobody gets it twice"


def test_what_is_deleted_otherwise_is_gone():
    storage.delete([put()])
    assert spares() == []


@pytest.mark.parametrize("how", ["read", "written", "mapped", "linked"])
def test_a_file_that_somebody_still_reads_is_not_written_over(given_up, tmp_path, how):
    ((file, _, _),) = spare._kept()
    with file.open("r+b" if how == "written" else "rb") as handle:
        view = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) if how == "mapped" else None
        if view:
            handle.close()
        if how == "linked":
            os.link(file, tmp_path / "another name")
            handle.close()
        assert spare.take(len(OLD)) is None
        assert (view[:] if view else OLD) == OLD
        assert spares() == [], "it is removed, and its readers go on with it"


def test_after_its_readers_closed_it_a_file_serves_again():
    digest = put()
    with storage.path(digest).open("rb") as reader:
        storage.delete([digest], spare=True)
        assert reader.read() == OLD
    assert spare.take(len(OLD)) is not None


def test_the_file_that_fits_best_is_taken():
    for size in (90, 400, 100, 125):
        storage.delete([put(bytes(size))], spare=True)
    assert [file.stat().st_size for file in (spare.take(110), spare.take(110), spare.take(110))] == [100, 125, 90]
    assert spare.take(110) is None, "one much too large is left for those that need it"


def test_small_files_are_not_worth_it(monkeypatch):
    monkeypatch.setattr(spare, "LEAST_BYTES", len(OLD) + 1)
    storage.delete([put()], spare=True)
    assert spares() == [] and not storage.exists(DIGEST)


def test_a_small_upload_takes_no_file(given_up):
    assert spare.take(7) is None and spares() == [OLD]


@pytest.mark.parametrize(
    "limit, value", [("MOST_FILES", 2), ("MOST_BYTES", 2 * len(OLD) + 1), ("MOST_OF_FREE", 1 << 60)]
)
def test_so_many_files_and_bytes_are_kept_at_most(monkeypatch, limit, value):
    monkeypatch.setattr(spare, limit, value)
    digests = [put(OLD[:-1] + bytes([last])) for last in range(4)]
    storage.delete(digests, spare=True)
    assert len(spares()) == (0 if limit == "MOST_OF_FREE" else 2)
    assert not any(map(storage.exists, digests))


def test_one_that_nobody_takes_is_removed_at_last(given_up):
    spare.drop()
    assert spares() == [OLD]
    ((file, _, _),) = spare._kept()
    os.utime(file, (time.time() - 700,) * 2)
    spare.drop()
    assert spares() == []


def test_its_time_begins_when_it_is_given_up():
    """An old update must not be swept as an upload that stood still."""
    digest = put()
    os.utime(storage.path(digest), (1, 1))
    storage.delete([digest], spare=True)
    storage.sweep_uploads()
    spare.drop()
    assert spares() == [OLD]
    taken = spare.take(len(OLD))
    storage.sweep_uploads()
    assert taken.exists()


@pytest.mark.parametrize("why", ["elsewhere", "cannot tell"])
def test_where_it_cannot_be_done_the_file_is_removed(monkeypatch, why):
    digest = put()
    if why == "elsewhere":

        def refuse(*_):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(spare.os, "rename", refuse)
    else:
        monkeypatch.setattr(spare, "CAN_TELL", False)
    storage.delete([digest], spare=True)
    assert spares() == [] and not storage.exists(digest)


def test_on_a_file_system_that_cannot_say_who_reads_none_is_taken(given_up, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(spare.fcntl, "fcntl", refuse)
    assert spare.take(len(OLD)) is None


def test_a_file_that_is_missing_is_no_trouble():
    storage.delete(["cd" * 32], spare=True)
    assert spares() == []


@given(some.lists(some.tuples(some.booleans(), some.integers(1, 60)), max_size=12))
def test_whatever_comes_and_goes_each_file_has_one_holder(moves):
    spare.drop(unused_seconds=0)
    kept, held = 0, set()
    for number, (gives, size) in enumerate(moves):
        if gives:
            storage.delete([put(bytes([number]) + bytes(size))], spare=True)
            kept += size + 1 >= spare.LEAST_BYTES
        elif taken := spare.take(size):
            assert taken not in held and taken.stat().st_size <= 2 * size
            held.add(taken)
            kept -= 1
        assert len(spares()) == kept
