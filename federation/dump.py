"""The whole database in files: copied at one moment while others write, looked into, and read into an empty one."""

from __future__ import annotations

import csv
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from django.apps import apps
from django.core.management import CommandError, call_command
from django.core.management.color import no_style
from django.db import DatabaseError, InterfaceError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from federation.lifecycle import FileStatus

PAGES_AT_ONCE = 4096
COPY_BYTES = 1 << 20
CONTENT = ("auth_user", "federation_client", "federation_trainingsession", "federation_invitation")


HAS_UPLOADS = ("federation", "0015_kinds_and_schedules")  # the migration since which there are uploaded models
MOST_SAID = 300  # characters of a database's message
SECRET_TABLE = "federation_noisekey"  # no copy has its rows: with them the noise of private models can be subtracted
DIGEST = re.compile(r"[0-9a-f]{64}")
NOT_OURS = "type IN ('view', 'trigger') OR sql LIKE 'CREATE VIRTUAL%'"
FAILURES = (sqlite3.Error, DatabaseError, InterfaceError)  # Django's own are raised on PostgreSQL, by COPY too


class Unusable(Exception):
    """A copy that cannot be read into this database; str(error) says why and what to do."""


@dataclass(frozen=True)
class Dump(ABC):
    """A copy of the database in a folder."""

    folder: Path
    vendor: ClassVar[str]

    @abstractmethod
    def write(self) -> None:
        """Copy the database as it is at one moment."""

    @abstractmethod
    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """Some columns of every row of a table."""

    @abstractmethod
    def _faults(self) -> list[str]:
        """What is wrong with the copy itself."""

    @abstractmethod
    def _load(self) -> None:
        """Put the copy in the place of the database's rows. Its tables are as the copy's."""

    @abstractmethod
    def _undo(self) -> None:
        """Empty the database again after a failed load."""

    def faults(self) -> list[str]:
        """What is wrong with the copy itself."""
        return self._said(self._faults)

    def misfits(self) -> list[str]:
        """Where the copy differs from this server's database, as far as a restore reads it."""

        def read() -> list[str]:
            self.digests()
            self.migrations()
            return []

        return self._said(read)

    @staticmethod
    def _said(look: Callable[[], list[str]]) -> list[str]:
        try:
            found = look()
        except (*FAILURES, csv.Error, LookupError, TypeError, ValueError, OSError) as error:
            found = [f"The database is damaged: {str(error)[:MOST_SAID].strip()}."]
        return found

    def digests(self) -> set[str]:
        """The weight files that the copy needs."""
        models = self.rows("federation_globalmodel", ("file_status", "digest", "slots_digest"))
        seats = self.rows("federation_participation", ("file_status", "digest"))
        uploads: Iterable[tuple[str, ...]] = ()
        if HAS_UPLOADS in self.migrations():
            uploads = self.rows("federation_modelupload", ("file_status", "digest"))
        found = {
            digest
            for rows in (models, seats, uploads)
            for kept, *of in rows
            if kept == FileStatus.STORED
            for digest in of
            if digest
        }
        if odd := [digest for digest in found if not isinstance(digest, str) or not DIGEST.fullmatch(digest)]:
            raise ValueError(f"a digest is {str(odd[0])[:80]!r}")
        return found

    def migrations(self) -> set[tuple[str, str]]:
        return {(app, name) for app, name in self.rows("django_migrations", ("app", "name"))}

    def load(self) -> None:
        """Read the copy into this database, in place of what is there, and bring it up to this version.

        Raises Unusable for a copy of another kind of database or of a newer version.
        """
        if self.vendor != connection.vendor:
            raise Unusable(
                f"It is of a {self.vendor} database and this server uses {connection.vendor}. "
                f"Set DATABASE_URL to a database like the backup's."
            )
        known = set(MigrationExecutor(connection).loader.disk_migrations)
        if newer := self.migrations() - known:
            raise Unusable(f"It is of a newer version, which has {'.'.join(min(newer))}. Install that one first.")
        try:
            self._load()
            call_command("migrate", verbosity=0)
        except (*FAILURES, CommandError, LookupError, ValueError) as error:
            self._undo()
            raise Unusable(f"Its database cannot be restored: {str(error)[:MOST_SAID].strip()}.") from error


def has_content() -> bool:
    """Whether the database holds people, clients, invitations or sessions already."""
    tables = set(connection.introspection.table_names())
    with connection.cursor() as cursor:
        for table in tables.intersection(CONTENT):
            cursor.execute(f"SELECT 1 FROM {table} LIMIT 1")  # nosec B608  a name of ours
            if cursor.fetchone():
                return True
    return False


