"""What a script keeps between its pieces of work: by work, so that work that is done again finds what it found.

The server says in `last_update` which update of this client counted last in the session. The script gets what it kept
with that update. So work that was dropped leaves no trace, and a script that was killed starts from the same bytes.
"""

from __future__ import annotations

import os
import pickle  # nosec B403  see _read
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from clientagent.errors import Failed
from clientagent.kinds.training import TrainingWork
from clientagent.work import key_of

MOST_SESSIONS = 4
MOST_UNCOUNTED = 8  # kept of a session after the last update that counted


@dataclass(frozen=True, slots=True)
class LastUpdate:
    """The client's last update that counted in the session."""

    participation: str
    digest: str


def last_update(body: Mapping[str, Any]) -> LastUpdate | None:
    """What the work says of it; None if none counted yet, or the server does not say it. Raises Failed."""
    told = body.get("last_update")
    if told is None:
        return None
    try:
        return LastUpdate(str(told["participation"]), str(told["digest"]))
    except (KeyError, TypeError) as error:
        raise Failed(f"The server's work cannot be read (last_update: {str(told)[:100]!r}).") from error


class Memory:
    """Files named <key of the session>.<key of the update>.<digest of the file>."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.tmp"):
            left.unlink()

    def before(self, work: TrainingWork, last: LastUpdate | None) -> Any:
        """What was kept with the last update that counted; None if none did, or it is not here any more."""
        if last is None:
            return None
        kept = self._kept(work.session_key, _key(last.participation, last.digest))
        if not kept and any(self._folder.glob("*.*.*")):  # it is a script that keeps something
            self._say("What was kept with this site's last update is not in the state folder: it begins anew.")
        return _read(kept[-1]) if kept else None

    def of(self, last: LastUpdate | None) -> Any:
        """What was kept with this update, whatever is asked now; None if it is not here."""
        kept = self._kept("*", _key(last.participation, last.digest)) if last else []
        return _read(kept[-1]) if kept else None

    def keep(self, work: TrainingWork, last: LastUpdate | None, digest: str, value: Any) -> None:
        """Keep a value with this work's update. Call it before the update is kept, so that no value is missing.

        last: the last update that counted. What was kept before that one is not needed any more.
        """
        kept, temporary = pickle.dumps(value, protocol=5), self._folder / "state.tmp"
        temporary.write_bytes(kept)
        newest = max((_age(path) for path in self._folder.iterdir()), default=0)
        os.utime(temporary, ns=(0, newest + 1))  # clocks are coarse and may be set
        name = f"{work.session_key}.{_key(work.participation, digest)}.{sha256(kept).hexdigest()}"
        os.replace(temporary, self._folder / name)
        self._forget(work.session_key, _key(last.participation, last.digest) if last else "")
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


def _key(participation: str, digest: str) -> str:
    return key_of([participation, digest])


def _read(path: Path) -> Any:
    """The value of a file that this script wrote into this user's own folder; a damaged one is told by its digest."""
    with path.open("rb") as file:
        if file_digest(file, "sha256").hexdigest() != path.name.split(".")[2]:
            raise Failed(f"What was kept after the last update is damaged: {path}. Remove the file to begin anew.")
        file.seek(0)
        return pickle.load(file)  # nosec B301


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns
