"""Models in another format are made once, kept for a while, and never many."""

import os

import pytest
from django.conf import settings

from federation import storage, tasks
from federation.errors import StorageFull
from federation.fl.files import torch_file
from federation.services import conversions, models, sessions
from tests.federation.cast import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stored(draft, alice, now):
    """Digests of stored models, each of its own session."""

    def stored(count):
        digests = []
        for number in range(count):
            session = draft(name=str(number), seed=number + 1)
            sessions.start(session, by=alice, now=now)
            models.request_initial(session, then=lambda: None)
            digests.append(session.last_model().digest)
        return digests

    return stored


@pytest.fixture
def made(monkeypatch):
    """Counts the conversions."""
    calls = []
    honest = torch_file.write

    def write(source, out):
        calls.append(source)
        honest(source, out)

    monkeypatch.setattr(torch_file, "write", write)
    return calls


def test_a_model_is_converted_once_by_however_many_at_once(stored, made):
    (digest,) = stored(1)
    assert conversions.kept(digest) is None
    files = at_once(*[lambda: conversions.make(digest)] * 6)
    assert set(files) == {conversions.kept(digest)} and len(made) == 1
    assert not list(settings.FL_SCRATCH_DIR.glob("*"))


def test_few_are_kept_those_used_last(stored, made, monkeypatch):
    monkeypatch.setattr(conversions, "MOST_FILES", 2)
    first, second, third = stored(3)
    for age, digest in ((30, first), (20, second)):
        file = conversions.make(digest)
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - age))
    assert conversions.kept(first)  # and with that used
    conversions.make(third)
    assert [conversions.kept(digest) is not None for digest in (first, second, third)] == [True, False, True]


def test_they_are_bounded_in_bytes_and_the_newest_stays(stored, monkeypatch):
    monkeypatch.setattr(conversions, "MOST_BYTES", 1)
    first, second = stored(2)
    conversions.make(first)
    assert conversions.kept(first)
    conversions.make(second)
    assert conversions.kept(first) is None and conversions.kept(second)


def test_who_reads_one_that_goes_reads_on(stored):
    (digest,) = stored(1)
    with conversions.make(digest).open("rb") as file:
        conversions.sweep(unused_seconds=0)
        assert conversions.kept(digest) is None
        assert len(file.read()) > 100


def test_what_is_not_asked_for_any_more_or_has_no_model_goes_within_the_hour(stored, enqueued):
    old, gone, used = stored(3)
    for digest in (old, gone, used):
        conversions.make(digest)
    os.utime(conversions.kept(old), (0, 0))
    storage.path(gone).unlink()
    tasks.prune()
    assert [conversions.kept(digest) is not None for digest in (old, gone, used)] == [False, False, True]


def test_a_full_disk_makes_none_and_what_there_is_makes_room(stored, monkeypatch, enqueued):
    first, second = stored(2)
    conversions.make(first)
    monkeypatch.setattr(storage.room, "SPARE_BYTES", 1 << 60)
    with pytest.raises(StorageFull):
        conversions.make(second)
    tasks.expire()
    assert conversions.kept(first) is None


def test_a_half_upload_makes_room_on_a_full_disk(monkeypatch, enqueued):
    old, new = storage.upload_path(1), storage.upload_path(2)
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (old.stat().st_atime, old.stat().st_mtime - tasks.HALF_UPLOAD_SECONDS))
    tasks.expire()
    assert old.exists(), "there is room"
    monkeypatch.setattr(storage.room, "SPARE_BYTES", 1 << 60)
    tasks.expire()
    assert not old.exists() and new.exists()
