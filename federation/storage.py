"""Weight files, kept under their SHA-256. A file is complete from the moment it has its name."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings

from federation import private
from federation.errors import StorageFull

SPARE_BYTES = 64 << 20  # below this much free space nothing new is taken in
HASH_BYTES = 1 << 20
ABANDONED_SECONDS = 86_400.0
LOCK_SECONDS = 5.0  # a deletion waits so long for those who store; a backup takes longer
AGAIN_SECONDS = 10.0  # a file is not read again sooner because somebody asks
CACHED_SECONDS = 60.0  # what was written or read so lately comes from memory, which says nothing of the disk
CHECKERS = max(1, min(4, (os.cpu_count() or 1) // 2))  # threads; the other half of the cores folds meanwhile
FULL = "The server's disk is full. Nothing is lost; try again when there is room."


def path(digest: str) -> Path:
    """Where a stored file lies. Only ever called with a digest that the server computed or checked."""
    return settings.FL_WEIGHTS_DIR / digest[:2] / f"{digest}.safetensors"


def exists(digest: str) -> bool:
    return path(digest).exists()


def put(source: Path, digest: str) -> None:
    """Move a finished file into the store. The same content again is the same file."""
    target = path(digest)
    _make_store()
    private.make_stored_folder(target.parent)
    private.share(source, private.FILE)
    with refusing_when_full():
        os.replace(source, target)
    _saw_whole(digest, _mark(target))


# ---- who stores and who deletes


@contextmanager
def keeping() -> Iterator[None]:
    """Nothing leaves the store meanwhile.

    Held from the storing of a file until the row that names it is committed, from the look at a file that is there
    until a row names it too, and for as long as a backup copies.
    """
    with _lock_file() as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def deleting() -> Iterator[bool]:
    """Nobody stores meanwhile, so that what no row names is needed by nobody. False: somebody keeps for long."""
    with _lock_file() as handle:
        end = time.monotonic() + LOCK_SECONDS
        while not (ours := _try_exclusive(handle)) and time.monotonic() < end:
            time.sleep(0.01)
        yield ours


@contextmanager
def _lock_file() -> Iterator[int]:
    """In the store, so that whoever shares it shares the lock. Closing it gives the lock up."""
    _make_store()
    handle = os.open(settings.FL_WEIGHTS_DIR / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _make_store() -> None:
    private.make_folder(settings.FL_DATA_DIR)
    private.make_stored_folder(settings.FL_WEIGHTS_DIR)


def _try_exclusive(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def delete(digests: Iterable[str]) -> None:
    """Only ever called while `deleting`."""
    for digest in digests:
        _seen_whole.pop(digest, None)
        path(digest).unlink(missing_ok=True)


def stored() -> Iterator[set[str]]:
    """The digests of all stored files, a folder of them at a time."""
    for folder in sorted(settings.FL_WEIGHTS_DIR.glob("[0-9a-f][0-9a-f]")):
        yield {file.stem for file in folder.glob("*.safetensors")}


# ---- damage


_Mark = tuple[int, int, int, int]
_reading = threading.Lock()
_noting = threading.Lock()
_seen_whole: dict[str, tuple[_Mark, float]] = {}  # files as this process wrote or read them, and when; oldest first
MOST_SEEN = 10_000


def _saw_whole(digest: str, mark: _Mark) -> None:
    with _noting:
        _seen_whole.pop(digest, None)
        _seen_whole[digest] = (mark, time.monotonic())
        while len(_seen_whole) > MOST_SEEN:
            del _seen_whole[next(iter(_seen_whole))]


def _mark(file: Path) -> _Mark:
    """What changes whenever somebody writes a file; not what a disk's own fault changes."""
    stat = file.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def digest_of(file: Path, on_chunk: Callable[[], None] = lambda: None) -> str:
    """A file's SHA-256. on_chunk is called between reads; what it raises aborts."""
    sha, buffer = hashlib.sha256(), bytearray(HASH_BYTES)
    with file.open("rb", buffering=0) as handle:
        while count := handle.readinto(buffer):
            sha.update(memoryview(buffer)[:count])
            on_chunk()
    return sha.hexdigest()


