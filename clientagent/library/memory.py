"""What a script keeps between its pieces of work: by work, so that work that is done again finds what it found.

The server says in `last_update` which update of this client counted last in the session. The script gets what it kept
with that update. So work that was dropped leaves no trace, and a script that was killed starts from the same bytes.
"""

from __future__ import annotations

import pickle  # nosec B403  see _read
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from clientagent.by_update import ByUpdate, LastUpdate
from clientagent.kinds.training import TrainingWork


class Memory:
    """Values of a script, each in a file of its own."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._files = ByUpdate(folder)
        self._say = say
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in folder.glob("*.tmp"):
            left.unlink()

    def before(self, last: LastUpdate | None) -> Any:
        """What was kept with the last update that counted; None if none did, or it is not here any more."""
        if last is None:
            return None
        kept = self._files.find(last)
        if kept is None and not self._files.is_empty:  # it is a script that keeps something
            self._say("What was kept with this site's last update is not in the state folder: it begins anew.")
        return _read(kept)

    def of(self, last: LastUpdate | None) -> Any:
        """What was kept with this update, whatever is asked now; None if it is not here."""
        return _read(self._files.find(last)) if last else None

    def keep(self, work: TrainingWork, last: LastUpdate | None, digest: str, value: Any) -> None:
        """Keep a value with this work's update. Call it before the update is kept, so that no value is missing.

        last: the last update that counted.
        """
        kept = pickle.dumps(value, protocol=5)
        self._files.unfinished().write_bytes(kept)
        update = LastUpdate(work.participation, digest)
        self._files.keep(work.session_key, update, last, sha256(kept).hexdigest())


def _read(path: Path | None) -> Any:
    """The value of a file that this script wrote into this user's own folder."""
    if path is None:
        return None
    with path.open("rb") as file:
        return pickle.load(file)  # nosec B301
