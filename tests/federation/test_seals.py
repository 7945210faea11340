"""A second look at a large file by its seal: as sure as one by its SHA-256."""

import errno
import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as some

from federation import storage
from federation.storage import seals, wholeness
from tests.federation.cast import seat_of, send

WEIGHTS = b"the weights of an update" * 100


def sealed(content: bytes = WEIGHTS) -> bytes:
    seal = seals.Seal()
    seal.update(memoryview(content))
    return seal.finish(hashlib.sha256(content).hexdigest())


@pytest.fixture
def kept():
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    with storage.scratch() as file:
        file.write_bytes(WEIGHTS)
        storage.put(file, digest, seal=sealed())
    return digest


@pytest.fixture
def hashed(monkeypatch):
    """The files whose SHA-256 was taken."""
    files, digest_of = [], wholeness.digest_of

    def noted(file, *rest):
        files.append(file)
        return digest_of(file, *rest)

    monkeypatch.setattr(wholeness, "digest_of", noted)
    return files


def damaged(digest: str, monkeypatch) -> bool:
    """As an aggregation finds it that begins long after the file came."""
    monkeypatch.setattr(wholeness, "CACHED_SECONDS", 0.0)
    with storage.Check([digest]) as check:
        return check.damaged(lambda: None) == {digest}


def test_a_sealed_file_is_not_hashed_again(kept, hashed, monkeypatch):
    assert not damaged(kept, monkeypatch) and hashed == []


@pytest.mark.parametrize("harm", ["flipped", "cut", "longer", "gone", "another"])
def test_harm_that_leaves_the_seal_is_found(kept, monkeypatch, harm):
    file = storage.path(kept)
    with file.open("r+b") as handle:
        if harm == "flipped":
            handle.write(bytes([WEIGHTS[0] ^ 0x10]))
        elif harm == "another":
            handle.write(b"b" * len(WEIGHTS))
        elif harm == "longer":
            handle.seek(0, os.SEEK_END)
            handle.write(b"\0")
        else:
            handle.truncate(len(WEIGHTS) - 1)
    if harm == "gone":
        file.unlink()
    else:
        assert seals.kept(file)
    assert damaged(kept, monkeypatch)


def test_the_seal_of_an_older_file_that_was_written_over_does_not_matter(kept, hashed, monkeypatch):
    other = b"the next update's weights"
    digest = hashlib.sha256(other).hexdigest()
    with storage.scratch() as file:
        os.link(storage.path(kept), file)
        with file.open("r+b") as handle:
            handle.write(other)
            handle.truncate()
        storage.put(file, digest)
    assert seals.kept(storage.path(digest))
    assert not damaged(digest, monkeypatch) and hashed == [storage.path(digest)]


@pytest.mark.parametrize("why", ["another secret", "no attributes", "half an attribute"])
def test_where_the_seal_says_nothing_the_file_is_hashed(kept, hashed, monkeypatch, settings, why):
    if why == "another secret":
        settings.SECRET_KEY = "another"
    elif why == "half an attribute":
        os.setxattr(storage.path(kept), seals.ATTRIBUTE, b"half")
    else:

        def refuse(*_):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

        monkeypatch.setattr(seals.os, "getxattr", refuse)
    assert not damaged(kept, monkeypatch) and hashed == [storage.path(kept)]


def test_a_file_system_without_attributes_stores_all_the_same(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(seals.os, "setxattr", refuse)
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    with storage.scratch() as file:
        file.write_bytes(WEIGHTS)
        storage.put(file, digest, seal=sealed())
    assert storage.is_whole(digest)


def test_a_download_goes_by_the_seal_and_one_that_is_doubted_by_the_digest(kept, hashed):
    wholeness.forget(kept)
    assert storage.is_sound(kept) and hashed == []
    wholeness.forget(kept)
    assert storage.is_sound(kept, doubted=True) and hashed == [storage.path(kept)]


def test_who_looks_through_the_whole_store_goes_by_digests_alone(kept, hashed):
    assert storage.is_whole(kept) and hashed == [storage.path(kept)]


@pytest.mark.django_db
@pytest.mark.parametrize("least, is_sealed", [(1, True), (1 << 20, False)])
def test_a_large_update_is_sealed_in_the_pass_that_checks_it(open_round, now, monkeypatch, hashed, least, is_sealed):
    monkeypatch.setattr(seals, "LEAST_BYTES", least)
    open_round("anna")
    send("anna", now=now)
    digest = seat_of("anna").digest
    assert bool(seals.kept(storage.path(digest))) == is_sealed and hashed == []
    assert not damaged(digest, monkeypatch) and bool(hashed) != is_sealed


@given(some.binary(min_size=1, max_size=300), some.lists(some.integers(0, 300), max_size=4), some.integers(0, 2399))
def test_only_the_same_bytes_have_the_same_seal_however_they_are_cut(content, cuts, bit):
    digest = hashlib.sha256(content).hexdigest()
    first, view = sealed(content), memoryview(content)
    second = seals.again(first)
    for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(content)], strict=True):
        second.update(view[start:stop])
    assert second.finish(digest) == first
    other = bytearray(content)
    other[bit // 8 % len(content)] ^= 1 << bit % 8
    third = seals.again(first)
    third.update(memoryview(other))
    assert third.finish(digest) != first


def test_the_seal_of_one_digest_is_none_of_another():
    seal = seals.again(first := sealed())
    seal.update(memoryview(WEIGHTS))
    assert seal.finish("ab" * 32) != first