class Sqlite(Dump):
    vendor = "sqlite"

    @property
    def file(self) -> Path:
        return self.folder / "db.sqlite3"

    def write(self) -> None:
        """With SQLite's online backup: it takes part in the locking, so that the copy is of one moment."""
        with closing(_open(connection.settings_dict["NAME"])) as source, closing(_open(self.file)) as target:
            source.execute("BEGIN")  # one transaction over all steps: they would begin anew with every write
            source.execute("SELECT 1 FROM django_migrations").fetchone()
            source.backup(target, pages=PAGES_AT_ONCE, sleep=0)
            target.execute("PRAGMA journal_mode = DELETE")  # all in the one file
            if target.execute("SELECT 1 FROM sqlite_sequence WHERE name = ?", [SECRET_TABLE]).fetchone():
                target.execute(f"DELETE FROM {SECRET_TABLE}")  # nosec B608  a constant
                target.execute("VACUUM")  # what is deleted stays in the file until then

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        with closing(_open(self.file)) as copy:
            yield from copy.execute(f"SELECT {', '.join(columns)} FROM {table}")  # nosec B608  names of ours

    def _faults(self) -> list[str]:
        with closing(_open(self.file)) as copy:
            found = [row[0] for row in copy.execute("PRAGMA integrity_check(5)")]
            odd = copy.execute(f"SELECT count(*) FROM sqlite_master WHERE {NOT_OURS}").fetchone()[0]  # nosec B608  a constant
        if odd:  # they would run when tables are read and written
            return ["The database has views, triggers or virtual tables. This server makes none."]
        return [] if found == ["ok"] else [f"The database is damaged: {fault}." for fault in found]

    def _load(self) -> None:
        connections.close_all()
        with closing(_open(self.file)) as source, closing(_open(connection.settings_dict["NAME"])) as target:
            source.backup(target)

    def _undo(self) -> None:
        connections.close_all()
        with closing(_open(":memory:")) as empty, closing(_open(connection.settings_dict["NAME"])) as target:
            empty.backup(target)


def _open(file: str | Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, timeout=30)


class Postgresql(Dump):
    """A CSV file a table, by COPY: no other program is needed, and any later version of PostgreSQL reads it."""

    vendor = "postgresql"

    def write(self) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")  # all tables at one moment
            for table in _tables():
                of = f"(SELECT * FROM {table} WHERE false)" if table == SECRET_TABLE else table  # nosec B608
                with self._file(table).open("wb") as file, _copy(cursor, f"COPY {of} TO STDOUT {CSV}") as rows:
                    for data in rows:
                        file.write(data)

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
        csv.field_size_limit(1 << 30)
        with self._file(table).open(newline="", encoding="utf-8") as file:
            yield from (tuple(row[name] for name in columns) for row in csv.DictReader(file))

    def _faults(self) -> list[str]:
        """Their digests say whether the files are whole; what is looked at here is that none is missing."""
        needed = ("django_migrations", "federation_globalmodel", "federation_participation")
        return [f"The database's table {name} is missing." for name in needed if not self._file(name).exists()]

    def _load(self) -> None:
        MigrationExecutor(connection).migrate(_newest(self.migrations()))
        with transaction.atomic(), connection.cursor() as cursor:  # foreign keys are looked at when it commits
            tables = [file.stem for file in sorted(self.folder.glob("*.csv"))]
            cursor.execute(f"TRUNCATE {', '.join(_quoted(tables))}")
            for table in tables:
                self._load_table(cursor, table)
            models: list[Any] = [*apps.get_models(include_auto_created=True), MigrationRecorder.Migration]
            there = set(connection.introspection.table_names(cursor))  # tables of later versions are missing
            kept = [model for model in models if model._meta.db_table in there]
            for statement in connection.ops.sequence_reset_sql(no_style(), kept):
                cursor.execute(statement)

    def _undo(self) -> None:
        """Nothing to do: one transaction loads all rows."""

    def _load_table(self, cursor: Any, table: str) -> None:
        with self._file(table).open("rb") as file:
            columns = file.readline().decode().strip().split(",")
            file.seek(0)
            into = f"COPY {_quoted([table])[0]} ({', '.join(_quoted(columns))}) FROM STDIN {CSV}"
            with _copy(cursor, into) as copy:
                while data := file.read(COPY_BYTES):
                    copy.write(data)

    def _file(self, table: str) -> Path:
        return self.folder / f"{table}.csv"


CSV = "WITH (FORMAT csv, HEADER true)"
KINDS: dict[str, type[Dump]] = {kind.vendor: kind for kind in (Sqlite, Postgresql)}


def _copy(cursor: Any, statement: str) -> Any:
    return cursor.copy(statement)  # psycopg's own


def _quoted(names: Iterable[str]) -> list[str]:
    return [connection.ops.quote_name(name.strip('"')) for name in names]


def _tables() -> list[str]:
    known = set(connection.introspection.django_table_names(only_existing=True)) | {"django_migrations"}
    return sorted(known)


def _newest(migrations: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The last of each app's, which stand on all the others."""
    graph = MigrationExecutor(connection).loader.graph
    return [
        node
        for node in sorted(migrations)
        if not any(child.key in migrations for child in graph.node_map[node].children if child.key[0] == node[0])
    ]
