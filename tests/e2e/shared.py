"""What takes long to make is made once for all processes of a test run."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

RUN = "PYTEST_XDIST_TESTRUNUID"  # set where several processes share a run


def once(name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` filled, in whichever process needs it first; the others wait. Nobody changes it."""
    made, begun = _folder() / name, _folder() / f"{name}.begun"
    with _alone(_folder() / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(begun, ignore_errors=True)
            begun.mkdir()
            make(begun)
            begun.rename(made)
    return made


@cache
def _folder() -> Path:
    if RUN not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="fl-shared-"))
    else:
        folder = Path(tempfile.gettempdir()) / f"fl-shared-{os.environ[RUN]}"
        folder.mkdir(mode=0o700, exist_ok=True)
    using = (folder / "using").open("w")
    fcntl.flock(using, fcntl.LOCK_SH)
    atexit.register(_leave, folder, using.fileno(), using)
    return folder


def _leave(folder: Path, handle: int, _kept_open: object) -> None:
    """The last one deletes the folder."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
