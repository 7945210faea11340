"""Whether stored files fit their digests, and what this process saw of them."""

from __future__ import annotations

import hashlib
import hmac
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from federation.storage import seals
from federation.storage.places import path

HASH_BYTES = 1 << 20


AGAIN_SECONDS = 10.0  # a file is not read again sooner because somebody asks


CACHED_SECONDS = 60.0  # what was written or read so lately comes from memory, which says nothing of the disk


CHECKERS = max(1, min(4, (os.cpu_count() or 1) // 2))  # threads; the other half of the cores folds meanwhile


_Mark = tuple[int, int, int, int]


_reading = threading.Lock()


_noting = threading.Lock()


_seen_whole: dict[str, tuple[_Mark, float]] = {}  # files as this process wrote or read them, and when; oldest first


MOST_SEEN = 10_000


def saw_whole(digest: str, mark: _Mark) -> None:
    with _noting:
        _seen_whole.pop(digest, None)
        _seen_whole[digest] = (mark, time.monotonic())
        while len(_seen_whole) > MOST_SEEN:
            del _seen_whole[next(iter(_seen_whole))]


def forget(digest: str) -> None:
    """A file leaves the store: what this process saw of it says nothing any more."""
    with _noting:
        _seen_whole.pop(digest, None)


def mark_of(file: Path) -> _Mark:
    """What changes whenever somebody writes a file; not what a disk's own fault changes."""
    stat = file.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def digest_of(file: Path, on_chunk: Callable[[], None] = lambda: None) -> str:
    """A file's SHA-256. on_chunk is called between reads; what it raises aborts."""
    sha = hashlib.sha256()
    _read(file, on_chunk, sha.update)
    return sha.hexdigest()


def _read(file: Path, on_chunk: Callable[[], None], *takers: Callable[[memoryview], None]) -> None:
    """Give a file's bytes, in order, to each of those that take them."""
    buffer = memoryview(bytearray(HASH_BYTES))
    with file.open("rb", buffering=0) as handle:
        while count := handle.readinto(buffer):
            for take in takers:
                take(buffer[:count])
            on_chunk()


def is_whole(digest: str, on_chunk: Callable[[], None] = lambda: None) -> bool:
    """Whether a stored file is there and fits its name, read from its first byte to its last."""
    return _is_right(digest, partial(_fits_digest, on_chunk=on_chunk))


def is_unchanged(digest: str, on_chunk: Callable[[], None] = lambda: None) -> bool:
    """The same by the file's seal, where it has one that fits."""
    return _is_right(digest, partial(_fits_seal, on_chunk=on_chunk)) or is_whole(digest, on_chunk)


def _is_right(digest: str, fits: Callable[[Path, str], bool]) -> bool:
    file = path(digest)
    try:
        mark = mark_of(file)
        if not fits(file, digest):
            return False
    except OSError:  # missing, or a disk that cannot read it
        return False
    saw_whole(digest, mark)
    return True


def _fits_digest(file: Path, digest: str, *, on_chunk: Callable[[], None]) -> bool:
    return digest_of(file, on_chunk) == digest


def _fits_seal(file: Path, digest: str, *, on_chunk: Callable[[], None]) -> bool:
    kept = seals.kept(file)
    if not kept:
        return False
    seal = seals.again(kept)
    _read(file, on_chunk, seal.update)
    return hmac.compare_digest(seal.finish(digest), kept)


def is_sound(digest: str, *, doubted: bool = False) -> bool:
    """The same, but one that this process saw whole and that nobody wrote since is not read again.

    doubted: somebody says that what it was sent does not fit, so that its SHA-256 is taken in any case.
    """
    with _reading:  # many ask for a new model at once: the first reads it, the others see that it did
        if was_whole(digest, within=AGAIN_SECONDS if doubted else math.inf):
            return True
        return is_whole(digest) if doubted else is_unchanged(digest)


def was_whole(digest: str, *, within: float = math.inf) -> bool:
    """Whether this process saw a stored file whole, within so many seconds, and nobody wrote it since."""
    mark, seen = _seen_whole.get(digest, (None, 0.0))
    with suppress(OSError):
        return time.monotonic() - seen <= within and mark == mark_of(path(digest))
    return False


class _NoLonger(Exception):
    """Nobody waits for the result any more."""


class Check:
    """Reads stored files through and compares them with their seals or digests, on threads beside whatever uses them.

    That costs as much time as the reading of the files; so it is known about when the work is done.
    Files that this process saw whole a moment ago are left out.
    """

    def __init__(self, digests: Iterable[str]) -> None:
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(CHECKERS, thread_name_prefix="check")
        self._results: dict[Future[bool], str] = {
            self._threads.submit(is_unchanged, digest, self._go_on): digest
            for digest in dict.fromkeys(digests)
            if not was_whole(digest, within=CACHED_SECONDS)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)

    def damaged(self, while_waiting: Callable[[], None]) -> set[str]:
        """Those that do not fit. while_waiting is called every second; what it raises comes out."""
        waiting = set(self._results)
        while waiting:
            _, waiting = wait(waiting, timeout=1.0)
            while_waiting()
        return {digest for result, digest in self._results.items() if not result.result()}

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _NoLonger
