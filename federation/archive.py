"""Reads the archive of a backup. Whatever its bytes are, a refusal is a sentence, before anything is written."""

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
MOST_HEADER_BYTES = 1 << 16  # of what a member's header may carry beyond its block
MANIFEST_BYTES = (4096, 512)  # that a manifest may have, and for each member beside it
MOST_SECRET_BYTES = 4096
UNREADABLE = (tarfile.TarError, ValueError, EOFError, OverflowError, RecursionError)
NO_MANIFEST = "It has no manifest that this version reads: it was cut off, or is no backup of this server."


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself: the digest of each member by its name."""

    made_at: str
    database: str
    members: dict[str, str]


class _Header(tarfile.TarInfo):
    """A header as backups have them: of a plain file, of which every byte is there."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        found = super().frombuf(buf, encoding, errors)
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.XHDTYPE):
            raise Unusable(f"{_shown(found.name)} is no plain file and does not belong into a backup.")
        if found.size < 0 or (found.type == tarfile.XHDTYPE and found.size > MOST_HEADER_BYTES):
            raise Unusable(f"The header of {_shown(found.name)} cannot be: its size is {found.size} bytes.")
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
    """An extended header belongs to the plain file that follows it, and tells of no holes in it."""
    if b"GNU.sparse" in file.read(-(-size // BLOCK) * BLOCK):
        raise Unusable("It holds a file with holes, which does not belong into a backup.")
    if file.read(BLOCK)[TYPE] == XHD:
        raise Unusable("It has two headers for one file.")


def survey(source: Path) -> Manifest:
    """Go through the headers alone. Raises Unusable where an archive is no backup, OSError."""
    size = source.stat().st_size
    if not stat.S_ISREG(source.stat().st_mode):
        raise Unusable("It is no file.")
    names, manifest = set[str](), None
    with _reading(source) as tar:
        for member in _each(tar):
            if member.offset_data + member.size > size:
                raise Unusable(f"{NO_MANIFEST} {_shown(member.name)} is longer than the file.")
            if member.name in names:
                raise Unusable(f"{_shown(member.name)} is there twice.")
            names.add(member.name)
            if len(names) > MOST_MEMBERS:
                raise Unusable(f"It has more than {MOST_MEMBERS} files.")
            if member.name == MANIFEST:
                manifest = member
            elif not MEMBER.fullmatch(member.name):
                raise Unusable(f"{_shown(member.name)} does not belong into a backup.")
            elif member.name == SECRET and member.size > MOST_SECRET_BYTES:
                raise Unusable(f"Its secret key is {member.size} bytes long.")
        if manifest is None:
            raise Unusable(NO_MANIFEST)
        return _manifest(tar, manifest, len(names))


def members(source: Path) -> Iterator[tuple[re.Match[str], IO[bytes]]]:
    """Each member but the manifest, by what its name says, with its bytes. For an archive that was surveyed."""
    with _reading(source) as tar:
        for member in _each(tar):
            kind, file = MEMBER.fullmatch(member.name), tar.extractfile(member)
            if kind is not None and file is not None:
                yield kind, file


@contextmanager
def _reading(source: Path) -> Iterator[tarfile.TarFile]:
    """Plain tar alone: what is packed could be of any size once it is unpacked."""
    try:
        with tarfile.open(source, "r:", tarinfo=_Header) as tar:
            yield tar
    except UNREADABLE as error:
        raise Unusable(f"{NO_MANIFEST} It cannot be read to its end: {_shown(str(error))}.") from error


def _each(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    reached = -1
    while (member := tar.next()) is not None:
        if member.offset <= reached or member.size < 0:
            raise Unusable(f"The size of {_shown(member.name)} cannot be.")
        reached = member.offset
        vars(tar)["members"].clear()  # or all of them would be kept
        yield member


def _manifest(tar: tarfile.TarFile, member: tarfile.TarInfo, count: int) -> Manifest:
    most = MANIFEST_BYTES[0] + count * MANIFEST_BYTES[1]
    if member.size > most:
        raise Unusable(f"{NO_MANIFEST} Its manifest has {member.size} bytes, of at most {most}.")
    file = tar.extractfile(member)
    found = json.loads(file.read()) if file is not None else None
    if not isinstance(found, dict) or found.get("format") != FORMAT or not _is_members(found.get("members")):
        raise Unusable(NO_MANIFEST)
    made_at, database = (str(found.get(name, ""))[:64] for name in ("made_at", "database"))
    if database not in KINDS:
        raise Unusable(f"It is of a database {_shown(database)}; this version reads {' and '.join(KINDS)}.")
    return Manifest(made_at if made_at.isprintable() else "", database, found["members"])


def _is_members(told: Any) -> bool:
    return isinstance(told, dict) and all(
        MEMBER.fullmatch(name) and isinstance(digest, str) and DIGEST.fullmatch(digest) for name, digest in told.items()
    )


def _shown(text: str) -> str:
    return repr(text[:200])
