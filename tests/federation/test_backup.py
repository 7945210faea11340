"""A backup is of one moment, says what it lacks, and brings a server back; anything else is refused in words."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from federation import backup, dump
from federation.models import Client, NoiseKey, Server, TrainingSession
from tests.e2e import warm
from tests.federation.cast import damage_file, send, settle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(open_round, now) -> TrainingSession:
    """Two rounds, the first of which has its model."""
    session = open_round("anna", "ben", rounds=2, cohort_size=2).session
    for name, value in (("anna", 0.5), ("ben", 0.25)):
        send(name, now=now, value=value)
    return settle(session, now=now)


@pytest.fixture
def file(session, tmp_path) -> Path:
    call_command("backup", str(tmp_path / "fl.tar"))
    return tmp_path / "fl.tar"


@pytest.fixture
def elsewhere(tmp_path) -> Iterator[dict[str, str]]:
    """The environment of another machine, where there is no server yet."""
    env = os.environ | {"FL_DATA_DIR": str(tmp_path / "elsewhere")}
    if connection.vendor == "sqlite":
        yield env
        return
    given = connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}
    with psycopg.connect(**given, autocommit=True) as server:
        name = f"elsewhere_{os.getpid()}"
        server.execute(f"CREATE DATABASE {name}")
        url = urlsplit(os.environ["DATABASE_URL"])
        yield env | {"DATABASE_URL": url._replace(path=f"/{name}").geturl()}
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def manage(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return warm.run(["manage.py", *words], env=env)


def test_a_restored_server_starts_in_its_new_folder_with_its_new_key(session, elsewhere, tmp_path):
    Server.objects.update_or_create(pk=1, defaults={"deployment": "ab" * 16, "key_fingerprint": "cd" * 16})
    call_command("backup", str(tmp_path / "fl.tar"))
    assert manage(elsewhere, "restore", str(tmp_path / "fl.tar")).returncode == 0
    for _ in range(2):
        checked = manage(elsewhere | {"FL_SECRET_KEY": "another"}, "shell", "-v0", "-c", CHECK)
        assert checked.stdout.strip() == "<>", checked.stdout + checked.stderr
    assert "FL_SECRET_KEY is not the key" in manage(elsewhere, "shell", "-v0", "-c", CHECK).stdout


CHECK = """
from federation.services import deployment
print(f"<{deployment.fault()}>")
"""
LOOK = """
from federation.models import *; from federation import storage
from django.contrib.auth.models import User
User.objects.create_user("bob")
for s in TrainingSession.objects.all():
    print(s.name, s.status, s.last_seq, s.events.count(), [m.digest for m in s.models.all()])
