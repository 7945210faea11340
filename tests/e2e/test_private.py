"""Nothing that a server and its agents wrote is for other users, however careless the umask was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.e2e.stack import Stack


def open_to_others(folder: Path) -> dict[str, str]:
    paths = [folder, *folder.rglob("*")]
    return {str(path): oct(path.stat().st_mode) for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077}


def test_after_a_round_nothing_is_open_to_others(tmp_path):
    folder = tmp_path / "site"
    before = os.umask(0)
    stack = Stack(folder)
    try:
        folder.chmod(0o755)
        (folder / "db.sqlite3").chmod(0o644)
        stack.start()
        stack.agent("north")
        assert stack.ended(stack.session(rounds=1, quorum=1))["status"] == "completed"
        stack.manage("backup", str(folder / "backup.tar"))
        assert list(folder.glob("db.sqlite3-*")) and list(folder.glob("weights/*/*.safetensors"))
        assert list(folder.glob("agents/north/identity.json"))
        assert open_to_others(folder) == {}
    finally:
        stack.stop()
        os.umask(before)
