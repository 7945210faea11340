"""Measured values as numbers that the database can sort by. JSON values of other types count as missing."""

from __future__ import annotations

from typing import Any

from django.db.models import F, FloatField, Func
from django.db.models.fields.json import KeyTransform

from federation.fl.numbers import LARGEST

POSTGRESQL = (
    "CASE WHEN jsonb_typeof({0}) = 'number' THEN CASE WHEN ({0})::numeric BETWEEN -{1} AND {1} "
    "THEN round(({0})::numeric, 60)::double precision END END"  # smaller ones are no float
)
SQLITE = (
    "CASE WHEN JSON_TYPE({0}, %s) IN ('integer', 'real') AND JSON_EXTRACT({0}, %s) BETWEEN -{1} AND {1} "
    "THEN CAST(JSON_EXTRACT({0}, %s) AS REAL) END"
)


class Measured(Func):
    """A number at a key of a JSON column, as `quality.value` reads it; NULL for text and numbers that are too large."""

    output_field = FloatField()

    def __init__(self, column: str, key: str) -> None:
        super().__init__(F(column))
        self.column, self.key = column, key

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, tuple[Any, ...]]:
        sql, params = compiler.compile(KeyTransform(self.key, self.source_expressions[0]))
        return POSTGRESQL.format(sql, LARGEST), (*params,) * 3

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, tuple[Any, ...]]:
        sql, params = compiler.compile(self.source_expressions[0])
        return SQLITE.format(sql, LARGEST), (*params, f'$."{self.key}"') * 3
