"""A workload in a file of one's own: at the sites alone, and at the server too, which is not started again for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, running, until
from tests.fl.workloads.own_files import write_lines

ASKED: dict[str, Any] = {
    "workload": {"name": "lines", "options": {"width": 5}},
    "rounds": 2,
    "quorum": 2,
    "cohort_size": 2,
    "train": {"epochs": 1, "batch_size": 16, "learning_rate": 0.1},
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two sites have the file; the server has an empty folder."""
    pytest.importorskip("torch")
    site, server = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("server")
    write_lines(site)
    with running(tmp_path_factory.mktemp("data"), env={"FL_WORKLOADS": str(server)}) as stack:
        for name in ("north", "south"):
            stack.agent(name, "--workloads", str(site), "--workload", "lines", "--allow", "lines")
        stack.online(2)
        until(lambda: len(listed(stack).get("clients", [])) == 2, why="both sites tell their workload")
        yield stack


def listed(stack: Stack) -> dict[str, Any]:
    """What the server lists of it."""
    return next((one for one in stack.get("/workloads")["items"] if one["name"] == "lines"), {})


def trained(stack: Stack) -> str:
    """A session of it, in which both sites took part."""
    session = stack.session(**ASKED)
    assert stack.ended(session)["status"] == "completed"
    points = stack.get(f"/sessions/{session}/metrics", limit=1000)["items"]
    assert {"north", "south"} == {point["client"]["name"] for point in points if point["name"] == "val_mae"}
    assert [model["version"] for model in stack.get(f"/sessions/{session}/models")["items"]] == [0, 1, 2]
    return session


def begun_by_a_site(stack: Stack, session: str) -> bool:
    return bool(stack.get(f"/sessions/{session}/rounds", kind="initialise")["items"])


def central_numbers(stack: Stack, session: str) -> dict[str, float]:
    """What the server measured of the last model; empty as long as it did not."""
    numbers: dict[str, float] = stack.get(f"/sessions/{session}/models")["items"][-1]["metrics"]
    return numbers


def test_with_the_file_at_the_sites_alone_they_begin_and_measure(stack: Stack):
    told = listed(stack)
    assert told["origin"] == "sites" and told["version"] == "1.1" and told["clients"][0]["num_examples"] == 200
    assert [option["name"] for option in told["options"]] == ["width"]
    session = trained(stack)
    assert begun_by_a_site(stack, session) and not central_numbers(stack, session)


def test_with_the_file_at_the_server_too_it_begins_and_measures(stack: Stack):
    path = write_lines(Path(stack.env["FL_WORKLOADS"]))
    (path.parent / "broken.py").write_text("import no_such_module\n")
    until(lambda: listed(stack).get("origin") == "server", why="the server finds the file")
    told = listed(stack)
    assert told["digest"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {one["digest"] for one in told["clients"]} == {told["digest"]}
    session = trained(stack)
    assert not begun_by_a_site(stack, session)
    measured = until(lambda: central_numbers(stack, session), why="the server measures the last model")
    assert measured.keys() == {"loss", "mae"}
    log = (stack.folder / "web.log").read_text()
    assert "no workload: broken.py, line 1: ModuleNotFoundError: No module named 'no_such_module'." in log


def test_a_site_that_does_not_allow_it_names_the_flag_and_does_not_tell_it(stack: Stack, tmp_path: Path):
    write_lines(tmp_path)
    stack.agent("west", "--workloads", str(tmp_path))
    stack.online(3)
    said = (stack.folder / "west.log").read_text()
    assert "This site does not serve the workload 'lines'. Its owner can allow it with --allow lines." in said
    assert "west" not in str(listed(stack)["clients"]) and "north" in str(listed(stack)["clients"])
