"""One tar file with the database and every weight file that it needs, each known by its SHA-256.

The manifest is the last member: a file without one was cut off. Files are copied in pieces, so that memory does not
depend on the size of the models.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, cast

from django.conf import settings
from django.db import connection
from django.utils import timezone

from federation import archive, dump, killpoints, private, storage
from federation.archive import FORMAT, MANIFEST, SECRET, Manifest
from federation.dump import Dump, Unusable
from federation.fl.version import __version__
from federation.services import deployment

COPY_BYTES = 1 << 20
IN_THE_MAKING = ".fl-backup-"  # begins the name of a folder beside the backup that a killed process may leave

OnBytes = Callable[[int], None]  # so many more are done


@dataclass
class Contents:
    """What a backup holds, and what is wrong with it."""

    files: int = 0
    num_bytes: int = 0
    made_at: str = ""
    faults: list[str] = field(default_factory=list)


# ---- making one


def write(target: Path, on_total: OnBytes = lambda _: None, on_bytes: OnBytes = lambda _: None) -> Contents:
    """Back everything up into a file, which has its name once it is whole.

    Weight files that are missing or damaged are named in `faults`; the rest is there. Raises OSError.
    """
    storage.remove_abandoned(target.parent.glob(f"{IN_THE_MAKING}*"))
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=IN_THE_MAKING) as made:
        whole = Path(made) / "backup.tar"
        with storage.keeping(), _create(whole) as file:
            copy = _copied_database(Path(made) / "database")
            sizes = _sizes(copy.digests())
            on_total(sum(sizes.values()) + sum(part.stat().st_size for part in copy.folder.iterdir()))
            contents = _write(file, copy, sizes, on_bytes)
        os.replace(whole, target)
    return contents


def _copied_database(folder: Path) -> Dump:
    folder.mkdir()
    copy = dump.KINDS[connection.vendor](folder)
    copy.write()
    return copy


@contextmanager
def _create(file: Path) -> Iterator[IO[bytes]]:
    """Readable for its owner alone, as what it holds: hashes of tokens and passwords, and the secret key."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        yield out
        out.flush()
        os.fsync(out.fileno())


def _sizes(digests: set[str]) -> dict[str, int]:
    """How large each stored file is; a missing one is of size 0 here and named later."""
    return {d: storage.num_bytes(d) if storage.exists(d) else 0 for d in sorted(digests)}


def _write(file: IO[bytes], copy: Dump, sizes: dict[str, int], on_bytes: OnBytes) -> Contents:
    contents, members = Contents(made_at=timezone.now().isoformat()), dict[str, str]()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for part in sorted(copy.folder.iterdir()):
            members[f"database/{part.name}"] = _add(tar, f"database/{part.name}", part, on_bytes)
        killpoints.reached(killpoints.Point.BACKUP_HALF_WRITTEN)
        for digest in sizes:
            try:
                with storage.local(digest) as file_in_store:
                    found = _add(tar, f"weights/{digest}", file_in_store, on_bytes)
            except FileNotFoundError:
                contents.faults.append(f"The weight file {digest} is missing.")
                continue
            members[f"weights/{digest}"] = found
            if found != digest:
                contents.faults.append(f"The weight file {digest} is damaged.")
        secret = settings.FL_DATA_DIR / SECRET
        if secret.exists():
            members[SECRET] = _add(tar, SECRET, secret, on_bytes)
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "made_at": contents.made_at,
            "database": copy.vendor,
            "members": members,
        }
        body = json.dumps(manifest).encode()
        tar.addfile(_info(MANIFEST, len(body)), io.BytesIO(body))
    contents.files, contents.num_bytes = len(sizes), file.tell()
    return contents


def _add(tar: tarfile.TarFile, name: str, path: Path, on_bytes: OnBytes) -> str:
    """Copy a file into the archive. Returns the digest of what was copied."""
    with path.open("rb") as file:
        reader = _Hashing(file, on_bytes)
        tar.addfile(_info(name, os.fstat(file.fileno()).st_size), cast("IO[bytes]", reader))
    return reader.sha.hexdigest()


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(timezone.now().timestamp())
    return info


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes], on_bytes: OnBytes) -> None:
        self.file, self.on_bytes, self.sha = file, on_bytes, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.sha.update(data)
        self.on_bytes(len(data))
        return data


# ---- reading one


def verify(source: Path, on_total: OnBytes = lambda _: None, on_bytes: OnBytes = lambda _: None) -> Contents:
    """Read a backup through: every digest, the database's own check, and that nothing it needs is missing.

    Raises Unusable if it is no backup at all, and OSError.
    """
    manifest = archive.survey(source)
    with tempfile.TemporaryDirectory(dir=source.parent, prefix=".verify-") as folder:
        on_total(source.stat().st_size)
        contents, found = _contents(source, manifest), _read_database(source, Path(folder), on_bytes)
        found |= _read_weights(source, lambda _, file: _copy(file, None, on_bytes))
        contents.faults = _differences(manifest, found)
        copy = _copy_of(manifest, found, Path(folder), contents)
        _count(found, contents)
        if copy is not None:
            _find_missing(copy, manifest, found, contents)
        return contents


