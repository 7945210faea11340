"""Django's PostgreSQL backend, with cursors whose statements the database plans once and then only runs.

Django writes the values into each statement, so that PostgreSQL parses and plans every one anew. That takes it several
times as long as the rows themselves. What the server asks thousands of times a round (`federation.compiled`) is sent as
a statement with places instead. After a few times each connection keeps it with its plan.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base
from psycopg import Cursor
from psycopg.types.numeric import Int8Dumper


class DatabaseWrapper(base.DatabaseWrapper):
    def prepared_cursor(self) -> Any:
        """A cursor that sends values apart from the statement. It prepares what comes often, if the settings allow."""
        self.ensure_connection()
        with self.wrap_database_errors:
            return self._prepare_cursor(Cursor(self.connection))  # type: ignore[attr-defined]

    def get_new_connection(self, conn_params: Any) -> Any:
        connection = super().get_new_connection(conn_params)
        # All whole numbers alike: a statement whose values have other types is another one, with a plan of its own.
        connection.adapters.register_dumper(int, Int8Dumper)
        return connection
