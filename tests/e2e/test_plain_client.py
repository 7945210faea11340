"""The client of docs/protocol.md, in plain Python, trains beside real agents."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tests.e2e.plain import read
from tests.e2e.stack import ROOT, Stack, until

CLIENT = ROOT / "docs" / "examples" / "plain_client.py"


def ridge(folder: Path) -> Path:
    """A folder with the workload of docs/workloads.md that the client trains too."""
    text = (ROOT / "docs" / "workloads.md").read_text()
    (source,) = re.findall(r"^`ridge\.py`:\n\n```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    folder.mkdir()
    (folder / "ridge.py").write_text(source)
    return folder


def start(stack: Stack) -> None:
    words = [str(CLIENT), stack.url, stack.join_code, "plain", str(stack.folder / "plain.token")]
    stack.agents["plain"] = stack._process("plain", words)


def weights_of(stack: Stack, session: str) -> list[np.ndarray]:
    """Of each version."""
    digests = [one["digest"] for one in stack.get(f"/sessions/{session}/models")["items"]]
    answers = [stack.http.get(f"{stack.url}/api/v1/models/{digest}", timeout=30) for digest in digests]
    return [read(answer.content, np.float64)["w"] for answer in answers]


def test_it_trains_beside_agents_also_after_a_restart(stack: Stack, tmp_path: Path):
    workloads = ridge(tmp_path / "workloads")
    for name in ("north", "south"):
        stack.agent(name, "--workloads", str(workloads), "--allow", "ridge", "--workload", "ridge")
    start(stack)
    listed = until(lambda: [one["clients"] for one in stack.get("/workloads")["items"] if one["name"] == "ridge"])
    until(lambda: len(stack.get("/workloads")["items"][-1]["clients"]) == 3, why=f"three clients, not {listed}")
    for rounds, options in ((2, {"penalty": 50.0}), (1, {})):
        wish = {"workload": {"name": "ridge", "options": options}, "quorum": 3, "cohort_size": 3}
        session = stack.session(rounds=rounds, **wish)
        assert stack.ended(session)["status"] == "completed"
        seats = [one["participations"] for one in stack.get(f"/sessions/{session}/rounds")["items"]]
        assert [{seat["client"]["name"]: seat["status"] for seat in each} for each in seats] == [
            dict.fromkeys(("north", "plain", "south"), "aggregated")
        ] * rounds
        points = stack.get(f"/sessions/{session}/metrics")["items"]
        assert {p["round"] for p in points if (p["client"]["name"], p["name"]) == ("plain", "train_loss")} == {
            *range(1, rounds + 1)
        }
        far = [float(np.abs(w - np.arange(4)).max()) for w in weights_of(stack, session)]
        assert far == sorted(far, reverse=True) and far[-1] < far[0]
        stack.agents.pop("plain").kill()
        start(stack)
    assert sorted(one["name"] for one in stack.get("/clients")["items"]) == ["north", "plain", "south"]


def test_it_has_forty_lines():
    lines = [line.strip() for line in CLIENT.read_text().splitlines()]
    assert len([line for line in lines if line and not line.startswith(('"""', "#"))]) <= 40


def test_it_is_what_the_document_shows():
    assert CLIENT.read_text() in (ROOT / "docs" / "protocol.md").read_text()
