"""Data that cannot be used: the agent and the session say what is wrong with which file, and the agent goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, running
from tests.e2e.test_kill_images import pictures

IMAGES = {"name": "images", "options": {"classes": "dark,light", "size": 16}}
TABLE = {"name": "table", "options": {"target": "ill", "numbers": "age,weight", "group": "patient"}}
TEXT = {"name": "text", "options": {"classes": "ham,spam", "width": 8, "vocabulary": 64}}
HEAD = "age,weight,ill,patient\n30,70,no,a\n40,80,yes,b\n"
LIST = "path,label\ndark/0.png,dark\nlight/1.png,light\n"
GOOD = "".join(f"{20 + n},{60 + n % 7},{('no', 'yes')[n % 2]},{n // 2}\n" for n in range(20))

CASES: tuple[tuple[Mapping[str, Any], Mapping[str, str | bytes], str], ...] = (  # files beside images, and the words
    (
        IMAGES,
        {"dark/0.png": b"no image"},
        "{}/dark/0.png cannot be read as an image: its beginning is that of no image.",
    ),
    (
        IMAGES,
        {"dark/0.png": b"", "list.csv": LIST},
        "{0}/list.csv, line 2: {0}/dark/0.png cannot be read as an image: it is empty.",
    ),
    (IMAGES, {"list.csv": LIST + "light/3.png,grey\n"}, "{}/list.csv, line 4: the label 'grey' is no class."),
    (IMAGES, {"list.csv": LIST + "a" * 5000 + ".png,dark\n"}, "{}/list.csv, line 4: there is no image 'aaaa"),
    (IMAGES, {"grey/1.txt": ""}, "The folder {}/grey is called like no class."),
    (TABLE, {"x.csv": HEAD.replace("weight", "height")}, "{}/x.csv has no column 'weight'. It has age, height, ill"),
    (TABLE, {"x.csv": HEAD + "50,heavy,no,c\n"}, "{}/x.csv, line 4: weight is 'heavy', which is no number."),
    (TABLE, {"x.csv": HEAD + "50,90,maybe,c\n"}, "{}/x.csv, line 4: ill 'maybe' is no class."),
    (TABLE, {"x.csv": HEAD + "50,90,no,\n"}, "{}/x.csv, line 4: patient is missing."),
    (TABLE, {"x.csv": HEAD.replace("patient", "person")}, "{}/x.csv has no column 'patient'."),
    (TEXT, {"x.csv": b"text,label\nhi,ham\nb\xff,spam\n"}, "{}/x.csv cannot be read: line 3 is no UTF-8 text."),
    (TEXT, {"x.csv": "text;label\nhi;ham\n"}, "{}/x.csv has no column 'text'. It has text;label. There must be commas"),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An agent whose folder of data is there and empty."""
    folder = tmp_path_factory.mktemp("bad")
    with running(folder, env={"FL_CLIENT_LOADERS": "0"}) as stack:
        (folder / "data").mkdir()
        stack.agent("north", "--data", str(folder / "data"), "--workload", "images")
        stack.online(1)
        yield stack


def put(stack: Stack, workload: Mapping[str, Any], files: Mapping[str, str | bytes]) -> Path:
    """In place of the agent's data before."""
    folder = stack.folder / "data"
    for inner in folder.iterdir():
        shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
    if workload is IMAGES:
        pictures(folder, seed=1, count=8)
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def session(stack: Stack, workload: Mapping[str, Any]) -> str:
    return stack.session(workload=workload, rounds=1, quorum=1, cohort_size=1, max_retries=0)


@pytest.mark.parametrize(("workload", "files", "words"), CASES, ids=[case[2].split("}")[-1][:40] for case in CASES])
def test_bad_data_are_told_by_file_and_line(
    site: Stack, workload: Mapping[str, Any], files: Mapping[str, str | bytes], words: str
) -> None:
    said = words.format(put(site, workload, files))
    number = session(site, workload)
    assert site.ended(number)["status"] == "failed"
    (event,) = [one for one in site.events(number) if one["kind"] == "seat.failed"]
    assert event["payload"]["reason"].startswith(said)
    log = (site.folder / "north.log").read_text()
    assert f"gives up this seat: {said}" in log and "Traceback" not in log and "Warning" not in log


def test_the_same_agent_trains_when_the_data_are_right(site: Stack) -> None:
    put(site, TABLE, {"x.csv": HEAD + GOOD})
    assert site.ended(session(site, TABLE))["status"] == "completed"
