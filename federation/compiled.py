"""Queries that every call of every client makes, compiled once.

Compiling a query takes the ORM several times as long as SQLite takes to answer it. What is asked thousands of
times a round is therefore described once, as a queryset, and run with other values after that. PostgreSQL in turn
plans it once a connection (`flsite.postgresql`): only what differs from call to call is a value of the statement, so
that the plan fits the rest, partial indexes included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import AutoField, CharField, DateTimeField, FloatField, IntegerField, Model, QuerySet, TextField
from django.db.models.base import ModelState

M = TypeVar("M", bound=Model)
ROWS = 500  # of one statement: databases allow some 30,000 values
PLACE = re.compile("(?<!%)%s")
PREPARES = hasattr(connection, "prepared_cursor")


def cursor() -> Any:
    """For statements that come often: one that keeps their plans, where the database has such."""
    return connection.prepared_cursor() if PREPARES else connection.cursor()  # type: ignore[attr-defined]


class Select(Generic[M]):
    """A queryset with places for values: `Select(lambda pk: Client.objects.filter(pk=pk), int)(7)` is a list.

    build: makes the queryset from one argument a place; kinds: int or str for each of them.
    """

    def __init__(self, build: Callable[..., QuerySet[M]], *kinds: type[int] | type[str]) -> None:
        self._build, self._kinds = build, kinds
        self._compiled: _Compiled[M] | None = None

    def __call__(self, *values: int | str) -> list[M]:
        if self._compiled is None:
            self._compiled = _Compiled(*_with_places(self._build, self._kinds))
        return self._compiled.run(values)

    def first(self, *values: int | str) -> M | None:
        return next(iter(self(*values)), None)


def _place(number: int, kind: type[int] | type[str]) -> int | str:
    """A value that stands for one that is not known yet, and that nothing else has."""
    return 2_147_480_000 + number if kind is int else f"place {number} of a prepared query"


class Rows:
    """The same for columns: `Rows(lambda pk: Client.objects.filter(pk=pk).values_list("name"), int)(7)` is a list.

    It holds a tuple a row, of the columns that `values_list` names.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, tuple[Any, ...]]], *kinds: type[int] | type[str]) -> None:
        self._build, self._kinds = build, kinds
        self._query: _Query | None = None

    def __call__(self, *values: int | str) -> list[tuple[Any, ...]]:
        if self._query is None:
            self._query = _Query(*_with_places(self._build, self._kinds))
        return [tuple(row) for row in self._query.rows(values)]


def _with_places(
    build: Callable[..., QuerySet[Any, Any]], kinds: Sequence[type[int] | type[str]]
) -> tuple[QuerySet[Any, Any], Sequence[int | str]]:
    places = [_place(number, kind) for number, kind in enumerate(kinds)]
    return build(*places), places


class _Query:
    """A compiled query, and which of its parameters are places for values."""

    def __init__(self, queryset: QuerySet[Any, Any], places: Sequence[int | str]) -> None:
        compiler: Any = queryset.query.get_compiler(connection=connection)
        self._sql, parameters = compiler.as_sql()
        if connection.vendor == "postgresql":
            self._sql, parameters = _written_out(self._sql, parameters, places)
        self._parameters = tuple(parameters)
        self._places = [(at, places.index(value)) for at, value in enumerate(parameters) if value in places]
        self.compiler, self._converters = compiler, compiler.get_converters([each[0] for each in compiler.select])

    def rows(self, values: Sequence[int | str]) -> Iterable[Sequence[Any]]:
        parameters = list(self._parameters)
        for at, place in self._places:
            parameters[at] = values[place]
        with cursor() as asking:
            asking.execute(self._sql, parameters)
            rows = asking.fetchall()
        return self.compiler.apply_converters(rows, self._converters) if self._converters else rows


def _written_out(sql: str, parameters: Sequence[Any], places: Sequence[int | str]) -> tuple[str, list[Any]]:
    """The statement with all values in it that are the same each time, and the others."""
    kept = [value for value in parameters if value in places]
    given = iter(parameters)

    def write(match: re.Match[str]) -> str:
        value = next(given)
        if value in places:
            return match[0]
        written: str = connection.ops.compose_sql("%s", [value])  # type: ignore[attr-defined]
        return written.replace("%", "%%")

    return PLACE.sub(write, sql), kept


class _Compiled(Generic[M]):
    def __init__(self, queryset: QuerySet[M], places: Sequence[int | str]) -> None:
        self._query = _Query(queryset, places)
        compiler = self._query.compiler
        self._make: _Maker[M] = _Maker(compiler.klass_info, compiler.select)

    def run(self, values: Sequence[int | str]) -> list[M]:
        return [self._make(row) for row in self._query.rows(values)]


