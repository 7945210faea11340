"""`status__among=OPEN`, `digest__filled=True`: as `__in` and as `> ""`, with the values written into the statement.

SQLite goes by a partial index only where the statement repeats the index's condition, value by value. A value that is
handed over beside the statement, as `__in` does it, is not known when the database chooses. So ask with
these, and with the same tuple, wherever an index has such a condition.
"""

from __future__ import annotations

import re
from typing import Any

from django.db.models import CharField, Lookup

WORD = re.compile(r"[a-z_.]+")


@CharField.register_lookup
class Among(Lookup):
    """The right side is a tuple of words that the code names, never anything that somebody typed."""

    lookup_name = "among"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        words = [str(word) for word in self.rhs]
        if odd := [word for word in words if not WORD.fullmatch(word)]:
            raise ValueError(f"`among` takes words of small letters, not {odd[0]!r}")
        return f"{column} IN ({', '.join(map(repr, words))})", tuple(parameters)


@CharField.register_lookup
class Filled(Lookup):
    """Not the empty text. The right side is True."""

    lookup_name = "filled"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[str | int, ...]]:
        if self.rhs is not True:
            raise ValueError("`filled` takes True; ask for the empty text by its value")
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} <> ''", tuple(parameters)
