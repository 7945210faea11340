"""A site's table: rows of CSV or Parquet files, by the names of their columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from federation.fl.workloads import site_files
from federation.fl.workloads.marked import Marked, mark
from federation.fl.workloads.workload import DataError

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # in lower case
SUFFIXES = (".csv", ".parquet")
MISSING_CATEGORY = -1.0
LARGEST = float(np.finfo(np.float32).max)

Row = tuple[str, Mapping[str, Any]]  # where it is, and its values by column


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are read. classes: the target's values in order; none: the target is a number.

    buckets: into so many numbers the values of a category are hashed. group: a column whose equal values are held out
    together; empty: none.
    """

    target: str
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    classes: tuple[str, ...]
    buckets: int
    group: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.numbers, *self.categories, self.target, *((self.group,) if self.group else ()))


def read(folder: Path, columns: Columns) -> Marked:
    """All rows of the folder's files, in the order of the files' names.

    features: (n, numbers + categories) float32. A missing number is NaN; a category is its bucket, a missing one -1.
    labels: (n,) int64 classes, or float32 numbers. Raises DataError naming file and line.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{folder} has no file of rows: .csv or .parquet.")
    features, labels, marks, copied = [], [], [], Copied()
    for where, row in (found for path in files for found in _rows(path, columns)):
        features.append(_features(where, row, columns))
        labels.append(_label(where, row, columns))
        content = mark(repr((features[-1], labels[-1])))
        marks.append(mark(_group(where, row, columns)) if columns.group else content)
        copied.add(where, content, marks[-1])
    if not features:
        raise DataError(f"{', '.join(path.name for path in files)} in {folder}: there is no row.")
    kind = np.int64 if columns.classes else np.float32
    notes = copied.notes(columns.group) if columns.group else ()
    return Marked(np.array(features, np.float32), np.array(labels, kind), columns.classes, np.array(marks), notes=notes)


@dataclass(slots=True)
class Copied:
    """Rows that are equal in all columns that are read, and of which the group differs."""

    count: int = 0
    first: tuple[str, str] = ("", "")
    _known: dict[float, tuple[str, float]] = field(default_factory=dict)  # by content: where, and the group's mark

    def add(self, where: str, content: float, group: float) -> None:
        before, its_group = self._known.setdefault(content, (where, group))
        if its_group != group:
            self.first = self.first if self.count else (before, where)
            self.count += 1

    def notes(self, column: str) -> tuple[str, ...]:
        if not self.count:
            return ()
        one, other = self.first
        rows = "One row is a copy of one" if self.count == 1 else f"{self.count} rows are copies of ones"
        measured = "a model may be measured on one and trained on the other"
        return (f"{rows} with another {column}, such as {one} and {other}: {measured}.",)


def _rows(path: Path, columns: Columns) -> Iterator[Row]:
    return site_files.rows_of(path, columns.all) if path.suffix.lower() == ".csv" else _of_parquet(path, columns)


def _of_parquet(path: Path, columns: Columns) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise DataError(f"{path}: Parquet files need pyarrow. Install it (pip install pyarrow), or use CSV.") from error
    site_files.require_file(path)
    try:
        file = parquet.ParquetFile(path)
        site_files.require_columns(path, file.schema_arrow.names, columns.all)
        number = 0
        for batch in file.iter_batches(columns=list(dict.fromkeys(columns.all))):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}, row {number}", row
    except (OSError, ArrowException) as error:
        raise DataError(f"{path} cannot be read: {str(error).rstrip('.')}.") from error


def _features(where: str, row: Mapping[str, Any], columns: Columns) -> list[float]:
    numbers = [_number(where, name, row[name]) for name in columns.numbers]
    return numbers + [_bucket(row[name], columns.buckets) for name in columns.categories]


def _number(where: str, name: str, value: object) -> float:
    """NaN where it is missing."""
    if _is_missing(value):
        return math.nan
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.inf
    if not math.isfinite(number) or abs(number) > LARGEST:
        raise DataError(f"{where}: {name} is {str(value)[:60]!r}, which is no number.")
    return number


def _bucket(value: object, buckets: int) -> float:
    return MISSING_CATEGORY if _is_missing(value) else float(int(mark(str(value).strip()) * buckets))


def _label(where: str, row: Mapping[str, Any], columns: Columns) -> float | int:
    value = row[columns.target]
    if _is_missing(value):
        raise DataError(f"{where}: {columns.target} is missing.")
    if not columns.classes:
        return _number(where, columns.target, value)
    return site_files.class_of(where, str(value), site_files.numbered(columns.classes), columns.target)


def _group(where: str, row: Mapping[str, Any], columns: Columns) -> str:
    value = row[columns.group]
    if _is_missing(value):
        raise DataError(f"{where}: {columns.group} is missing. Rows of one {columns.group} are held out together.")
    return str(value)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or str(value).strip().lower() in MISSING
