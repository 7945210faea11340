"""What workloads share that read a site's own files: folders called like classes, and CSV files."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.fl.workloads.workload import DataError

GROUP = "group"  # a column that a CSV file of images or texts may have
LARGEST_FIELD = 1 << 24  # characters
LONGEST_SHOWN = 60
OTHER_SEPARATORS = (";", "\t")  # of spreadsheets


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a class. group: whose files are held out together; empty: none."""

    path: Path
    label: int
    group: str


def names_of(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def misfit_of_classes(classes: Sequence[str]) -> tuple[str, str] | None:
    """The option `classes` and a sentence, if they are too few or not all different."""
    if len(classes) >= 2 and len(set(classes)) == len(classes):
        return None
    return "classes", "classes must be at least two different names with commas between them."


def folder_of(folder: Path | None, what: str) -> Path:
    """Raises DataError, asking for what there should be, if the site named no folder or it cannot be read."""
    if folder is None:
        raise DataError(f"Where {what}? Start the agent with --data DIR.")
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    return folder


def of_folders(folder: Path, known: Mapping[str, int], suffixes: Collection[str], noun: str) -> Iterator[Found]:
    """folder/<class>/<file> or folder/<class>/<group>/.../<file>, sorted. Raises DataError naming the folder.

    known: the number of each class. suffixes: of the files, in lower case. noun: what a file is called.
    """
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if inner.name not in known:
            raise DataError(f"The folder {inner} is called like no class. The classes are {', '.join(known)}.")
        paths = sorted(path for path in files_in(inner) if path.suffix.lower() in suffixes)
        if not paths:
            raise DataError(f"The folder {inner} has no {noun} ({', '.join(suffixes)}). Remove it or fill it.")
        for path in paths:
            require_file(path)
            yield Found(path, known[inner.name], path.relative_to(inner).parts[0] if path.parent != inner else "")


def require_file(path: Path) -> None:
    """Raises DataError for what is no file or gone. Who reads a pipe that nobody writes into waits for ever."""
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not is_regular:
        raise DataError(f"{path} cannot be read: it is no file.")


def files_in(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it. Hidden ones are left out, as file managers leave some."""
    for place, inner, names in os.walk(folder, onerror=_unreadable):
        inner[:] = [name for name in inner if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _unreadable(error: OSError) -> None:
    raise DataError(f"The folder {error.filename} cannot be read: {error.strerror}.") from error


def left_out(folder: Path, suffixes: Collection[str], noun: str) -> tuple[str, ...]:
    """Notes about files that are not read: because of how their names end, or since they are in no class's folder."""
    others = sorted(path for path in files_in(folder) if path.suffix.lower() not in suffixes)
    loose = sorted(path for path in folder.iterdir() if path.is_file() and _is_named(path, suffixes))
    return (
        *_not_read(folder, others, f"no {noun} ({', '.join(suffixes)})"),
        *_not_read(folder, loose, "in no folder of a class"),
    )


def unlisted(folder: Path, suffixes: Collection[str], listed: Collection[Path], reason: str) -> tuple[str, ...]:
    """A note about files beside CSV files that these do not name, which are not read; none if there are none."""
    known = {os.path.normpath(path) for path in listed}
    others = [path for path in files_in(folder) if _is_named(path, suffixes) and os.path.normpath(path) not in known]
    return _not_read(folder, sorted(others), reason)


def _is_named(path: Path, suffixes: Collection[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _not_read(folder: Path, paths: Sequence[Path], what: str) -> tuple[str, ...]:
    if not paths:
        return ()
    files = f"One file is {what}" if len(paths) == 1 else f"{len(paths)} files are {what}"
    return (f"{files} and not read, such as {paths[0].relative_to(folder)}.",)


def ungrouped(table: Path, columns: Sequence[str], header: Collection[str], groups: Sequence[str]) -> tuple[str, ...]:
    """A note about rows without a group where a file has other columns, one of which may be meant as it.

    columns: that are read, beside the group. groups: of its rows; empty where there is none.
    """
    lone, others = groups.count(""), [name for name in header if name not in (*columns, GROUP)]
    if GROUP in header and lone:
        return (f"{table}: {lone} of {len(groups)} rows have no group; each of these is held out by itself.",)
    if GROUP not in header and others:
        unread = f"These columns are not read: {', '.join(others)}."
        return (f"{table} has no column 'group', so each row is held out by itself. {unread}",)
    return ()


def rows_of(table: Path, columns: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each row of a CSV file with where it is, "file, line 3". A value that is missing is empty.

    columns: that it must have. Raises DataError.
    """
    csv.field_size_limit(LARGEST_FIELD)
    require_file(table)
    number = 0
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="")
            require_columns(table, rows.fieldnames or (), columns)
            for row in rows:
                number = rows.line_num
                if extra := row.get(None):
                    values = "one value" if len(extra) == 1 else f"{len(extra)} values"
                    raise DataError(f"{table}, line {number} has {values} more than there are columns.")
                yield f"{table}, line {number}", row
    except UnicodeDecodeError as error:
        raise DataError(f"{table} cannot be read: line {_undecodable(table)} is no UTF-8 text.") from error
    except csv.Error as error:
        raise DataError(f"{table} cannot be read: line {number + 1} or one after it: {error}.") from error
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}.") from error


def _undecodable(table: Path) -> int:
    """The first line of a file that is no UTF-8 text."""
    with table.open("rb") as file:
        return next((number for number, line in enumerate(file, start=1) if not _is_text(line)), 1)


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def require_columns(table: Path, there: Sequence[str], columns: Sequence[str]) -> None:
    """Raises DataError naming the first column that a file lacks, or has twice."""
    if lacking := [name for name in columns if name not in there]:
        found = f"It has {', '.join(map(str, there))}." if there else "It is empty."
        if len(there) == 1 and any(other in there[0] for other in OTHER_SEPARATORS):
            found += " There must be commas between columns."
        raise DataError(f"{table} has no column {lacking[0]!r}. {found}")
    if repeated := [name for name in columns if list(there).count(name) > 1]:
        raise DataError(f"{table} has the column {repeated[0]!r} twice.")


def class_of(where: str, text: str, known: Mapping[str, int], what: str = "the label") -> int:
    """The number of a class. Raises DataError naming the place."""
    word = text.strip()
    if word not in known:
        shown = word[:LONGEST_SHOWN]
        raise DataError(f"{where}: {what} {shown!r} is no class. The classes are {', '.join(known)}.")
    return known[word]


def numbered(classes: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(classes)}
