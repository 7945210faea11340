"""Whether this process shares with the others what all processes of one deployment must share.

That is the data folder, the secret key, and one file system for what is renamed within the folder. The database keeps
a random id and a fingerprint of the key; the data folder keeps the same id in a file. The first process writes them
and each later one compares. Whoever is killed in between leaves what the next one completes: the file comes first,
and one statement writes the row.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from pathlib import Path

from django.conf import settings
from django.utils.crypto import salted_hmac

from federation import private
from federation.models import Server
from federation.storage import places

FILE = "deployment"  # in the data folder
ANEW = "new"  # in place of an id: this folder and this process's key are the right ones from now on
ID = re.compile(r"[0-9a-f]{32}")
NOBODY = ".nobody"


def fault() -> str:
    """Why this process may not serve, in a sentence or two; empty if it may. Raises DatabaseError."""
    try:
        return _scattered() or _other()
    except OSError as error:
        return f"FL_DATA_DIR={settings.FL_DATA_DIR} cannot be used: {error.strerror}: {error.filename}."


def begin_anew() -> None:
    """Let the next process make this folder and its own key those of the database."""
    private.make_folder(settings.FL_DATA_DIR)
    made = _file().with_name(f"{FILE}.part")
    made.write_text(f"{ANEW}\n")
    os.replace(made, _file())


# ---- one file system


def _scattered() -> str:
    weights = settings.FL_WEIGHTS_DIR
    places.make_store()
    for folder in (settings.FL_UPLOADS_DIR, settings.FL_SCRATCH_DIR):
        private.make_folder(folder)
        if not _can_rename(folder, weights):
            return (
                f"{folder} is not on the file system of {weights}, so finished files cannot be moved there. "
                "Mount FL_DATA_DIR as a whole."
            )
    return ""


def _can_rename(source: Path, target: Path) -> bool:
    """Whether files of one folder can be renamed into another one.

    Linux refuses another mount before it looks for the file, so none is needed; other systems have the device alone.
    """
    if source.stat().st_dev != target.stat().st_dev:
        return False
    try:
        os.rename(source / NOBODY, target / NOBODY)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EXDEV):
            raise
        return error.errno == errno.ENOENT
    return True


# ---- one folder and one key


def _other() -> str:
    row = Server.objects.get_or_create(pk=1)[0]
    try:
        # A folder without the file is a new one. It may be so only while the database knows no other.
        handle = os.open(_file(), os.O_RDWR | (0 if row.deployment else os.O_CREAT), 0o600)
    except FileNotFoundError:
        return _other_folder()
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        return _compare(handle)
    finally:
        os.close(handle)


def _compare(handle: int) -> str:
    row = Server.objects.get(pk=1)
    kept = os.pread(handle, 100, 0).decode(errors="replace").strip()
    if kept == ANEW:
        made = secrets.token_hex(16)
        Server.objects.filter(pk=1).update(deployment=made, key_fingerprint=_fingerprint(made))
        _write(handle, made)
        return ""
    if not ID.fullmatch(kept) and not row.deployment:  # just made, or its content was lost with the power
        kept = secrets.token_hex(16)
        _write(handle, kept)
    if not row.deployment:
        Server.objects.filter(pk=1, deployment="").update(deployment=kept, key_fingerprint=_fingerprint(kept))
        row.refresh_from_db()
    if row.deployment != kept:
        return _other_folder()
    return "" if row.key_fingerprint == _fingerprint(kept) else _other_key()


def _file() -> Path:
    return Path(settings.FL_DATA_DIR, FILE)


def _write(handle: int, content: str) -> None:
    """At once, over what is there: a kill leaves the one or the other."""
    os.ftruncate(handle, os.pwrite(handle, f"{content}\n".encode(), 0))
    os.fsync(handle)


def _fingerprint(deployment: str) -> str:
    """Tells two keys apart and nothing else about them; of the same key it differs between deployments."""
    return salted_hmac("the key of a deployment", deployment, algorithm="sha256").hexdigest()[:32]


def _other_folder() -> str:
    return (
        f"FL_DATA_DIR={settings.FL_DATA_DIR} is not the folder that this database's other processes use. Set it to "
        f"theirs; if this one is to take its place, write the word {ANEW} into {_file()} and start again."
    )


def _other_key() -> str:
    return (
        "FL_SECRET_KEY is not the key that this database's other processes use. Set it to theirs; if this one is to "
        f"take its place, stop them, write the word {ANEW} into {_file()} and start again."
    )
