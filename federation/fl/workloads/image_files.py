"""A site's images: which files there are, with their labels and groups, and what is in a file."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from federation.fl.weights import Array
from federation.fl.workloads import copies, site_files
from federation.fl.workloads.marked import Marked, mark
from federation.fl.workloads.workload import Data, DataError

SUFFIXES = (".png", ".jpg", ".jpeg")
COLUMNS = ("path", "label")
BETWEEN = ";"  # several labels of one image
FULL_SCALE = {"I;16": 65_535.0, "I": 65_535.0, "I;16B": 65_535.0}  # by the mode of a grey image; others: 255


@dataclass(frozen=True)
class Images(Marked):
    """features: (n,) paths as objects. labels: (n,) int64, or (n, classes) float32 where an image may have several.

    digests: (n,) SHA-256 of the files. Equal files have equal marks, and so have all images of a group.
    places: (n,) what its owner finds an image by: the file, or the line of the CSV file that names it.
    """

    digests: Array = field(default_factory=lambda: np.empty(0, object))
    places: Array = field(default_factory=lambda: np.empty(0, object))

    def pixels(self, position: int, size: int, *, grey: bool) -> Array:
        """One image as `pixels` gives it. Raises DataError naming its place and its file."""
        path = Path(self.features[position])
        with _named(self.places[position], path):
            return pixels(str(path), size, grey=grey)

    def histogram(self) -> dict[str, int]:
        if self.labels.ndim == 2:
            return {name: int(count) for name, count in zip(self.label_names, self.labels.sum(axis=0), strict=True)}
        return Data.histogram(self)

    def fingerprint(self, salt: str) -> str:
        sha = hashlib.sha256(salt.encode())
        for digest in self.digests:
            sha.update(digest.encode())
        sha.update(np.ascontiguousarray(self.labels).data)
        return sha.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image. labels: of the classes, at least one. group: whose images are held out together; empty: none.

    where: what its owner finds it by: the file, or the line that names it.
    """

    path: Path
    labels: tuple[int, ...]
    group: str
    where: str


def find(folder: Path, classes: Sequence[str], *, several: bool) -> Images:
    """All images of a folder: those of its CSV file, or those in folders that are called like the classes.

    several: whether an image may have several labels. Raises DataError naming the file, and the line if there is one.
    """
    known = site_files.numbered(classes)
    tables = sorted(folder.glob("*.csv"))
    if len(tables) > 1:
        raise DataError(f"{folder} has several CSV files: {', '.join(path.name for path in tables)}. Leave one there.")
    if not tables and several:
        raise DataError(f"Several labels for an image need a CSV file in {folder} with the columns path and label.")
    entries, notes = _of_table(tables[0], known, several) if tables else _of_folders(folder, known)
    if not entries:
        raise DataError(f"{folder} has no image: {', '.join(SUFFIXES)} in folders called like the classes, or a CSV.")
    return _images(entries, classes, several, notes)


def _of_folders(folder: Path, known: Mapping[str, int]) -> tuple[list[Entry], tuple[str, ...]]:
    found = site_files.of_folders(folder, known, SUFFIXES, "image")
    entries = [Entry(one.path, (one.label,), one.group, str(one.path)) for one in found]
    return entries, site_files.left_out(folder, SUFFIXES, "image")


def _of_table(table: Path, known: Mapping[str, int], several: bool) -> tuple[list[Entry], tuple[str, ...]]:
    rows = list(site_files.rows_of(table, COLUMNS))
    entries = list(_of_rows(table, rows, known, several))
    header, groups = rows[0][1] if rows else (), [one.group for one in entries]
    listed = [one.path for one in entries]
    return entries, (
        *site_files.ungrouped(table, COLUMNS, header, groups),
        *site_files.unlisted(table.parent, SUFFIXES, listed, f"not in {table.name}"),
    )


def _of_rows(
    table: Path, rows: Iterable[tuple[str, Mapping[str, str]]], known: Mapping[str, int], several: bool
) -> Iterator[Entry]:
    """A row an image, with paths from the table's folder on. A column `group` is optional."""
    for where, row in rows:
        path = table.parent / row["path"]
        if path.suffix.lower() not in SUFFIXES or not _is_file(path):
            raise DataError(f"{where}: there is no image {row['path'][: site_files.LONGEST_SHOWN]!r}.")
        words = row["label"].split(BETWEEN) if several else [row["label"]]
        labels = tuple(site_files.class_of(where, word, known) for word in words)
        yield Entry(path, labels, row.get(site_files.GROUP, "").strip(), where)


def _is_file(path: Path) -> bool:
    with contextlib.suppress(OSError):  # of a name that is too long
        return path.is_file()
    return False


def _images(entries: Sequence[Entry], classes: Sequence[str], several: bool, notes: tuple[str, ...]) -> Images:
    digests = np.array([_digest(one) for one in entries], object)
    labels = _many_hot(entries, len(classes)) if several else np.array([one.labels[0] for one in entries], np.int64)
    groups, places = [one.group for one in entries], [one.where for one in entries]
    marks = [mark(group or digest) for group, digest in zip(groups, digests, strict=True)]
    notes += copies.notes(places, digests.tolist(), [one.labels for one in entries], groups, "image")
    paths = np.array([str(one.path) for one in entries], object)
    return Images(paths, labels, tuple(classes), np.array(marks), digests, np.array(places, object), notes=notes)


def _many_hot(entries: Sequence[Entry], classes: int) -> Array:
    labels = np.zeros((len(entries), classes), np.float32)
    for number, one in enumerate(entries):
        labels[number, list(one.labels)] = 1
    return labels


def _digest(entry: Entry) -> str:
    with _named(entry.where, entry.path):
        try:
            with entry.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"{entry.path} cannot be read: {error.strerror}.") from error


@contextlib.contextmanager
def _named(place: str, path: Path) -> Iterator[None]:
    """What is wrong with a file is said with its place, if that is another one than the file itself."""
    try:
        yield
    except DataError as error:
        if place == str(path):
            raise
        raise DataError(f"{place}: {error}") from error


def pixels(path: str, size: int, *, grey: bool) -> Array:
    """An image as (3, size, size) float32 from 0 to 1; a grey one three times the same. Raises DataError naming it."""
    from PIL import Image, ImageOps

    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # it names no file
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            found = _grey(image, size) if grey or image.mode in FULL_SCALE else _colour(image, size)
    except Exception as error:  # of a damaged file Pillow raises whatever its decoders do
        raise DataError(f"{path} cannot be read as an image: {_reason(path, error)}.") from error
    return found if len(found) == 3 else np.broadcast_to(found, (3, size, size))


def _reason(path: str, error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    if isinstance(error, UnidentifiedImageError):
        return "its beginning is that of no image" if Path(path).stat().st_size else "it is empty"
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error).rstrip(".") or type(error).__name__


def _grey(image: Any, size: int) -> Array:
    from PIL import Image

    scale = FULL_SCALE.get(image.mode, 255.0)
    single = image.convert("F") if image.mode in FULL_SCALE else image.convert("L").convert("F")
    resized = single.resize((size, size), Image.Resampling.BILINEAR)
    return (np.asarray(resized, np.float32) / np.float32(scale))[np.newaxis].clip(0, 1)


def _colour(image: Any, size: int) -> Array:
    from PIL import Image

    resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32).transpose(2, 0, 1) / np.float32(255)