print(all(storage.is_whole(m.digest) for m in GlobalModel.objects.all()), [c.token_hash for c in Client.objects.all()])
"""


def test_a_server_is_brought_back_on_an_empty_machine_and_only_there(file, session, elsewhere):
    done = manage(elsewhere, "restore", str(file))
    assert done.returncode == 0, done.stderr
    assert "Restored: 1 session, 2 clients, 4 weight files, as of " in done.stdout
    looked = manage(elsewhere, "shell", "-v0", "-c", LOOK)
    assert looked.returncode == 0, looked.stderr
    digests = [model.digest for model in session.models.all()]
    hashes = [client.token_hash for client in Client.objects.all()]
    said = [line for line in looked.stdout.splitlines() if line.strip()]
    assert said[-2:] == [
        f"first {session.status} {session.last_seq} {session.events.count()} {digests}",
        f"True {hashes}",
    ]
    again = manage(elsewhere, "restore", str(file))
    assert again.returncode == 1 and "is not replaced. Set FL_DATA_DIR to an empty folder" in again.stderr


def test_a_backup_is_whole_and_readable_for_its_owner_alone(file, capsys):
    call_command("verify_backup", str(file))
    assert "is whole: 4 weight files and the database" in capsys.readouterr().out
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.glob(".*")] == []


def test_no_backup_has_the_secret_that_noise_is_made_of(tmp_path, draft):
    private = {"privacy": "fixed", "strategy_options": {"weighting": "equal"}}
    kept, deleted = draft(**private), draft(**private)
    keys = list(NoiseKey.objects.values_list("key", flat=True))
    deleted.delete()
    call_command("backup", str(tmp_path / "fl.tar"))
    body = (tmp_path / "fl.tar").read_bytes()
    assert len(keys) == 2 and not any(key.encode() in body for key in keys)
    assert NoiseKey.objects.get().session_id == kept.pk and b"first" in body


def test_what_a_killed_backup_left_is_removed_by_a_later_one(session, tmp_path):
    left, young = tmp_path / f"{backup.IN_THE_MAKING}old", tmp_path / f"{backup.IN_THE_MAKING}young"
    for folder in (left, young):
        (folder / "database").mkdir(parents=True)
    os.utime(left, (0, 0))
    call_command("backup", str(tmp_path / "fl.tar"))
    assert (left.exists(), young.exists()) == (False, True)


def test_it_is_never_replaced_unless_one_says_so(file):
    before = file.read_bytes()
    with pytest.raises(CommandError, match="add --force"):
        call_command("backup", str(file))
    assert file.read_bytes() == before
    call_command("backup", str(file), "--force")
    assert file.read_bytes() != before


def test_it_is_of_one_moment_though_others_write(session, tmp_path, monkeypatch, enrol):
    """A client that enrols between two steps of the copy is not in it."""
    monkeypatch.setattr(dump, "PAGES_AT_ONCE", 1)
    real, enrolled = backup._sizes, []

    def slow(digests):
        enrolled.extend(enrol("carl"))
        return real(digests)

    monkeypatch.setattr(backup, "_sizes", slow)
    call_command("backup", str(tmp_path / "fl.tar"))
    assert enrolled
    call_command("verify_backup", str(tmp_path / "fl.tar"))
    with tarfile.open(tmp_path / "fl.tar") as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # since 3.11.4
        tar.extractall(tmp_path / "out")
    copy = dump.KINDS[connection.vendor](tmp_path / "out" / "database")
    assert [name for (name,) in copy.rows("federation_client", ("name",))] == ["anna", "ben"]


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_what_the_store_lacks_is_named_and_the_rest_backed_up(session, tmp_path, how):
    digest = session.models.get(version=1).digest
    damage_file(digest, how)
    with pytest.raises(CommandError, match=f"{digest} is {'damaged' if how == 'flipped' else how}.*check_storage"):
        call_command("backup", str(tmp_path / "fl.tar"))
    with pytest.raises(CommandError, match=digest):
        call_command("verify_backup", str(tmp_path / "fl.tar"))


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 0x10
    file.write_bytes(data)


def place_of(file: Path, member: str) -> int:
    """Where a member's bytes begin."""
    with tarfile.open(file) as tar:
        return next(m.offset_data for m in tar if m.name.startswith(member))


@pytest.mark.parametrize(
    "member, said",
    [
        ("weights/", "weights/[0-9a-f]{64} is damaged"),
        ("database/", "database/.* is damaged"),
        ("manifest", "no manifest"),
    ],
)
def test_a_flipped_bit_is_found(file, elsewhere, member, said):
    flip(file, place_of(file, member))
    with pytest.raises(CommandError, match=said):
        call_command("verify_backup", str(file))
    done = manage(elsewhere, "restore", str(file))
    assert done.returncode == 1
    if member == "weights/":  # the rest is worth having
        assert "The rest is restored" in done.stderr and "Restored: 1 session," in done.stdout
    else:
        assert "cannot be restored" in done.stderr and "Restored" not in done.stdout


@pytest.mark.parametrize("member", ["database/", "weights/", "manifest"])
def test_a_backup_that_was_cut_off_is_found(file, member):
    file.write_bytes(file.read_bytes()[: place_of(file, member) + 50])
    with pytest.raises(CommandError, match="no manifest that this version can read. It is incomplete"):
        call_command("verify_backup", str(file))


