"""Settings come from the environment; nonsense is refused at start with what is allowed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from flsite import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("value, expected", [("1", True), ("0", False), (" 1 ", True), ("", False), (None, False)])
def test_a_flag_is_0_or_1_and_its_default_where_it_is_not_set(monkeypatch, value, expected):
    if value is not None:
        monkeypatch.setenv("FL_TEST", value)
    assert environment.flag("FL_TEST", False) is expected


@pytest.mark.parametrize("value", ["yes", "true", "2", "-1"])
def test_another_flag_is_refused(monkeypatch, value):
    monkeypatch.setenv("FL_TEST", value)
    with pytest.raises(ImproperlyConfigured, match=f"FL_TEST='{value}': use 0 or 1"):
        environment.flag("FL_TEST", False)


@pytest.mark.parametrize("value", ["0", "11", "-1", "1.5", "many", "1e1", "9" * 5000])
def test_a_number_out_of_range_is_refused(monkeypatch, value):
    monkeypatch.setenv("FL_TEST", value)
    with pytest.raises(ImproperlyConfigured, match="use a whole number from 1 to 10"):
        environment.whole("FL_TEST", 5, minimum=1, maximum=10)


@pytest.mark.parametrize("value", ["best", "every_0", "every_", "all,best", "every_1234567"])
def test_a_word_that_does_not_fit_is_refused(monkeypatch, value):
    monkeypatch.setenv("FL_TEST", value)
    with pytest.raises(ImproperlyConfigured, match=f"FL_TEST='{value}': use all or every_10"):
        environment.fitting("FL_TEST", "all", "all|every_[1-9][0-9]{0,5}", "all or every_10")


def test_a_list_is_separated_by_commas(monkeypatch):
    monkeypatch.setenv("FL_TEST", " a.example, ,b.example ")
    assert environment.names("FL_TEST", []) == ["a.example", "b.example"]


@pytest.mark.parametrize("value", ["mysql://localhost/x", "localhost", "http://[::1"])
def test_an_address_of_another_kind_is_refused_without_repeating_its_password(monkeypatch, value):
    monkeypatch.setenv("FL_TEST", value)
    with pytest.raises(ImproperlyConfigured, match="must begin with postgres:// or postgresql://") as refused:
        environment.url("FL_TEST", "postgres", "postgresql")
    assert value not in str(refused.value)


def test_a_value_may_be_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text(" hidden\n")
    monkeypatch.setenv("FL_TEST_FILE", str(tmp_path / "secret"))
    assert environment.text("FL_TEST") == "hidden"
    assert environment.names("FL_TEST", []) == ["hidden"]


def test_a_value_both_in_the_environment_and_in_a_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("hidden")
    monkeypatch.setenv("FL_TEST_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("FL_TEST", "plain")
    with pytest.raises(ImproperlyConfigured, match="FL_TEST and FL_TEST_FILE are both set: use one of them") as refused:
        environment.text("FL_TEST")
    assert "hidden" not in str(refused.value) and "plain" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"", "is empty"), (b" \n", "is empty"), (b"\xff", "it is no text")]
)
def test_a_file_without_a_value_is_refused(monkeypatch, tmp_path, content, said):
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("FL_TEST_FILE", str(tmp_path / "secret"))
    with pytest.raises(ImproperlyConfigured, match=f"FL_TEST_FILE: the file {tmp_path}/secret .*{said}"):
        environment.text("FL_TEST", "default")


@pytest.mark.parametrize("value", ["protected", "/protected", "protected/", "/", "//", "/a b/", "http://x/"])
def test_a_location_begins_and_ends_with_a_slash(monkeypatch, value):
    assert environment.location("FL_TEST") == ""
    monkeypatch.setenv("FL_TEST", "/protected/models/")
    assert environment.location("FL_TEST") == "/protected/models/"
    monkeypatch.setenv("FL_TEST", value)
    with pytest.raises(ImproperlyConfigured, match="begins and ends with /, as /protected/"):
        environment.location("FL_TEST")


def test_a_folder_is_made_and_may_not_be_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("FL_TEST", str(tmp_path / "a" / "b"))
    assert environment.folder("FL_TEST", tmp_path).is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FL_TEST", str(tmp_path / "file"))
    with pytest.raises(ImproperlyConfigured, match="cannot be made"):
        environment.folder("FL_TEST", tmp_path)


@pytest.fixture
def no_superuser():
    """Root may write everywhere: it asks as somebody else whether it may."""
    if os.getuid() != 0:
        yield
        return
    os.setreuid(65534, 0)
    yield
    os.setreuid(0, 0)


def test_a_folder_that_may_not_be_written_is_refused_and_left_as_it_is(monkeypatch, tmp_path, no_superuser):
    folder = tmp_path / "a"
    folder.mkdir(mode=0o500)
    monkeypatch.setenv("FL_TEST", str(folder))
    with pytest.raises(ImproperlyConfigured, match=f"FL_TEST: no permission to write in {folder}"):
        environment.folder("FL_TEST", tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o500 and list(folder.iterdir()) == []


def test_a_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path):
    file = tmp_path / "secret"
    secret = environment.kept_secret(file)
    assert len(secret) > 50 and environment.kept_secret(file) == secret
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_secret_whose_writer_was_killed_is_made_again(tmp_path):
    file = tmp_path / "secret"
    file.touch(0o600)
    assert len(environment.kept_secret(file)) > 50


def start(tmp_path, *, then="", **env):
    """Start Django with these variables, and run code. Returns the last line of an error, empty if all was well."""
    known = {name: value for name, value in os.environ.items() if not name.startswith(("FL_", "DATABASE_", "REDIS_"))}
    env = known | {"DJANGO_SETTINGS_MODULE": "flsite.settings", "FL_DATA_DIR": str(tmp_path)} | env
    command = [sys.executable, "-c", f"import django; django.setup()\n{then}"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    return done.stderr.strip().rpartition("\n")[2] if done.returncode else ""


@pytest.mark.parametrize(
    "name, value",
    [
        ("FL_ONLINE_SECONDS", "0"),
        ("FL_KEEP_MODELS", "some"),
        ("FL_DEBUG", "yes"),
        ("DATABASE_URL", "mysql://x/y"),
        ("REDIS_URL", "localhost:6379"),
    ],
)
def test_the_server_does_not_start_with_nonsense(tmp_path, name, value):
    assert name in start(tmp_path, **{name: value})


def test_the_password_of_the_database_may_be_in_a_file(tmp_path):
    (tmp_path / "password").write_text("p@ss:word/\n")
    then = "from django.conf import settings; assert settings.DATABASES['default']['PASSWORD'] == 'p@ss:word/'"
    url, file = "postgres://fl@db/fl", str(tmp_path / "password")
    assert start(tmp_path, DATABASE_URL=url, FL_DATABASE_PASSWORD_FILE=file, then=then) == ""
    assert "AssertionError" in start(tmp_path, DATABASE_URL="postgres://fl:other@db/fl", then=then)


def test_it_starts_with_sense(tmp_path):
    assert start(tmp_path, FL_ONLINE_SECONDS="5", FL_DEBUG="0", FL_ALLOWED_HOSTS="fl.example") == ""
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_folder_to_read_from_must_exist(monkeypatch, tmp_path):
    assert environment.existing_folder("FL_TEST") is None
    monkeypatch.setenv("FL_TEST", str(tmp_path))
    assert environment.existing_folder("FL_TEST") == tmp_path
    monkeypatch.setenv("FL_TEST", str(tmp_path / "gone"))
    with pytest.raises(ImproperlyConfigured, match="use an existing folder that the server's user can read"):
        environment.existing_folder("FL_TEST")
