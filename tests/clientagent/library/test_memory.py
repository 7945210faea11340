"""What a script keeps: found by the last update that counted, and said where it is gone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clientagent.by_update import MOST_SESSIONS, LastUpdate
from clientagent.library.memory import Memory

DIGEST = "d" * 64


def work(session: int) -> Any:
    return SimpleNamespace(session_key=f"s{session}", participation=str(session))


def test_it_is_kept_for_the_last_sessions_and_what_is_gone_is_said(tmp_path: Path):
    said: list[str] = []
    memory = Memory(tmp_path / "script", said.append)
    for session in range(MOST_SESSIONS + 1):
        memory.keep(work(session), None, DIGEST, {"of": session})
    found = [memory.before(LastUpdate(str(session), DIGEST)) for session in range(MOST_SESSIONS + 1)]
    assert found == [None, *({"of": session} for session in range(1, MOST_SESSIONS + 1))]
    assert said == ["What was kept with this site's last update is not in the state folder: it begins anew."]


def test_a_script_that_keeps_nothing_hears_nothing(tmp_path: Path):
    said: list[str] = []
    memory = Memory(tmp_path / "script", said.append)
    (tmp_path / "script" / "initial.safetensors").write_bytes(b"")
    assert memory.before(LastUpdate("1", DIGEST)) is None and said == []
