"""Files that are kept with an update and found by it: what a client goes by must belong to what counted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from clientagent.errors import Failed
from clientagent.keys import key_of

MOST_SESSIONS = 4
MOST_UNCOUNTED = 8  # kept of a session after the last update that counted


@dataclass(frozen=True, slots=True)
class LastUpdate:
    """The client's last update that counted in the session."""

    participation: str
    digest: str

    @property
    def key(self) -> str:
        return key_of([self.participation, self.digest])


def last_update(body: Mapping[str, Any]) -> LastUpdate | None:
    """What the work says of it; None if none counted yet, or the server does not say it. Raises Failed."""
    told = body.get("last_update")
    if told is None:
        return None
    try:
        return LastUpdate(str(told["participation"]), str(told["digest"]))
    except (KeyError, TypeError) as error:
        raise Failed(f"The server's work cannot be read (last_update: {str(told)[:100]!r}).") from error


class ByUpdate:
    """A folder of files named <key of the session>.<key of the update>.<digest of the file>."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def is_empty(self) -> bool:
        return not any(self._folder.glob("*.*.*"))

    def unfinished(self) -> Path:
        """Where to write a file before it is kept."""
        return self._folder / "state.tmp"

    def find(self, update: LastUpdate) -> Path | None:
        """What was kept with an update. Raises Failed if its file is damaged."""
        kept = self._kept("*", update.key)
        if not kept:
            return None
        with kept[-1].open("rb") as file:
            if file_digest(file, "sha256").hexdigest() != kept[-1].name.split(".")[2]:
                raise Failed(
                    f"What was kept after the last update is damaged: {kept[-1]}. Remove the file to begin anew."
                )
        return kept[-1]

    def keep(self, session: str, update: LastUpdate, counted: LastUpdate | None, digest: str) -> None:
        """Keep what was written to `unfinished` with an update. Call it before the update itself is kept.

        counted: the last update that counted. What was kept before that one is not needed any more.
        """
        newest = max((_age(path) for path in self._folder.iterdir()), default=0)
        os.utime(self.unfinished(), ns=(0, newest + 1))  # clocks are coarse and may be set
        os.replace(self.unfinished(), self._folder / f"{session}.{update.key}.{digest}")
        self._forget(session, counted.key if counted else "")
        self._forget_old_sessions()

    def _kept(self, session: str, update: str = "*") -> list[Path]:
        """The files of a session, or of one update in it, the newest last."""
        return sorted(self._folder.glob(f"{session}.{update}.*"), key=_age)

    def _forget(self, session: str, counted: str) -> None:
        """Remove what was kept before the update that counted last, and the oldest of too many that did not count."""
        files = self._kept(session)
        since = next((place for place, path in enumerate(files) if path.name.split(".")[1] == counted), None)
        needed = (
            set(files[-MOST_UNCOUNTED:]) if since is None else {files[since], *files[since + 1 :][-MOST_UNCOUNTED:]}
        )
        for path in files:
            if path not in needed:
                path.unlink()

    def _forget_old_sessions(self) -> None:
        ages: dict[str, int] = {}
        for path in self._folder.glob("*.*.*"):
            session = path.name.split(".")[0]
            ages[session] = max(ages.get(session, 0), _age(path))
        for session in sorted(ages, key=lambda one: -ages[one])[MOST_SESSIONS:]:
            for path in self._folder.glob(f"{session}.*"):
                path.unlink()


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns
