"""What left this site: a line for each update, written before its first byte leaves, and one once it was accepted.

Lines are only ever added. A full file becomes the earlier one, in place of the one before it, so that the newest lines
always stay. A kill loses no line; the half of one that it may leave is passed over.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

NAME, EARLIER = "sent.jsonl", "sent.1.jsonl"
MOST_BYTES = 4 << 20  # of each of the two files: about 12,000 updates


@dataclass(frozen=True, slots=True)
class Sending:
    """One thing that is sent. id: the same for the same file of the same work, so that a resumed one is counted once.

    kind: of work. digest: of the file. num_examples: None if it does not say.
    """

    id: str
    session: str
    session_id: str
    round: int
    workload: str
    kind: str
    digest: str
    num_bytes: int
    num_examples: int | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A line of the table. time: when its first byte left. accepted: when the server had accepted it, None: it did not.

    Times are in UTC, as ISO 8601.
    """

    time: str
    sending: Sending
    accepted: str | None = None

    def to_json(self) -> dict[str, Any]:
        told = asdict(self.sending)
        del told["id"]
        return {"time": self.time, **told, "accepted": self.accepted}


class Ledger:
    """The two files in one folder. Other processes may read them at any time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, sending: Sending, *, resumed: bool) -> None:
        """Note that it leaves now. resumed: an earlier start may have noted it already. Raises OSError."""
        if not resumed or all(one.sending.id != sending.id for one in self.entries()):
            self._add({"time": _now(), **asdict(sending)})

    def accepted(self, sending: Sending) -> None:
        """Note that the server has it. Raises OSError."""
        self._add({"id": sending.id, "accepted": _now()})

    def entries(self) -> list[Sent]:
        """All that are kept, the oldest first, each once."""
        found: dict[str, Sent] = {}
        for said in self._lines():
            with contextlib.suppress(KeyError, TypeError, ValueError):
                _take(said, found)
        return list(found.values())

    @property
    def is_there(self) -> bool:
        return (self._folder / NAME).is_file() or (self._folder / EARLIER).is_file()

    def _add(self, said: Mapping[str, Any]) -> None:
        path = self._folder / NAME
        line = json.dumps(said, ensure_ascii=True).encode() + b"\n"
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            size = os.fstat(file).st_size
            whole = line if _ends_whole(file, size) else b"\n" + line
            if os.write(file, whole) < len(whole):  # the disk is full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)
        if size + len(line) >= MOST_BYTES:
            os.replace(path, self._folder / EARLIER)

    def _lines(self) -> Iterator[Any]:
        """The newer file is opened first: should it become the earlier one now, its lines are read twice, not never."""
        with contextlib.ExitStack() as opened:
            files = []
            for name in (NAME, EARLIER):
                with contextlib.suppress(FileNotFoundError):
                    files.append(opened.enter_context((self._folder / name).open("rb")))
            for line in chain.from_iterable(reversed(files)):
                with contextlib.suppress(ValueError):
                    yield json.loads(line)


def _ends_whole(file: int, size: int) -> bool:
    """Whether the last line was written to its end."""
    if not size:
        return True
    os.lseek(file, size - 1, os.SEEK_SET)
    return os.read(file, 1) == b"\n"


def _take(said: Any, found: dict[str, Sent]) -> None:
    """Add what one line says. Raises KeyError, TypeError or ValueError for a line that is none of ours."""
    name = said["id"]
    if "time" not in said:
        before = found[name]
        found[name] = Sent(before.time, before.sending, str(said["accepted"]))
    elif name not in found:
        about = {field: said[field] for field in Sending.__dataclass_fields__}
        about |= {"round": int(about["round"]), "num_bytes": int(about["num_bytes"])}
        found[name] = Sent(str(said["time"]), Sending(**about))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
