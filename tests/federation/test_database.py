"""A database that somebody else has locked, for real: on SQLite the whole file, on PostgreSQL the tables."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, ProgrammingError, connection, transaction
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation import database, tasks
from federation.models import Invitation, Round, Server
from federation.services import rounds, server
from tests.federation.api.conftest import problem

pytestmark = pytest.mark.django_db(transaction=True)
TABLES = "federation_invitation, federation_server, federation_round, federation_alert"


@contextmanager
def _sqlite() -> Iterator[Callable[[], None]]:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 20")
    holder = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield holder.close
    holder.close()


@contextmanager
def _postgresql() -> Iterator[Callable[[], None]]:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '20ms'")
    holder = psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor})
    holder.execute(f"LOCK TABLE {TABLES} IN SHARE MODE")
    yield holder.close
    holder.close()


@pytest.fixture
def lock(key: str) -> Iterator[Callable[[], None]]:
    """The database is locked for writers until this is called."""
    server.tick(now=timezone.now())
    with _sqlite() if connection.vendor == "sqlite" else _postgresql() as release:
        yield release
    connection.close()  # it had a short patience


def test_the_api_asks_to_come_again(lock, key, monkeypatch):
    monkeypatch.setattr("federation.database.connections.close_all", lambda: None)
    browser = Browser(headers={"authorization": f"Bearer {key}"})
    ask = {"path": "/api/v1/invitations", "data": {"uses": 1}, "content_type": "application/json"}
    answer = browser.post(**ask)
    assert "database" in problem(answer, 503)
    assert answer["Retry-After"] == "1"
    lock()
    assert browser.post(**ask).status_code == 201
    assert Invitation.objects.count() == 1


def test_who_waits_behind_another_thread_for_too_long_is_asked_to_come_again(key, monkeypatch):
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer at a time")
    monkeypatch.setattr("federation.database.connections.close_all", lambda: None)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.02)
    at_work, done = threading.Event(), threading.Event()

    def work() -> None:
        with transaction.atomic():
            at_work.set()
            done.wait(30)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    assert at_work.wait(10)
    browser = Browser(headers={"authorization": f"Bearer {key}"})
    ask = {"path": "/api/v1/invitations", "data": {"uses": 1}, "content_type": "application/json"}
    answer = browser.post(**ask)
    assert "database" in problem(answer, 503) and answer["Retry-After"] == "1"
    assert Invitation.objects.count() == 0
    done.set()
    worker.join()
    assert browser.post(**ask).status_code == 201
    assert Invitation.objects.count() == 1


@pytest.fixture
def browser(alice) -> Browser:
    browser = Browser()
    browser.force_login(alice)
    return browser


def test_a_page_says_so(browser, lock):
    answer = browser.post(reverse("invite"), {"uses": 1, "expires": "86400"})
    assert answer.status_code == 503 and answer["Retry-After"] == "1"
    assert "The database does not answer now" in answer.content.decode()
    lock()
    assert browser.post(reverse("invite"), {"uses": 1, "expires": "86400"}).status_code < 400


def test_a_tick_that_finds_it_locked_is_made_up_for(lock, caplog):
    before = Server.objects.get().ticked_at
    tasks.advance_all()
    assert "the next tick makes up for federation.tasks.advance_all" in caplog.text
    assert Server.objects.get().ticked_at == before
    lock()
    tasks.advance_all()
    assert Server.objects.get().ticked_at > before


def test_a_connection_that_was_cut_is_opened_anew():
    if connection.vendor != "postgresql":
        pytest.skip("a file has no connections")
    tasks.advance_all()
    before = Server.objects.get().ticked_at
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
    tasks.advance_all()
    tasks.advance_all()
    assert Server.objects.get().ticked_at > before


def test_the_worker_waits_at_its_start(lock, monkeypatch, caplog):
    monkeypatch.setattr("federation.database.connections.close_all", lambda: None)
    monkeypatch.setattr("federation.database.time.sleep", lambda _: lock())
    database.patiently(rounds.free_leases, "the worker")
    assert "the worker waits for the database" in caplog.text


def test_so_do_migrations(lock, monkeypatch, caplog):
    monkeypatch.setattr("federation.database.connections.close_all", lambda: None)
    monkeypatch.setattr("federation.database.time.sleep", lambda _: lock())
    call_command("migrate", verbosity=0)
    assert Round.objects.count() == 0


@pytest.mark.parametrize("error", [OperationalError("could not connect"), InterfaceError("the connection is closed")])
def test_what_passes_by_itself(error):
    assert database.is_away(error)


def test_a_mistake_of_ours_is_not_waited_for():
    with pytest.raises((OperationalError, ProgrammingError)) as raised, connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")
    assert not database.is_away(raised.value)
    with pytest.raises(type(raised.value)):
        database.patiently(lambda: connection.cursor().execute("SELECT nothing FROM nowhere"), "a test")
