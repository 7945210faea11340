"""What `runserver` does before it serves: an SQLite database is made, or brought up to date after a copy of it.

Another database is left to its administrator: one sentence says which command is missing.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse
from django.utils import timezone

from federation import database
from federation.fl.version import __version__
from federation.services import deployment, first_account

Say = Callable[[str], object]
KEPT_LINK = "first-account"  # a file in the data folder
OURS = "federation"
HEADROOM = 2  # copies of the database that the disk must have room for: the copy, and what the migration writes


def prepare(say: Say, *, any_database: bool = False) -> None:
    """Make the database ready. Raises CommandError with a sentence where that is not possible.

    any_database: migrate one that is not SQLite's, too, without a copy.
    """
    _prepare_tables(say, any_database=any_database)
    if sentence := unshared("the server"):
        raise CommandError(sentence)


def unshared(doing: str) -> str:
    """What this process does not share with the others, as a sentence; empty if nothing. The tables are there."""
    return database.patiently(deployment.fault, doing)


def _prepare_tables(say: Say, *, any_database: bool) -> None:
    try:
        database.wait("the server")
        executor = MigrationExecutor(connection)
    except DatabaseError as error:
        raise CommandError(f"The database cannot be used: {_line(error)}. Check {_where()}.") from error
    applied = _applied(executor)
    if unknown := applied - {name for app, name in executor.loader.disk_migrations if app == OURS}:
        known = f"this is {__version__}"
        raise CommandError(f"A newer version wrote the database ({max(unknown)}); {known}. Install the newer version.")
    if _is_prepared(executor):
        return
    is_sqlite = connection.vendor == "sqlite"
    if not (is_sqlite or any_database):
        raise CommandError(f"{_state(applied)} Run `manage.py migrate`, then start the server again.")
    _migrate(say, copies=is_sqlite and bool(applied))


def fault() -> str:
    """Why the database cannot be used as it is, as a sentence; empty if nothing is known."""
    try:
        return unprepared()
    except DatabaseError as error:
        return f"The database cannot be used: {_line(error)}. Check {_where()}."


def unprepared() -> str:
    """What the database lacks, as a sentence; empty if nothing. Raises DatabaseError if it does not answer."""
    executor = MigrationExecutor(connection)
    return "" if _is_prepared(executor) else f"{_state(_applied(executor))} Run `manage.py migrate` first."


def _applied(executor: MigrationExecutor) -> set[str]:
    return {name for app, name in executor.loader.applied_migrations if app == OURS}


def _is_prepared(executor: MigrationExecutor) -> bool:
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _state(applied: set[str]) -> str:
    return f"The database {'is of an older version' if applied else 'has no tables yet'}."


def _migrate(say: Say, *, copies: bool) -> None:
    kept = ""
    if copies:
        copy = _copy()
        say(f"The database is of an older version. A copy of it is kept: {copy}")
        kept = f" The copy {copy} is as it was."
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except Exception as error:
        raise CommandError(f"The database could not be migrated: {_line(error)}.{kept}") from error
    say(f"The database is {'up to date' if copies else 'ready'}: {connection.settings_dict['NAME']}")


def _copy() -> Path:
    """A whole copy of the database beside it, also while another process writes to it."""
    name = Path(connection.settings_dict["NAME"])
    target = name.with_name(f"{name.name}.before-{timezone.now():%Y%m%d-%H%M%S}")
    part = target.with_name(f"{target.name}.part")
    needed, free = HEADROOM * name.stat().st_size, shutil.disk_usage(name.parent).free
    if free < needed:
        raise CommandError(
            f"The disk has {free >> 20} MiB left; a copy of the database needs {needed >> 20}. Make room."
        )
    try:
        with closing(sqlite3.connect(part)) as copied:
            connection.ensure_connection()
            connection.connection.backup(copied)
        part.chmod(0o600)
        part.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise CommandError(f"The database could not be copied to {target}: {_line(error)}.") from error
    return target


def offer_account(say: Say, address: str) -> None:
    """Print the link to the page that makes the first account. address: the server's, without a path.

    The code is behind a #: browsers keep that part to themselves, so it is in no access log. Where the output goes
    to a file, the link is kept in a file of its own instead, which only this user can read.
    """
    kept = Path(settings.FL_DATA_DIR, KEPT_LINK)
    code = first_account.offer(now=timezone.now())
    if code is None:
        kept.unlink(missing_ok=True)
        return
    link = f"{address}{reverse('first_account')}#{code}"
    if _is_logged(sys.stdout):
        kept.touch(mode=0o600)
        kept.chmod(0o600)
        kept.write_text(f"{link}\n")
        link = f"the link in {kept}"
    say(f"\nThere is no account yet. Make the first one by {link}\nIt is valid once, for 24 hours.\n")


def _is_logged(stream: Any) -> bool:
    """Whether what is printed is kept: by a file or a service's journal."""
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISREG(mode) or stat.S_ISSOCK(mode)


def _where() -> str:
    return "DATABASE_URL" if connection.vendor != "sqlite" else str(connection.settings_dict["NAME"])


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".?") or type(error).__name__