def test_what_is_no_backup_is_refused(tmp_path, session):
    (tmp_path / "other").write_bytes(b"hello" * 500)
    with pytest.raises(CommandError, match="no manifest"):
        call_command("verify_backup", str(tmp_path / "other"))
    with pytest.raises(CommandError, match="No such file"):
        call_command("verify_backup", str(tmp_path / "nothing"))
    with pytest.raises(CommandError, match="no folder"):
        call_command("backup", str(tmp_path / "nowhere" / "fl.tar"))
    with pytest.raises(CommandError, match="is not replaced"):
        call_command("restore", str(tmp_path / "other"))


def test_a_file_that_cannot_be_read_is_not_restored(db, tmp_path, monkeypatch):
    monkeypatch.setattr(dump, "has_content", lambda: False)
    with pytest.raises(CommandError, match="nothing was not restored: .*No such file"):
        call_command("restore", str(tmp_path / "nothing"))


def test_a_member_that_leads_out_of_the_folder_is_refused(file, tmp_path):
    with tarfile.open(file, "a") as tar:
        tar.add(__file__, "../../evil")
    with pytest.raises(CommandError, match="'../../evil' does not belong"):
        call_command("verify_backup", str(file))


def change(file: Path, to: Path, **manifest: object) -> Path:
    """The same backup with something else in its manifest."""
    with tarfile.open(file) as old, tarfile.open(to, "w") as new:
        for member in old:
            content = old.extractfile(member)
            if member.name == backup.MANIFEST:
                data = json.dumps(json.loads(content.read()) | manifest).encode()
                (to.parent / "manifest").write_bytes(data)
                new.add(to.parent / "manifest", backup.MANIFEST)
            else:
                new.addfile(member, content)
    return to


def test_a_backup_of_another_kind_of_database_is_refused(file, tmp_path, elsewhere, monkeypatch):
    copy = dump.KINDS[connection.vendor](tmp_path)
    monkeypatch.setattr(type(copy), "vendor", "oracle")
    with pytest.raises(dump.Unusable, match="of a oracle database and this server uses"):
        copy.load()


def test_a_backup_of_a_newer_version_is_refused(tmp_path, monkeypatch):
    copy = dump.KINDS[connection.vendor](tmp_path)
    monkeypatch.setattr(type(copy), "migrations", lambda self: {("federation", "9999_later")})
    with pytest.raises(dump.Unusable, match="newer version, which has federation.9999_later"):
        copy.load()


def test_a_newer_form_of_backup_is_refused(file, tmp_path):
    with pytest.raises(CommandError, match="no manifest that this version can read"):
        call_command("verify_backup", str(change(file, tmp_path / "newer.tar", format=2)))


def test_a_reference_to_a_file_that_was_never_there_is_found(file, tmp_path):
    with tarfile.open(file) as tar:
        lacking = next(m.name for m in tar if m.name.startswith("weights/"))
    with tarfile.open(file) as old, tarfile.open(tmp_path / "less.tar", "w") as new:
        for member in old:
            if member.name != lacking:
                new.addfile(member, old.extractfile(member))
    with pytest.raises(CommandError, match=f"{lacking} is missing"):
        call_command("verify_backup", str(tmp_path / "less.tar"))


def test_a_damaged_database_is_found_by_its_own_check(tmp_path):
    copy = dump.Sqlite(tmp_path)
    with sqlite3.connect(copy.file) as made:
        made.execute("CREATE TABLE numbers (n)")
        made.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(5000)])
    made.close()
    assert copy.faults() == []
    with copy.file.open("r+b") as raw:
        raw.seek(4096 * 3)
        raw.write(b"\xff" * 2000)
    assert "The database is damaged" in copy.faults()[0]
    assert "missing" in dump.Postgresql(tmp_path).faults()[0]


def test_the_disk_that_is_full_leaves_nothing_half(session, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_add", full)
    with pytest.raises(CommandError, match="not written: .*No space left"):
        call_command("backup", str(tmp_path / "fl.tar"))
    assert not (tmp_path / "fl.tar").exists() and not list(tmp_path.glob(".*"))
