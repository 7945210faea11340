"""What the server writes is for its own user, and where a group is named, the weights for that group."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from federation import private, storage
from flsite import environment

ROOT = Path(__file__).parents[2]
DIGEST = "ab" * 32
GROUP = os.getegid()
WHOLE_FOLDER = {"db.sqlite3", "db.sqlite3-wal", "secret_key", "celerybeat.db", "server.log"}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """As careless as it can be, so that what is private is so by itself."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def data(settings, monkeypatch, tmp_path) -> Path:
    """A data folder as version 0.1.0 left it: readable for everybody."""
    folder: Path = tmp_path / "data"
    settings.FL_DATA_DIR = folder
    for name in ("weights", "scratch", "uploads", "converted"):
        setattr(settings, f"FL_{name.upper()}_DIR", folder / name)
    monkeypatch.setitem(settings.DATABASES, "default", {"ENGINE": "flsite.sqlite", "NAME": str(folder / "db.sqlite3")})
    for inner in ("weights/ab", "scratch", "uploads", "converted", "logs", "agents/north"):
        (folder / inner).mkdir(parents=True)
    for file in (*WHOLE_FOLDER, f"weights/ab/{DIGEST}.safetensors"):
        (folder / file).write_text("old")
        (folder / file).chmod(0o644)
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        inner.chmod(0o755)
    return folder


def begin() -> None:
    private.begin.__wrapped__()