def restore(source: Path, on_total: OnBytes = lambda _: None, on_bytes: OnBytes = lambda _: None) -> Contents:
    """Bring a server back from a backup, its weight files first: until the database is there, nothing is in use.

    Weight files that do not fit are left out and named in `faults`. Raises Unusable if the database cannot be
    restored; nothing is kept then.
    """
    manifest = archive.survey(source)
    private.make_folder(settings.FL_SCRATCH_DIR)
    with storage.keeping(), tempfile.TemporaryDirectory(dir=settings.FL_SCRATCH_DIR) as made:
        folder, contents = Path(made), _contents(source, manifest)
        on_total(source.stat().st_size)
        found = _read_database(source, folder, on_bytes)
        contents.faults = _differences(_of_database(manifest), found)
        copy = _copy_of(manifest, found, folder, contents)
        if copy is None:
            raise Unusable(" ".join(contents.faults))
        with _keeping_if_whole() as keep:
            found |= _read_weights(source, lambda digest, file: keep(digest, file, on_bytes))
            contents.faults = _differences(manifest, found)
            _count(found, contents)
            _find_missing(copy, manifest, found, contents)
            killpoints.reached(killpoints.Point.HALF_RESTORED)
            deployment.begin_anew()
            copy.load()
        if (secret := folder / SECRET).exists():
            _keep_secret(secret)
    return contents


@contextmanager
def _keeping_if_whole() -> Iterator[Callable[[str, IO[bytes], OnBytes], str]]:
    """Put weight files into the store. If the rest is refused, remove those that were new."""
    new: list[str] = []

    def keep(digest: str, file: IO[bytes], on_bytes: OnBytes) -> str:
        with storage.scratch() as made:
            found = _copy(file, made, on_bytes)
            if found == digest:
                if not storage.exists(digest):
                    new.append(digest)
                storage.put(made, digest)
        return found

    try:
        yield keep
    except (Unusable, OSError):
        for digest in new:
            storage.path(digest).unlink(missing_ok=True)
        raise


def _contents(source: Path, manifest: Manifest) -> Contents:
    return Contents(num_bytes=source.stat().st_size, made_at=manifest.made_at)


def _read_database(source: Path, folder: Path, on_bytes: OnBytes) -> dict[str, str]:
    """Copy the database's parts and the secret key into a folder. Returns their digests by name."""
    return {
        kind.string: _copy(file, folder / (kind["part"] or SECRET), on_bytes)
        for kind, file in archive.members(source)
        if not kind["digest"]
    }


def _read_weights(source: Path, read: Callable[[str, IO[bytes]], str]) -> dict[str, str]:
    """Give each weight file to `read`, which returns its digest. Returns the digests by name."""
    found = archive.members(source)
    return {kind.string: read(kind["digest"], file) for kind, file in found if kind["digest"]}


def _of_database(manifest: Manifest) -> Manifest:
    told = {name: digest for name, digest in manifest.members.items() if not name.startswith("weights/")}
    return replace(manifest, members=told)


def _whole(found: dict[str, str]) -> set[str]:
    return {name.removeprefix("weights/") for name, digest in found.items() if name == f"weights/{digest}"}


def _count(found: dict[str, str], contents: Contents) -> None:
    contents.files = len(_whole(found))


def _differences(manifest: Manifest, found: dict[str, str]) -> list[str]:
    told = manifest.members
    faults = [f"{name} is missing." for name in sorted(told.keys() - found.keys())]
    faults += [f"{name} is not in the manifest." for name in sorted(found.keys() - told.keys())]
    return faults + [f"{name} is damaged." for name in sorted(told.keys() & found) if told[name] != found[name]]


def _differing(manifest: Manifest, found: dict[str, str]) -> set[str]:
    """The members that `_differences` is about."""
    told = manifest.members
    return {name for name in told.keys() | found.keys() if told.get(name) != found.get(name)}


def _copy_of(manifest: Manifest, found: dict[str, str], folder: Path, contents: Contents) -> Dump | None:
    """The copy of the database, or None where it is not whole; `faults` says why."""
    if any(name.startswith("database/") for name in _differing(manifest, found)):
        return None
    copy = dump.KINDS[manifest.database](folder)
    faults = copy.faults() or copy.misfits()
    contents.faults += faults
    return None if faults else copy


def _find_missing(copy: Dump, manifest: Manifest, found: dict[str, str], contents: Contents) -> None:
    named = {name.removeprefix("weights/") for name in _differing(manifest, found)}
    missing = sorted(copy.digests() - _whole(found) - named)
    contents.faults += [f"The database needs the weight file {digest}, which is not there." for digest in missing]


def _copy(file: IO[bytes], to: Path | None, on_bytes: OnBytes) -> str:
    """Read a member to its end, into a file or nowhere. Returns its digest."""
    sha = hashlib.sha256()
    with open(to if to is not None else os.devnull, "wb") as out:
        while data := file.read(COPY_BYTES):
            sha.update(data)
            out.write(data)
            on_bytes(len(data))
    return sha.hexdigest()


def _keep_secret(file: Path) -> None:
    """The key with which people stay signed in."""
    file.chmod(0o600)
    os.replace(file, settings.FL_DATA_DIR / SECRET)
