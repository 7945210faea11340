"""What encoded updates left out, kept for the next ones: error feedback that outlives a kill."""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path

MOST_SESSIONS = 4


class Residuals:
    """Files named <key of the session>.<key of the work>.<digest of the file>, at most two a session.

    Work that is done again must find what it found the first time: the residual of the work before it. So both
    stay until a third is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def unfinished(self) -> Path:
        """Where to write a residual before it is kept."""
        return self._folder / "residual.tmp"

    def before(self, session: str, work: str) -> Path | None:
        """The residual of the session's last work before this one, if its file is whole."""
        path = self._before(session, work)
        if path is None:
            return None
        with path.open("rb") as file:
            return path if file_digest(file, "sha256").hexdigest() == path.name.split(".")[2] else None

    def keep(self, session: str, work: str, digest: str) -> None:
        """Keep what was written to `unfinished`, as the newest of its session. The oldest sessions are forgotten."""
        before, path = self._before(session, work), self._folder / f"{session}.{work}.{digest}"
        newest = max((_age(other) for other in self._folder.iterdir()), default=0)
        os.utime(
            self.unfinished(), ns=(0, max(newest + 1, _age(self.unfinished())))
        )  # clocks are coarse and may be set
        os.replace(self.unfinished(), path)
        for other in self._folder.glob(f"{session}.*"):
            if other not in (before, path):
                other.unlink()
        self._forget_old_sessions()

    def _before(self, session: str, work: str) -> Path | None:
        others = [path for path in self._folder.glob(f"{session}.*") if path.name.split(".")[1] != work]
        return max(others, key=_age, default=None)

    def _forget_old_sessions(self) -> None:
        used: dict[str, int] = {}
        for path in self._folder.glob("*.*.*"):
            session = path.name.split(".")[0]
            used[session] = max(used.get(session, 0), _age(path))
        for session in sorted(used, key=lambda session: -used[session])[MOST_SESSIONS:]:
            for path in self._folder.glob(f"{session}.*"):
                path.unlink()


def _age(path: Path) -> int:
    """When it was kept, in nanoseconds."""
    return path.stat().st_mtime_ns