def python(code: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    given = os.environ | {"FL_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "flsite.settings"} | env
    command = [sys.executable, *(["-c", code] if " " in code else code.split("|"))]
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=True, timeout=600)


# ---- at the start


def test_what_an_older_version_left_open_is_closed_at_the_start(data):
    begin()
    assert mode(data) == 0o700
    assert {mode(data / name) for name in WHOLE_FOLDER} == {0o600}
    assert {mode(path) for path in data.iterdir() if path.is_dir()} == {0o700}


def test_weight_files_are_not_gone_through(data, monkeypatch):
    monkeypatch.setattr(Path, "glob", lambda self, pattern: pytest.fail(pattern) if "[" in pattern else iter(()))
    begin()
    assert mode(data / "weights") == 0o700


@pytest.mark.parametrize(
    ("module", "env"),
    [("flsite.asgi", {"REDIS_URL": "redis://localhost:1"}), ("flsite.embedded", {})],
)
def test_a_server_and_a_worker_do_so(data, module, env):
    code = f"import os, django; import {module}; from flsite.celery import app; app.loader.init_worker(); "
    code += "open(os.environ['FL_DATA_DIR'] + '/written', 'w').close()"
    python(code, data, **env)
    assert (mode(data), mode(data / "db.sqlite3"), mode(data / "written")) == (0o700, 0o600, 0o600)


def test_a_shared_folder_keeps_its_mode_and_the_log_says_so(data, caplog):
    data.chmod(0o1777)
    begin()
    assert mode(data) == 0o1777
    assert f"FL_DATA_DIR={data} is shared" in caplog.text
    assert mode(data / "server.log") == 0o644  # may be somebody else's
    assert {mode(data / name) for name in WHOLE_FOLDER - {"server.log"}} == {0o600}
    assert {mode(data / name) for name in ("weights", "scratch", "uploads", "converted", "logs", "agents")} == {0o700}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_another_user_keeps_its_mode(data, caplog):
    os.chown(data, 65534, -1)
    os.chown(data / "logs", 65534, -1)
    begin()
    assert (mode(data), mode(data / "logs"), mode(data / "db.sqlite3")) == (0o755, 0o755, 0o600)
    assert "belongs to another user" in caplog.text


@pytest.mark.parametrize("folder", ["/", "/srv", "/var", str(ROOT), str(ROOT.parent)])
def test_a_folder_with_more_in_it_than_data_is_not_ours_alone(folder):
    assert not private._is_ours_alone(Path(folder))


def test_what_a_link_leads_to_keeps_its_mode(data, tmp_path):
    (tmp_path / "public").mkdir(mode=0o755)
    (data / "link").symlink_to(tmp_path / "public")
    begin()
    assert mode(tmp_path / "public") == 0o755


def test_a_database_elsewhere_is_closed_too(data, settings, monkeypatch, tmp_path):
    file: Path = tmp_path / "elsewhere.sqlite3"
    file.touch(mode=0o644)
    monkeypatch.setitem(settings.DATABASES["default"], "NAME", str(file))
    begin()
    assert mode(file) == 0o600


# ---- what is written


def test_stored_files_are_private_whatever_the_umask(data, settings):
    settings.FL_WEIGHTS_DIR = data / "new"
    file = storage.scratch_path()
    file.write_bytes(b"weights")
    storage.put(file, DIGEST)
    assert mode(storage.path(DIGEST)) == 0o600
    assert (mode(data / "new"), mode(data / "new" / "ab")) == (0o700, 0o700)


def test_a_data_folder_is_made_private(tmp_path, monkeypatch):
    monkeypatch.setenv("FL_TEST", str(tmp_path / "new"))
    assert mode(environment.folder("FL_TEST", tmp_path)) == 0o700


def test_a_database_is_made_private(tmp_path):
    python("manage.py|migrate|--verbosity|0", tmp_path / "new")
    files = [path for path in (tmp_path / "new").iterdir() if path.is_file()]
    assert files and {mode(path) for path in files} == {0o600}


def test_what_commands_write_for_others_stays_readable(tmp_path):
    site = "from flsite.settings import *\n" + f"STATIC_ROOT = {str(tmp_path / 'static')!r}\n"
    (tmp_path / "site_with_static.py").write_text(site)
    os.umask(0o022)
    env = {"DJANGO_SETTINGS_MODULE": "site_with_static", "PYTHONPATH": str(tmp_path)}
    python("manage.py|collectstatic|--noinput|--verbosity|0", tmp_path / "data", **env)
    found = list((tmp_path / "static").rglob("*"))
    assert found and {mode(path) for path in found} == {0o755, 0o644}


# ---- a group that may read the weights


def test_a_group_reads_the_weights_and_nothing_else(data, settings):
    settings.FL_DATA_GROUP = GROUP
    begin()
    old = data / "weights" / "ab" / f"{DIGEST}.safetensors"
    file = storage.scratch_path()
    file.write_bytes(b"weights")
    storage.put(file, "cd" * 32)
    assert mode(data) == 0o710
    assert {mode(path) for path in (data / "weights", old.parent, storage.path("cd" * 32).parent)} == {0o750}
    assert {mode(path) for path in (old, storage.path("cd" * 32))} == {0o640}
    assert {path.stat().st_gid for path in (data, old, storage.path("cd" * 32))} == {GROUP}
    assert {mode(data / name) for name in ("scratch", "uploads", "logs", "agents")} == {0o700}
    assert {mode(data / name) for name in WHOLE_FOLDER} == {0o600}


def test_weight_files_are_given_to_the_group_once_and_again_after_a_kill(data, settings):
    settings.FL_DATA_GROUP = GROUP
    old = data / "weights" / "ab" / f"{DIGEST}.safetensors"
    (data / "weights").chmod(0o700)
    for written, expected in ((0o600, 0o640), (0o600, 0o600)):
        old.chmod(written)
        begin()
        assert mode(old) == expected  # the second start does not look at it


def test_without_the_group_again_nobody_comes_to_the_weights(data, settings):
    settings.FL_DATA_GROUP = GROUP
    begin()
    settings.FL_DATA_GROUP = None
    begin()
    assert (mode(data), mode(data / "weights")) == (0o700, 0o700)


def test_a_web_server_that_could_not_read_is_told_of(data, settings, caplog):
    settings.FL_ACCEL_REDIRECT, settings.FL_DATA_GROUP = "/protected/", None
    begin()
    assert "FL_DATA_GROUP is not" in caplog.text


def test_a_group_is_known_by_name_and_others_are_refused(monkeypatch):
    monkeypatch.setenv("FL_TEST", "")
    assert environment.group("FL_TEST") is None
    monkeypatch.setenv("FL_TEST", grp.getgrgid(GROUP).gr_name)
    assert environment.group("FL_TEST") == GROUP
    monkeypatch.setenv("FL_TEST", "no-such-group")
    with pytest.raises(ImproperlyConfigured, match="FL_TEST='no-such-group': this machine has no such group"):
        environment.group("FL_TEST")
    monkeypatch.setenv("FL_TEST", grp.getgrgid(GROUP).gr_name)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    monkeypatch.setattr(os, "getegid", lambda: -1)
    monkeypatch.setattr(os, "getgroups", lambda: [])
    with pytest.raises(ImproperlyConfigured, match="the server's user is not in this group"):
        environment.group("FL_TEST")
