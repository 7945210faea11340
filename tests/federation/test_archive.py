"""Whatever bytes are given as a backup, what comes is a sentence and status 1, and nothing is left behind."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation import archive, backup, dump, storage
from federation.dump import Unusable
from federation.models import Client
from tests.federation.cast import send, settle

pytestmark = pytest.mark.django_db(transaction=True)
sqlite_alone = pytest.mark.skipif(connection.vendor != "sqlite", reason="crafts an SQLite file")
Member = tuple[str, bytes]


@pytest.fixture
def good(open_round, now, tmp_path) -> Path:
    """A backup of a server with one model."""
    session = open_round("anna", rounds=1).session
    send("anna", now=now)
    settle(session, now=now)
    backup.write(tmp_path / "good.tar")
    return tmp_path / "good.tar"


def contents_of(file: Path) -> list[Member]:
    with tarfile.open(file) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def made(to: Path, found: list[Member], **change: Any) -> Path:
    """An archive of these members, with other fields in their headers where told."""
    with tarfile.open(to, "w") as tar:
        for name, data in found:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in change.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return to


def with_manifest(found: list[Member], **change: Any) -> list[Member]:
    """The same with its manifest made anew."""
    rest = [(name, data) for name, data in found if name != archive.MANIFEST]
    manifest = json.loads(dict(found)[archive.MANIFEST])
    manifest["members"] = {name: hashlib.sha256(data).hexdigest() for name, data in rest}
    return [*rest, (archive.MANIFEST, json.dumps(manifest | change).encode())]


def refused(file: Path, said: str) -> None:
    """By both commands, in words, with nothing left behind."""
    before = {path for path in (file.parent).rglob("*")}
    with pytest.raises(CommandError, match=said):
        call_command("verify_backup", str(file))
    with pytest.raises(Unusable, match=said):
        backup.restore(file)
    scratch = {path for path in file.parent.rglob("*")} - before - {django_settings.FL_SCRATCH_DIR}
    assert not scratch


NOT_PLAIN = [
    tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE,
    tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE, b"?",
]  # fmt: skip


def test_only_plain_files_belong_into_one(good):
    before = good.read_bytes()
    for kind in NOT_PLAIN:
        good.write_bytes(before)
        with tarfile.open(good, "a") as tar:
            info = tarfile.TarInfo("weights/" + "0" * 64)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        refused(good, "is no plain file")


NO_NAMES = [
    "/etc/passwd", "../evil", "weights/../../evil", "database/a.sqlite3/x", "database/A", "weights/" + "0" * 63,
    "secret_key/", "x\n", "\x1b[2J",
]  # fmt: skip


def test_a_name_that_no_member_has_is_refused(good):
    found = contents_of(good)
    for name in NO_NAMES:
        made(good, [*found, (name, b"evil")])
        refused(good, "does not belong in a backup")


def test_a_name_that_is_there_twice_is_refused(good):
    found = contents_of(good)
    made(good, [found[0], *found])
    refused(good, "is in it twice")


def test_a_packed_one_is_refused_unread(good):
    good.write_bytes(gzip.compress(good.read_bytes()))
    refused(good, "no manifest")


def test_what_has_holes_is_refused(good):
    found = contents_of(good)
    with tarfile.open(good, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in found:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}
            tar.addfile(info, io.BytesIO(data))
    refused(good, "file with holes")


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("size", [1 << 50, (1 << 33) + 5, 10_000])
def test_a_member_that_is_longer_than_the_file_is_refused(good, size):
    good.write_bytes(header("database/db.sqlite3", size) + bytes(512))
    refused(good, "is longer than the file")


def test_a_size_below_nothing_is_refused(good):
    good.write_bytes(header("database/db.sqlite3", -512) + good.read_bytes())
    refused(good, "is invalid: its size is")


def test_a_size_below_nothing_in_an_extended_header_ends_too(good):
    record = b"13 size=-1024\n"[:14]
    good.write_bytes(
        header("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0") + header("weights/" + "0" * 64, 0)
    )
    refused(good, ".")


def test_a_long_chain_of_extended_headers_is_refused(good):
    good.write_bytes((header("x", 12, tarfile.XHDTYPE) + b"12 comment=\n".ljust(512, b"\0")) * 3000)
    refused(good, "two headers for one file")


def test_an_extended_header_is_bounded(good):
    good.write_bytes(header("x", 1 << 20, tarfile.XHDTYPE) + b"a" * (1 << 20))
    refused(good, "its size is 1048576 bytes")


def test_the_number_of_members_is_bounded(good, monkeypatch):
    monkeypatch.setattr(archive, "MOST_MEMBERS", 2)
    refused(good, "more than 2 files")


def test_the_manifest_is_bounded_by_the_number_of_members(good):
    found = dict(contents_of(good))
    found[archive.MANIFEST] += b" " * 100_000
    made(good, list(found.items()))
    refused(good, r"Its manifest has 1\d{5} bytes; at most")


def test_a_secret_key_is_bounded(good):
    made(good, [*[one for one in contents_of(good) if one[0] != archive.SECRET], (archive.SECRET, b"k" * 5000)])
    refused(good, "secret key is too long: 5000 bytes")


MANIFESTS = [
    b"[]", b"null", b"{}", b"\xff", b"[" * 3000, b"{" * 3000, b'{"format": 1}', b'{"format": 1, "members": []}',
    b'{"format": 1, "members": {"x": 1}}', b'{"format": 1, "members": {"secret_key": 7}}',
    b'{"format": 1e999, "members": {}}', b'{"format": 1, "members": {}, "database": {}}',
]  # fmt: skip


def test_a_manifest_is_taken_apart_with_care(good):
    others = [one for one in contents_of(good) if one[0] != archive.MANIFEST]
    for manifest in MANIFESTS:
        made(good, [*others, (archive.MANIFEST, manifest)])
        refused(good, "no manifest that this version can read|Its database is")


def test_a_pipe_and_a_folder_are_no_backups(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(CommandError, match="It is not a file"):
            call_command("verify_backup", str(tmp_path / name))


# ---- the database within


def crafted(good: Path, statements: str) -> Path:
    """The same backup with statements run in its database, and a manifest that fits."""
    found, file = contents_of(good), good.parent / "db.sqlite3"
    file.write_bytes(dict(found)["database/db.sqlite3"])
    with sqlite3.connect(file) as changed:
        changed.executescript(statements)
    changed.close()
    data = file.read_bytes()
    file.unlink()
    return made(good, with_manifest([(n, data if n.startswith("database/") else d) for n, d in found]))


NOT_THIS_SERVERS = [
    ("DROP TABLE federation_globalmodel", "no such table: federation_globalmodel"),
    ("ALTER TABLE federation_participation RENAME COLUMN digest TO d", "no such column"),
    ("DROP TABLE django_migrations", "no such table: django_migrations"),
    ("UPDATE federation_globalmodel SET digest = '../../evil'", "a digest is '../../evil'"),
    ("UPDATE federation_globalmodel SET digest = x'ff00'", "a digest is"),
    ("UPDATE federation_globalmodel SET digest = 7", "a digest is"),
    ("CREATE VIEW v AS SELECT 1", "views, triggers or virtual tables"),
    ("CREATE TRIGGER t AFTER INSERT ON auth_user BEGIN DELETE FROM auth_user; END", "triggers"),
    ("CREATE VIRTUAL TABLE f USING fts5(x)", "virtual tables"),
]


@sqlite_alone
def test_a_database_that_is_not_this_servers_is_refused(good):
    before = good.read_bytes()
    for statements, said in NOT_THIS_SERVERS:
        good.write_bytes(before)
        refused(crafted(good, statements), said)


@sqlite_alone
@pytest.mark.parametrize("data", [b"", b"not a database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_database_is_refused(good, data):
    found = [(name, data if name.startswith("database/") else was) for name, was in contents_of(good)]
    refused(made(good, with_manifest(found)), "The database is damaged")


def test_a_database_of_no_known_kind_is_refused(good):
    refused(made(good, with_manifest(contents_of(good), database="oracle")), "Its database is 'oracle'")


def test_where_reading_in_fails_the_weight_files_are_taken_out_again(good, monkeypatch):
    digests = [name.partition("/")[2] for name, _ in contents_of(good) if name.startswith("weights/")]
    kept, gone, *_ = digests
    storage.path(gone).unlink()

    def fails(self: dump.Dump) -> None:
        raise Unusable("no.")

    monkeypatch.setattr(dump.Dump, "load", fails)
    with pytest.raises(Unusable, match="no"):
        backup.restore(good)
    assert storage.exists(kept) and not storage.exists(gone), "only what was not there before is taken out"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another database's file in the place of this one's, until the test ends."""
    live = tmp_path / "live.sqlite3"
    connection.close()
    with monkeypatch.context() as meanwhile:
        meanwhile.setitem(connection.settings_dict, "NAME", str(live))
        yield live
        connection.close()  # or the tests after this one would stay there


