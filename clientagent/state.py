"""The state folder: who this agent is, and its half-done work. SIGKILL at any line leaves it usable."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from clientagent.by_update import ByUpdate
from clientagent.errors import Misconfigured
from clientagent.ledger import Ledger
from clientagent.lock import try_lock
from clientagent.residuals import Residuals

IDENTITY = "identity.json"
SERVER = "server.json"
TENSORS, NUMBERS = ".safetensors", ".json"  # what a result may be


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is to which server. Saved before the server hears of it, so that no answer can be lost.

    client_id is empty until the server has let it in; the join code is kept until then.
    """

    server: str
    name: str
    token: str
    join_code: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A result that only has to be sent. kept: since an earlier start, so that some of it may have arrived."""

    path: Path
    digest: str
    kept: bool = False


class State:
    """One agent's folder, held by a lock for as long as the process lives."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, take its lock, clear away what a killed agent left. Raises Misconfigured."""
        self.folder = folder
        self._identity = folder / IDENTITY
        self.residuals = Residuals(folder / "residuals")
        self.kept = ByUpdate(folder / "kept")  # with updates: what strategies have clients keep
        self.ledger = Ledger(folder)
        try:
            for each in (folder, self.updates, self.models, folder / "residuals", folder / "kept"):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
                each.chmod(0o700)
            self._lock = try_lock(folder / "lock")
        except OSError as error:
            raise Misconfigured(f"The state folder {folder} cannot be used: {error.strerror}.") from error
        if self._lock is None:
            raise Misconfigured(f"Another agent uses the state folder {folder}. Give each agent its own --state.")
        for left in (*self.updates.glob("*.tmp"), *folder.glob("residuals/*.tmp"), *folder.glob("kept/*.tmp")):
            left.unlink()

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()

    @property
    def updates(self) -> Path:
        return self.folder / "updates"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def identity(self) -> Identity | None:
        """Who this agent is; None before its first start."""
        return identity_in(self.folder)

    def save(self, identity: Identity) -> None:
        """Keep it, whole or not at all. Raises Misconfigured if nothing can be written."""
        replace_file(self._identity, asdict(identity))  # losing the token would lose the client's name with it

    def server_version(self) -> str:
        """The version that the server was of at last, as far as it was kept; empty if not."""
        try:
            return str(json.loads((self.folder / SERVER).read_bytes())["version"])
        except (OSError, ValueError, TypeError, KeyError):  # the next answer says it
            return ""

    def keep_server_version(self, version: str) -> None:
        if version != self.server_version():
            replace_file(self.folder / SERVER, {"version": version})

    # ---- finished results, named <key of the work>.<digest of the file>.<its type>, and the last one's points

    def unfinished(self) -> Path:
        """Where to write a result before it is kept."""
        return self.updates / "update.tmp"

    def keep(self, key: str, digest: str, points: Sequence[Mapping[str, Any]] = (), suffix: str = TENSORS) -> Finished:
        """Keep what was written to `unfinished` as the result of this work, in place of any older one.

        points: of its curves, not known to have arrived. They come first: no result is found without them.
        """
        if points:
            _write_over(self._points, json.dumps({"work": key, "points": [*points]}).encode())
        path = self.updates / f"{key}.{digest}{suffix}"
        os.replace(self.unfinished(), path)
        self.forget(besides=path)
        return Finished(path, digest)

    def finished(self, key: str) -> Finished | None:
        """The result of this work, if it was made before and its file is whole."""
        for path in self.updates.glob(f"{key}.*.*"):
            digest = path.name.split(".")[1]
            with path.open("rb") as file:
                if file_digest(file, "sha256").hexdigest() == digest:
                    return Finished(path, digest, kept=True)
        return None

    def points(self, key: str) -> list[dict[str, Any]]:
        """The points that were kept with a finished result."""
        try:
            kept = json.loads(self._points.read_bytes())
            return list(kept["points"]) if kept["work"] == key else []
        except (OSError, ValueError, TypeError, KeyError):  # a curve is not worth the work
            return []

    @property
    def _points(self) -> Path:
        return self.updates / "points.json"

    def forget(self, besides: Path | None = None) -> None:
        """Remove the finished results; the next one is written over one of them."""
        for path in self.updates.glob("*.*.*"):
            if path != besides:
                os.replace(path, self.unfinished())


def identity_in(folder: Path) -> Identity | None:
    """Who the agent of a state folder is; None if it has not started yet. Raises Misconfigured."""
    path = folder / IDENTITY
    try:
        return Identity(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise Misconfigured(
            f"{path} cannot be read. Put back a copy, or join again with another --state folder."
        ) from error


def replace_file(path: Path, value: object) -> None:
    """Keep a JSON value for this user alone, on the disk before this returns. Raises Misconfigured."""
    temporary = path.with_suffix(".tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}.") from error


def _write_over(path: Path, data: bytes) -> None:
    """Write over a file, which a killed process leaves half written. A new file each time would cost far more."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(data)
        file.truncate()


def default_folder(name: str) -> Path:
    """The state folder of a client that was not given one. The name is one that the command line lets through."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "fl-agent" / name
