"""How many files an aggregation holds open follows from the limit of its process."""

import os
import sys

import pytest

from federation.fl.files import streams

resource = pytest.importorskip("resource")


@pytest.fixture
def limit():
    """Sets how many files this process may have open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda number: resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_half_of_what_may_still_be_opened(limit):
    is_open = len(os.listdir("/dev/fd")) - 1  # without the folder itself
    limit(is_open + 201)
    assert streams.most_open() in (99, 100)


def test_none_where_the_limit_is_reached(limit):
    limit(len(os.listdir("/dev/fd")) - 1)
    assert streams.most_open() == 0


def test_all_where_there_is_no_limit(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert streams.most_open() == sys.maxsize


def test_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(streams, "resource", None)
    assert streams.most_open() == 256


def test_where_it_does_not_tell_what_is_open(limit, monkeypatch):
    def listdir(folder):
        raise FileNotFoundError(folder)

    limit(456)
    monkeypatch.setattr(os, "listdir", listdir)
    assert streams.most_open() == 100


def test_files_beyond_it_are_read_too_and_not_held(tmp_path, monkeypatch):
    paths = [tmp_path / str(number) for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 8)
    monkeypatch.setattr(streams, "most_open", lambda: 2)
    before = len(os.listdir("/dev/fd"))
    with streams.Files(paths) as files:
        assert len(os.listdir("/dev/fd")) == before + 2
        for number in range(5):
            buffer = files.buffer(4)
            files.fill(number, buffer, 4)
            assert bytes(buffer) == bytes([number]) * 4
    assert len(os.listdir("/dev/fd")) == before