class _Maker(Generic[M]):
    """Makes an object of those columns of a row that are its own, and those that it is joined with.

    It does what `Model.from_db` does, in a third of the time where few of many fields are selected. Nothing here
    listens to `pre_init` and `post_init`, and they are not sent.
    """

    def __init__(self, info: Mapping[str, Any], select: Sequence[Any]) -> None:
        self._model: type[M] = info["model"]
        self._fields = [(at, select[at][0].target.attname) for at in info["select_fields"]]
        key = self._model._meta.pk.attname
        self._key = next(at for at, name in self._fields if name == key)
        self._joined = [
            (_Maker[Model](other, select), other["local_setter"], other["remote_setter"])
            for other in info.get("related_klass_infos", ())
        ]
        self._alias = connection.alias

    def __call__(self, row: Sequence[Any]) -> M:
        made = self._model.__new__(self._model)
        made._state = state = ModelState()
        state.adding, state.db = False, self._alias
        known = made.__dict__
        for at, name in self._fields:
            known[name] = row[at]
        for make, set_here, set_there in self._joined:
            other = None if row[make._key] is None else make(row)
            set_here(made, other)
            if other is not None:
                set_there(other, made)
        return made


class Insert:
    """`Insert(Event, "seq", "kind")([(1, "a"), (2, "b")])`: rows of these fields, without their models' defaults.

    as_json: fields whose values are JSON already, as text.
    """

    def __init__(self, model: type[Model], *names: str, as_json: Collection[str] = ()) -> None:
        fields = [_field(model, name) for name in names]
        self._adapters = [_as_it_is if field.name in as_json else _adapter(field) for field in fields]
        columns = ", ".join(f'"{field.column}"' for field in fields)
        self._into = f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES '  # nosec B608  names of ours
        self._places = f"({', '.join(['%s'] * len(names))})"

    def __call__(self, rows: Iterable[Sequence[Any]]) -> None:
        with cursor() as writing:
            writing.executemany(self._into + self._places, [_adapted(self._adapters, row) for row in rows])

    def missing(self, rows: Sequence[Sequence[Any]], *names: str) -> set[tuple[Any, ...]]:
        """Insert those rows that no unique constraint knows yet. Returns these fields of them."""
        inserted: set[tuple[Any, ...]] = set()
        told = ", ".join(f'"{name}"' for name in names)
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            sql = f"{self._into}{', '.join([self._places] * len(some))} ON CONFLICT DO NOTHING RETURNING {told}"
            with cursor() as writing:
                writing.execute(sql, [value for row in some for value in _adapted(self._adapters, row)])
                inserted.update(writing.fetchall())
        return inserted


class Update:
    """`Update(Event, "kind")([("a", 7)])` sets these fields of rows, each told by its primary key at the end.

    only: the values that a field may have for a row to be changed, such as `{"status": OPEN}`; no value for null.
    adding: fields whose values are added to those in the row.
    """

    def __init__(
        self,
        model: type[Model],
        *names: str,
        only: Mapping[str, Collection[str | bool]] | None = None,
        adding: Collection[str] = (),
    ) -> None:
        key = model._meta.pk
        fields = [_field(model, name) for name in names]
        self._adapters = [_adapter(field) for field in (*fields, key)]
        more = {field.column: f'"{field.column}" + ' if field.name in adding else "" for field in fields}
        columns = ", ".join(f'"{column}" = {before}%s' for column, before in more.items())
        self._sql = f'UPDATE "{model._meta.db_table}" SET {columns} WHERE "{key.column}" = %s'  # nosec B608  names of ours
        self._allowed: list[Any] = []
        for name, values in (only or {}).items():
            field = _field(model, name)
            wanted = f"IN ({', '.join(['%s'] * len(values))})" if values else "IS NULL"
            self._sql += f' AND "{field.column}" {wanted}'
            self._allowed += [_adapter(field)(value) for value in values]

    def __call__(self, rows: Iterable[Sequence[Any]]) -> int:
        """How many rows were changed."""
        given = [_adapted(self._adapters, row) + self._allowed for row in rows]
        with cursor() as writing:
            if len(given) == 1:  # to be ready for several costs more
                writing.execute(self._sql, given[0])
            else:
                writing.executemany(self._sql, given)
            return int(writing.rowcount)


def _field(model: type[Model], name: str) -> Any:
    return model._meta.get_field(name)


def _adapter(field: Any) -> Callable[[Any], Any]:
    """Makes of a value what the database takes, without the field's own look at what kind of value it is."""
    plain = field.target_field if field.is_relation else field
    if isinstance(plain, IntegerField | FloatField | AutoField):
        return _as_it_is
    if isinstance(plain, CharField | TextField):
        return _word
    if isinstance(plain, DateTimeField):
        return lambda value: None if value is None else connection.ops.adapt_datetimefield_value(value)
    return lambda value: field.get_db_prep_save(value, connection)


def _as_it_is(value: Any) -> Any:
    return value


def _word(value: Any) -> str | None:
    return None if value is None else str(value)  # the bare word of an enumeration


def _adapted(adapters: Sequence[Callable[[Any], Any]], row: Sequence[Any]) -> list[Any]:
    """A row's values as the database takes them."""
    return [adapt(value) for adapt, value in zip(adapters, row, strict=True)]
