"""Reads the archive of a backup. Any other file is refused with a sentence before anything is written."""

from __future__ import annotations

import json
import re
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from federation.dump import DIGEST, KINDS, Unusable

FORMAT = 1
MANIFEST, SECRET = "manifest.json", "secret_key"
MEMBER = re.compile(rf"database/(?P<part>[a-z0-9_]+\.(sqlite3|csv))|weights/(?P<digest>[0-9a-f]{{64}})|{SECRET}")
MOST_MEMBERS = 1_000_000
MOST_HEADER_BYTES = 1 << 16  # of an extended header
MANIFEST_BYTES = (4096, 512)  # of a manifest: in any case, and for each other member
MOST_SECRET_BYTES = 4096
UNREADABLE = (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError)
NO_MANIFEST = "It has no manifest that this version can read. It is incomplete, or no backup of this server."


@dataclass(frozen=True)
class Manifest:
    """A backup's description of itself, with the digest of each member by its name."""

    made_at: str
    database: str
    members: dict[str, str]


class _Header(tarfile.TarInfo):
    """The header of a plain file without holes, the only kind that backups contain."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        found = super().frombuf(buf, encoding, errors)
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.XHDTYPE):
            raise Unusable(f"{_shown(found.name)} is no plain file and does not belong in a backup.")
        if found.size < 0 or (found.type == tarfile.XHDTYPE and found.size > MOST_HEADER_BYTES):
            raise Unusable(f"The header of {_shown(found.name)} is invalid: its size is {found.size} bytes.")
        return found

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _Header:
        file = cast("IO[bytes]", tarfile.fileobj)
        begin = file.tell()
        block = file.read(BLOCK)
        if block[TYPE] == XHD:
            _check_extension(file, cls.frombuf(block, "utf-8", "replace").size)
        file.seek(begin)
        return super().fromtarfile(tarfile)


BLOCK = tarfile.BLOCKSIZE
TYPE, XHD = slice(156, 157), tarfile.XHDTYPE


def _check_extension(file: IO[bytes], size: int) -> None:
    """Raises Unusable unless a plain file without holes follows an extended header."""
    if b"GNU.sparse" in file.read(-(-size // BLOCK) * BLOCK):
        raise Unusable("It contains a file with holes, which does not belong in a backup.")
    if file.read(BLOCK)[TYPE] == XHD:
        raise Unusable("It has two headers for one file.")


def survey(source: Path) -> Manifest:
    """Check all headers. Raises Unusable if the archive is no backup, and OSError."""
    size = source.stat().st_size
    if not stat.S_ISREG(source.stat().st_mode):
        raise Unusable("It is not a file.")
    names, manifest = set[str](), None
    with _reading(source) as tar:
        for member in _each(tar):
            if member.offset_data + member.size > size:
                raise Unusable(f"{NO_MANIFEST} {_shown(member.name)} is longer than the file.")
            if member.name in names:
                raise Unusable(f"{_shown(member.name)} is in it twice.")
            names.add(member.name)
            if len(names) > MOST_MEMBERS:
                raise Unusable(f"It has more than {MOST_MEMBERS} files.")
            if member.name == MANIFEST:
                manifest = member
            elif not MEMBER.fullmatch(member.name):
                raise Unusable(f"{_shown(member.name)} does not belong in a backup.")
            elif member.name == SECRET and member.size > MOST_SECRET_BYTES:
                raise Unusable(f"Its secret key is too long: {member.size} bytes.")
        if manifest is None:
            raise Unusable(NO_MANIFEST)
        return _manifest(tar, manifest, len(names))


def members(source: Path) -> Iterator[tuple[re.Match[str], IO[bytes]]]:
    """Each member except the manifest: the match of its name, and its bytes. Call `survey` first."""
    with _reading(source) as tar:
        for member in _each(tar):
            kind, file = MEMBER.fullmatch(member.name), tar.extractfile(member)
            if kind is not None and file is not None:
                yield kind, file


@contextmanager
def _reading(source: Path) -> Iterator[tarfile.TarFile]:
    """Only plain tar: a packed archive could have any size once it is unpacked."""
    try:
        with tarfile.open(source, "r:", tarinfo=_Header) as tar:
            yield tar
    except UNREADABLE as error:
        raise Unusable(f"{NO_MANIFEST} It cannot be read to its end: {_shown(str(error))}.") from error


def _each(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    reached = -1
    while (member := tar.next()) is not None:
        if member.offset <= reached or member.size < 0:
            raise Unusable(f"The size of {_shown(member.name)} is invalid.")
        reached = member.offset
        vars(tar)["members"].clear()  # they would fill the memory
        yield member


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo, count: int) -> Manifest:
    most = MANIFEST_BYTES[0] + count * MANIFEST_BYTES[1]
    if member.size > most:
        raise Unusable(f"{NO_MANIFEST} Its manifest has {member.size} bytes; at most {most} are allowed.")
    file = tar.extractfile(member)
    found = json.loads(file.read()) if file is not None else None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not _is_members(found.get("members")):
        raise Unusable(NO_MANIFEST)
    made_at, database = (str(found.get(name, ""))[:64] for name in ("made_at", "database"))
    if database not in KINDS:
        raise Unusable(f"Its database is {_shown(database)}. This version reads {' and '.join(KINDS)}.")
    return Manifest(made_at if made_at.isprintable() else "", database, found["members"])


def _is_members(told: Any) -> bool:
    return isinstance(told, dict) and all(
        MEMBER.fullmatch(name) and isinstance(digest, str) and DIGEST.fullmatch(digest) for name, digest in told.items()
    )


def _shown(text: str) -> str:
    return repr(text[:200])