@sqlite_alone
def test_where_migrating_fails_the_database_is_empty_again(tmp_path, monkeypatch, elsewhere):
    live, copied = elsewhere, dump.Sqlite(tmp_path)
    for file in (live, copied.file):
        with sqlite3.connect(file) as fresh:
            fresh.execute("CREATE TABLE django_migrations (id, app, name, applied)")
        fresh.close()

    def fails(*_: object, **__: object) -> None:
        raise CommandError("a conflict")

    monkeypatch.setattr(dump, "call_command", fails)
    with pytest.raises(Unusable, match="cannot be restored: a conflict"):
        copied.load()
    with sqlite3.connect(live) as looked:
        assert looked.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    looked.close()


# ---- any bytes

change = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=64)),
    st.tuples(st.just("cut"), st.integers(0, 1 << 20), st.just(b"")),
    st.tuples(st.just("put"), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=1024)),
    st.tuples(st.just("block"), st.integers(0, 1 << 11), st.sampled_from([bytes(512), b"\xff" * 512])),
)


def mutated(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for how, at, what in changes:
        at = at * 512 if how == "block" else at
        at %= len(data) + 1
        rest = {"cut": b"", "put": data[at:]}.get(how, data[at + len(what) :])
        data = data[:at] + what + rest
    return data


def ends_in_words(file: Path, look: Callable[[Path], object]) -> None:
    try:
        look(file)
    except (Unusable, CommandError) as refusal:
        assert str(refusal)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(change, min_size=1, max_size=4))
def test_a_good_one_that_was_changed_ends_in_words(good, changes):
    file = good.with_name("changed.tar")
    file.write_bytes(mutated(good.read_bytes(), changes))
    ends_in_words(file, lambda one: call_command("verify_backup", str(one)))
    assert not list(good.parent.glob(".verify-*"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=4096), begins=st.sampled_from([b"", header("manifest.json", 40), header("x", 9, b"x")]))
def test_any_bytes_end_in_words(tmp_path, data, begins):
    file = tmp_path / "any.tar"
    file.write_bytes(begins + data)
    ends_in_words(file, archive.survey)


def test_the_good_one_is_whole(good, capsys):
    call_command("verify_backup", str(good))
    assert "is whole: 3 weight files" in capsys.readouterr().out
    assert Client.objects.exists()
