"""All processes of one deployment share a data folder, a key and one file system, or do not start."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from federation.models import Server
from federation.services import deployment

pytestmark = pytest.mark.django_db
ID = re.compile(r"[0-9a-f]{32}\n")
MEMORY = Path("/dev/shm")  # noqa: S108  a file system of its own


class Folders:
    """Data folders of processes, each with the folders within."""

    def __init__(self, settings: Any, root: Path) -> None:
        self.settings, self.root = settings, root

    def fault(self, folder: str, key: str = "one key") -> str:
        """What a process says that starts with this folder and key."""
        data = self.root / folder
        self.settings.FL_DATA_DIR, self.settings.SECRET_KEY = data, key
        for name in ("weights", "scratch", "uploads"):
            setattr(self.settings, f"FL_{name.upper()}_DIR", data / name)
        return deployment.fault()

    def file(self, folder: str) -> Path:
        return self.root / folder / "deployment"


@pytest.fixture
def folders(settings: Any, tmp_path: Path) -> Folders:
    return Folders(settings, tmp_path)


def row() -> tuple[str, str]:
    return Server.objects.values_list("deployment", "key_fingerprint").get(pk=1)


def test_the_first_process_says_what_the_others_must_share(folders: Folders) -> None:
    assert folders.fault("ours") == ""
    written = folders.file("ours").read_text()
    assert ID.fullmatch(written) and row()[0] == written.strip()
    assert folders.file("ours").stat().st_mode & 0o777 == 0o600
    before = row()
    assert folders.fault("ours") == "" and row() == before and folders.file("ours").read_text() == written


def test_the_key_is_neither_in_the_database_nor_in_the_folder(folders: Folders) -> None:
    folders.fault("ours", key="tell-nobody")
    assert "tell-nobody" not in "".join(row()) + folders.file("ours").read_text()


def test_another_folder_is_refused_and_left_as_it_was(folders: Folders) -> None:
    folders.fault("ours")
    before = row()
    said = folders.fault("theirs")
    assert said.startswith(f"FL_DATA_DIR={folders.root / 'theirs'} is not the folder that this database's other")
    assert row() == before and not folders.file("theirs").exists()
    assert folders.fault("theirs") == said and folders.fault("ours") == ""


def test_the_folder_of_another_database_is_refused(folders: Folders) -> None:
    folders.fault("theirs")
    Server.objects.all().delete()  # another database
    folders.fault("ours")
    assert "is not the folder" in folders.fault("theirs")


def test_another_key_is_refused(folders: Folders) -> None:
    folders.fault("ours")
    before = row()
    said = folders.fault("ours", key="tell-nobody")
    assert said.startswith("FL_SECRET_KEY is not the key that this database's other processes use.")
    assert "tell-nobody" not in said and row() == before
    assert folders.fault("ours") == ""


def test_what_an_earlier_version_left_is_taken_as_it_is(folders: Folders) -> None:
    Server.objects.create(pk=1, last_seq=7)
    (folders.root / "ours" / "weights").mkdir(parents=True)
    assert folders.fault("ours") == "" and Server.objects.get().last_seq == 7


def test_a_database_that_was_made_anew_takes_the_id_of_the_folder(folders: Folders) -> None:
    folders.fault("ours")
    written = folders.file("ours").read_text()
    Server.objects.all().delete()
    assert folders.fault("ours", key="another") == "" and row()[0] == written.strip()


@pytest.mark.parametrize("left", ["", "\0" * 33, "0123", "x" * 90])
def test_a_file_whose_writer_was_killed_is_written_again(folders: Folders, left: str) -> None:
    folders.file("ours").parent.mkdir()
    folders.file("ours").write_text(left)
    assert folders.fault("ours") == "" and ID.fullmatch(folders.file("ours").read_text())
    assert folders.fault("ours") == ""


def test_whoever_is_killed_before_the_database_knows_leaves_its_id_to_the_next(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: str) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(deployment, "_fingerprint", killed)
        folders.fault("ours")
    written = folders.file("ours").read_text()
    assert ID.fullmatch(written) and row() == ("", "")
    assert folders.fault("ours") == "" and row()[0] == written.strip()


@pytest.mark.parametrize("more", ["", "\n", "  \n\n"])
def test_the_word_new_makes_folder_and_key_the_right_ones(folders: Folders, more: str) -> None:
    folders.fault("ours")
    folders.file("theirs").parent.mkdir()
    folders.file("theirs").write_text(f"new{more}")
    assert folders.fault("theirs", key="another") == ""
    assert ID.fullmatch(folders.file("theirs").read_text())
    assert folders.fault("theirs", key="another") == ""
    assert "is not the folder" in folders.fault("ours") and "is not the key" in folders.fault("theirs")


def test_whoever_is_killed_while_beginning_anew_leaves_the_word(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    folders.fault("ours")
    deployment.begin_anew()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(deployment, "_write", killed)
        folders.fault("ours", key="another")
    assert folders.file("ours").read_text() == "new\n"
    assert folders.fault("ours", key="another") == "" and "is not the key" in folders.fault("ours")


starts = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), min_size=1, max_size=8)


@given(order=starts)
@hypothesis_settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whoever_comes_first_decides_for_all(folders: Folders, order: list[tuple[str, str]]) -> None:
    Server.objects.all().delete()
    for folder in "ab":
        shutil.rmtree(folders.root / folder, ignore_errors=True)
    first, right_key = order[0]
    for folder, key in order:
        said = folders.fault(folder, key=key)
        expected = "not the folder" if folder != first else "not the key" if key != right_key else ""
        assert expected in said and bool(expected) == bool(said)


@pytest.mark.skipif(not MEMORY.is_dir(), reason="there is no second file system")
@pytest.mark.parametrize("inner", ["uploads", "scratch", "weights"])
def test_a_folder_on_another_file_system_is_refused(folders: Folders, inner: str) -> None:
    away = MEMORY / f"fl-test-{os.getpid()}"
    away.mkdir()
    try:
        (folders.root / "ours").mkdir()
        (folders.root / "ours" / inner).symlink_to(away)
        said = folders.fault("ours")
        assert "is not on the file system of" in said and f"/{inner}" in said and said.endswith("as a whole.")
        assert not folders.file("ours").exists() and not list(away.iterdir())
    finally:
        away.rmdir()


def test_a_link_within_the_file_system_is_allowed(folders: Folders) -> None:
    (folders.root / "elsewhere").mkdir()
    (folders.root / "ours").mkdir()
    (folders.root / "ours" / "uploads").symlink_to(folders.root / "elsewhere")
    assert folders.fault("ours") == ""


@pytest.fixture
def mounted(folders: Folders) -> Iterator[Path]:
    """A folder of uploads that is a mount of its own, of the same file system."""
    target, source = folders.root / "ours" / "uploads", folders.root / "source"
    for folder in (target, source):
        folder.mkdir(parents=True)
    if subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount")
    yield target
    subprocess.run(["umount", target], check=True)


def test_a_mount_of_the_same_file_system_is_refused_too(folders: Folders, mounted: Path) -> None:
    assert mounted.stat().st_dev == folders.root.stat().st_dev
    assert "is not on the file system of" in folders.fault("ours")


def test_a_mount_is_noticed_by_what_renaming_says(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(source: Path, _: Path) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))

    monkeypatch.setattr(os, "rename", rename)
    assert "is not on the file system of" in folders.fault("ours")


def test_a_folder_that_cannot_be_used_is_named(folders: Folders) -> None:
    folders.file("ours").mkdir(parents=True)  # where the file should be
    said = folders.fault("ours")
    assert said == f"FL_DATA_DIR={folders.root / 'ours'} cannot be used: Is a directory: {folders.file('ours')}."


def test_a_check_is_few_queries(folders: Folders, django_assert_num_queries: Any) -> None:
    folders.fault("ours")
    with django_assert_num_queries(2, connection=connection):
        folders.fault("ours")
