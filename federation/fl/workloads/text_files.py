"""A site's texts: files in folders that are called like the classes, or the rows of a CSV file, as numbers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from federation.fl.weights import Array
from federation.fl.workloads import copies, site_files
from federation.fl.workloads.marked import Marked, mark
from federation.fl.workloads.workload import DataError

COLUMNS = ("text", "label")
SUFFIXES = (".txt",)
PADDING = 0
WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Tokens:
    """How a text becomes numbers. kind: words or bytes. vocabulary: of hashed words. length: the most that are kept."""

    kind: str
    vocabulary: int
    length: int

    @property
    def count(self) -> int:
        """Of different numbers, the padding included."""
        return 257 if self.kind == "bytes" else self.vocabulary + 1

    def of(self, text: str) -> Array:
        """(length,) int64: from 1 on, then padding."""
        found = np.full(self.length, PADDING, np.int64)
        numbers = list(self._numbers(text))
        found[: len(numbers)] = numbers
        return found

    def _numbers(self, text: str) -> Iterator[int]:
        if self.kind == "bytes":
            yield from (byte + 1 for byte in text.encode()[: self.length])
            return
        for place, word in enumerate(WORD.finditer(text.lower())):
            if place == self.length:
                return
            yield 1 + int.from_bytes(hashlib.blake2b(word[0].encode(), digest_size=6).digest()) % self.vocabulary


@dataclass(frozen=True, slots=True)
class Entry:
    where: str
    text: str
    label: int
    group: str


def read(folder: Path, classes: Sequence[str], tokens: Tokens) -> Marked:
    """All texts of a folder. features: (n, length) int64. Raises DataError naming the file, and the line if any."""
    known = site_files.numbered(classes)
    tables = sorted(folder.glob("*.csv"))
    entries, notes = _of_tables(folder, tables, known) if tables else _of_folders(folder, known)
    if not entries:
        raise DataError(f"{folder} has no text: .txt files in folders called like the classes, or a CSV file.")
    features = np.stack([tokens.of(one.text) for one in entries])
    labels = np.array([one.label for one in entries], np.int64)
    groups, contents = [one.group for one in entries], [one.text for one in entries]
    marks = np.array([mark(one.group or one.text) for one in entries])
    notes += copies.notes([one.where for one in entries], contents, labels.tolist(), groups, "text")
    return Marked(features, labels, tuple(classes), marks, notes=notes)


def _of_folders(folder: Path, known: Mapping[str, int]) -> tuple[list[Entry], tuple[str, ...]]:
    found = site_files.of_folders(folder, known, SUFFIXES, "text")
    entries = [Entry(str(one.path), _content(one.path), one.label, one.group) for one in found]
    return entries, site_files.left_out(folder, SUFFIXES, "text")


def _content(path: Path) -> str:
    """Bytes that are no UTF-8, as in old mails, are replaced."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _of_tables(folder: Path, tables: Sequence[Path], known: Mapping[str, int]) -> tuple[list[Entry], tuple[str, ...]]:
    entries: list[Entry] = []
    notes: tuple[str, ...] = ()
    for table in tables:
        rows = list(site_files.rows_of(table, COLUMNS))
        found = list(_of_rows(rows, known))
        notes += site_files.ungrouped(table, COLUMNS, rows[0][1] if rows else (), [one.group for one in found])
        entries += found
    return entries, (*notes, *site_files.unlisted(folder, SUFFIXES, (), "beside a CSV file"))


def _of_rows(rows: Iterable[tuple[str, Mapping[str, str]]], known: Mapping[str, int]) -> Iterator[Entry]:
    for where, row in rows:
        label = site_files.class_of(where, row["label"], known)
        yield Entry(where, row["text"], label, row.get(site_files.GROUP, "").strip())