def is_whole(digest: str, on_chunk: Callable[[], None] = lambda: None) -> bool:
    """Whether a stored file is there and fits its name, read from its first byte to its last."""
    file = path(digest)
    try:
        mark = _mark(file)
        if digest_of(file, on_chunk) != digest:
            return False
    except OSError:  # missing, or a disk that cannot read it
        return False
    _saw_whole(digest, mark)
    return True


def is_sound(digest: str, *, doubted: bool = False) -> bool:
    """The same, but one that this process saw whole and that nobody wrote since is not read again.

    doubted: somebody says that what it was sent does not fit, so that it is read in any case.
    """
    with _reading:  # many ask for a new model at once: the first reads it, the others see that it did
        return was_whole(digest, within=AGAIN_SECONDS if doubted else math.inf) or is_whole(digest)


def was_whole(digest: str, *, within: float = math.inf) -> bool:
    """Whether this process saw a stored file whole, within so many seconds, and nobody wrote it since."""
    mark, seen = _seen_whole.get(digest, (None, 0.0))
    with suppress(OSError):
        return time.monotonic() - seen <= within and mark == _mark(path(digest))
    return False


class _NoLonger(Exception):
    """Nobody waits for the result any more."""


class Check:
    """Reads stored files through and compares them with their digests, on threads beside whatever uses them.

    The digests cost as much time as the reading of the files; so they are known about when the work is done.
    Files that this process saw whole a moment ago are left out.
    """

    def __init__(self, digests: Iterable[str]) -> None:
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(CHECKERS, thread_name_prefix="check")
        self._results: dict[Future[bool], str] = {
            self._threads.submit(is_whole, digest, self._go_on): digest
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


def set_aside(digest: str) -> None:
    """Take a damaged file out of the store. It is kept for a day, for somebody to look at."""
    with _noting:
        _seen_whole.pop(digest, None)
    with suppress(FileNotFoundError):
        os.replace(path(digest), scratch_path().with_name(f"{digest}.damaged"))


# ---- files in the making


def scratch_path() -> Path:
    """A new path for a file in the making, on the same disk as the store."""
    private.make_folder(settings.FL_SCRATCH_DIR)
    return settings.FL_SCRATCH_DIR / secrets.token_hex(12)


@contextmanager
def scratch() -> Iterator[Path]:
    """The same for the length of a block; whatever is left there at the end is removed."""
    file = scratch_path()
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def upload_path(seat_id: int) -> Path:
    """Where the parts of an unfinished upload are gathered."""
    private.make_folder(settings.FL_UPLOADS_DIR)
    return settings.FL_UPLOADS_DIR / f"{seat_id}.part"


def sweep() -> None:
    """Remove what a killed process left in the making a day ago."""
    remove_abandoned(settings.FL_SCRATCH_DIR.glob("*"))
    sweep_uploads()


def sweep_uploads(*, abandoned_seconds: float = ABANDONED_SECONDS) -> None:
    remove_abandoned(settings.FL_UPLOADS_DIR.glob("*"), abandoned_seconds=abandoned_seconds)


def remove_abandoned(made: Iterable[Path], *, abandoned_seconds: float = ABANDONED_SECONDS) -> None:
    """Remove those files and folders that nobody wrote to for so long."""
    for path in made:
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime < abandoned_seconds:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


def free_bytes() -> int:
    found = os.statvfs(settings.FL_DATA_DIR)  # not shutil.disk_usage: each piece of an upload asks
    return found.f_bavail * found.f_frsize


def is_full() -> bool:
    return free_bytes() < SPARE_BYTES


def has_room_again() -> bool:
    """A little more than not full, so that it does not change with every file."""
    return free_bytes() >= SPARE_BYTES * 5 // 4


def require_room(num_bytes: int = 0) -> None:
    """Raises StorageFull if this many more bytes would use up the disk's reserve."""
    if free_bytes() - num_bytes < SPARE_BYTES:
        raise StorageFull(FULL)


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turn the operating system's "no space left" into a refusal that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(FULL) from error
        raise
