"""What left a site is in its own list, each update once, also when its agent was killed while it sent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from clientagent.ledger import Ledger
from federation.killpoints import Point
from tests.e2e.outcome import ENV, settings
from tests.e2e.stack import ROOT, running, until


def test_each_update_is_listed_once_with_what_the_server_got(tmp_path: Path):
    with running(tmp_path, killable=True, env=ENV) as stack:
        for name in ("north", "south"):
            stack.agent(name)
        stack.online(2)
        stack.kill_at("north", Point.PART_HALF_SENT)
        session = stack.session(**settings() | {"quorum": 2, "cohort_size": 2, "rounds": 3})
        stack.died("north")
        stack.agent("north")
        assert stack.ended(session)["status"] == "completed"
        got = {
            made["number"]: seat
            for made in stack.get(f"/sessions/{session}/rounds")["items"]
            for seat in made["participations"]
            if seat["client"]["name"] == "north"
        }
        until(lambda: all(one.accepted for one in Ledger(tmp_path / "agents" / "north").entries()))
        command = [
            sys.executable,
            "clientagent/run.py",
            "sent",
            "--json",
            "--state",
            str(tmp_path / "agents" / "north"),
        ]
        lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    trained = [told for told in map(json.loads, lines) if told["kind"] == "train"]
    assert [told["round"] for told in trained] == sorted(got) and all(told["accepted"] for told in trained)
    assert [told["num_examples"] for told in trained] == [got[told["round"]]["num_examples"] for told in trained]
