"""Who may read what the server writes: only its own user, and for stored weights the group FL_DATA_GROUP."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from django.conf import settings

UMASK = 0o077
TOP, FOLDER, FILE = 0o710, 0o750, 0o640  # with a group; without one only for the user
DATABASE_PARTS = ("", "-wal", "-shm", "-journal")
SYSTEM_FOLDERS = frozenset(
    map(
        Path, ("/", "/etc", "/home", "/media", "/mnt", "/opt", "/run", "/srv", "/usr", "/usr/local", "/var", "/var/lib")
    )
)
log = logging.getLogger(__name__)


@cache
def begin() -> None:
    """Make everything private: what this process writes, and what an older version left readable.

    Closing the outermost folder is enough for all files below it.
    """
    os.umask(UMASK)
    if settings.FL_ACCEL_REDIRECT and settings.FL_DATA_GROUP is None:
        log.warning(
            "FL_ACCEL_REDIRECT is set and FL_DATA_GROUP is not: a web server can read %s only as this server's user.",
            settings.FL_WEIGHTS_DIR,
        )
    try:
        _close_what_is_there()
    except OSError as error:
        log.warning("The files in %s cannot be made private: %s", settings.FL_DATA_DIR, error)


def make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def make_stored_folder(path: Path) -> None:
    """A folder of the store, in an existing one."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        share(path, FOLDER)


def share(path: Path, mode: int) -> None:
    """Let only this user and the group FL_DATA_GROUP read it."""
    with suppress(PermissionError):  # a file system without modes; nothing depends on them
        if settings.FL_DATA_GROUP is not None:
            os.chown(path, -1, settings.FL_DATA_GROUP)
            path.chmod(mode)
        else:
            path.chmod(mode & 0o700)


def _close_what_is_there() -> None:
    data: Path = settings.FL_DATA_DIR
    if _is_ours_alone(data):
        share(data, TOP)
        inside = set(data.iterdir())
    else:
        log.warning(
            "FL_DATA_DIR=%s is shared or belongs to another user, so it keeps its mode. What the server writes is "
            "private all the same. Use a folder of its own.",
            data,
        )
        inside = set()
    for path in (inside | set(_named())) - {settings.FL_WEIGHTS_DIR}:
        _close(path)
    make_folder(settings.FL_WEIGHTS_DIR)
    _share_store(settings.FL_WEIGHTS_DIR)


def _is_ours_alone(folder: Path) -> bool:
    found, where = folder.stat(), folder.resolve()
    shared = where in SYSTEM_FOLDERS or where in (settings.BASE_DIR, *settings.BASE_DIR.parents)
    return found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX and not shared


def _named() -> Iterator[Path]:
    """What the server writes in the top folder, and its database, wherever that is."""
    data: Path = settings.FL_DATA_DIR
    yield from (settings.FL_SCRATCH_DIR, settings.FL_UPLOADS_DIR, settings.FL_CONVERTED_DIR)
    yield from (data / "logs", data / "agents")
    yield from (data / "secret_key", data / "admin-password", *data.glob("celerybeat*"))
    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        yield from (Path(f"{database['NAME']}{part}") for part in DATABASE_PARTS)


def _close(path: Path) -> None:
    """Make a file or folder of ours private, without opening it: closing it would end SQLite's locks."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        if ours and found.st_mode & UMASK:
            path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)


def _share_store(weights: Path) -> None:
    """The folder's own mode is set last. It shows that the files have theirs, so that this happens once."""
    found = weights.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode):
        return
    if settings.FL_DATA_GROUP is not None:
        done = (stat.S_IMODE(found.st_mode), found.st_gid) == (FOLDER, settings.FL_DATA_GROUP)
        for folder in weights.glob("[0-9a-f][0-9a-f]"):
            for file in () if done else folder.glob("*.safetensors"):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    share(file, FILE)
            share(folder, FOLDER)
    share(weights, FOLDER)
