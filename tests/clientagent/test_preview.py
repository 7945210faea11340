"""`run.py preview`: the picture says what each client would get, to the last example."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientagent import cli, picture
from clientagent.commands import preview
from clientagent.crowd.parts import Parts, Whole
from clientagent.picture import MOST_COLUMNS, MOST_ROWS, Shares
from clientagent.settings import Settings
from federation.fl import workloads
from federation.fl.workloads import Data

SVG = "{http://www.w3.org/2000/svg}"
DIGITS = ("preview", "--workload", "digits", "--partition", "dirichlet:0.5", "--partition-seed", "3")


def cells(drawn: str) -> dict[tuple[int, str], int]:
    """What is said of each cell: client and label, and the number of examples."""
    found = {}
    for title in ET.fromstring(drawn).iter(f"{SVG}title"):
        if match := re.fullmatch(r"Client (\d+), (.*): ([\d,]+)", title.text or "", re.DOTALL):
            found[int(match[1]), match[2]] = int(match[3].replace(",", ""))
    return found


def test_the_picture_shows_what_the_agents_would_get(tmp_path: Path, capsys):
    out = tmp_path / "who.svg"
    assert cli.main([*DIGITS, "--clients", "7", f"--out={out}"]) == 0
    parts = Parts(Settings(partition="dirichlet:0.5", partition_seed=3), 7)
    whole = parts.load(workloads.get("digits"), {})
    expected = {
        (number, name): count
        for number in range(1, 8)
        for name, count in parts.of(number).of(workloads.get("digits"), {}).histogram().items()
    }
    assert cells(out.read_text()) == expected
    said, sizes = capsys.readouterr().out, [len(share) for share in whole.shares]
    assert f"{sum(sizes):,} examples among 7 clients" in said and f"{min(sizes)} to {max(sizes)} examples each" in said


def test_agents_that_were_given_shards_are_as_many_as_the_shard_says(tmp_path: Path, capsys):
    assert cli.main([*DIGITS, "--shard", "2/4", f"--out={tmp_path / 'a.svg'}"]) == 0
    assert cli.main([*DIGITS, "--clients", "4", f"--out={tmp_path / 'b.svg'}"]) == 0
    assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()


def test_options_of_a_workload_decide_what_is_read(tmp_path: Path, capsys):
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(6):
            (tmp_path / "data" / name / f"{number}.txt").write_text(f"{name} {number}")
    words = [
        "preview",
        "--workload=text",
        f"--data={tmp_path / 'data'}",
        "--clients=2",
        "--partition-seed=0",
        f"--out={tmp_path / 'a.svg'}",
    ]
    assert cli.main([*words, '--options={"classes": "cat,dog"}']) == 0
    assert sum(cells((tmp_path / "a.svg").read_text()).values()) == 12
    assert "2 clients, iid, seed 0: 6 examples each; 2 of 2 labels each." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "preview needs to know among how many clients: --clients 20, or --shard 1/20"),
        (("--clients", "9", "--workload", "nope"), "There is no workload 'nope': choose one of digits"),
        (("--clients", "9", "--partition", "fair"), "'fair' is not a partition: use \"iid\""),
        (("--clients", "2000"), "1438 examples are too few for 2000 shards"),
        (("--clients", "9", "--workload", "synthetic"), "the workload synthetic has no data to share out"),
        (("--clients", "9", "--workload", "text"), "Where are the texts? Start the agent with --data DIR."),
        (("--clients", "9", "--options", "[]"), "--options must be a JSON object"),
        (("--clients", "9", "--options", "{"), "--options is not JSON"),
        (("--partition", "iid", "--shard", "9/4"), "'9/4' is not a shard"),
        (("--clients", "9", "--out", "/nowhere/a.svg"), "--out '/nowhere/a.svg' cannot be written"),
    ],
)
def test_what_cannot_be_previewed_is_named(words: tuple[str, ...], said: str, capsys):
    assert cli.main(["preview", *words]) == 2
    assert said in capsys.readouterr().err


def test_examples_of_several_labels_count_for_each():
    data = Data(np.zeros((3, 1), np.float32), np.float32([[1, 1], [1, 0], [0, 0]]), ("a", "b"))
    shares = preview.shares_of(Whole(data, [np.array([0, 2]), np.array([1])]), "two")
    assert (shares.examples, shares.counts) == ([2, 1], [[1, 1], [1, 0]])


def test_numbers_to_predict_are_only_counted():
    data = Data(np.zeros((3, 1), np.float32), np.float32([0.5, 1.5, 2.5]), ())
    shares = preview.shares_of(Whole(data, [np.array([0, 2]), np.array([1])]), "two")
    assert (shares.examples, shares.counts) == ([2, 1], [[], []])
    assert "Examples of each client" in picture.svg(shares)


@given(
    st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=60),
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"))), min_size=3, max_size=3, unique=True),
)
def test_any_counts_and_names_make_a_picture_that_says_them(counts: list[list[int]], names: list[str]):
    drawn = picture.svg(Shares("a <title> & more", names, [sum(row) for row in counts], counts))
    expected = {(row, name): n for row, mine in enumerate(counts, 1) for name, n in zip(names, mine, strict=True)}
    assert cells(drawn) == expected


def test_what_has_no_room_is_named():
    clients, labels = MOST_ROWS + 5, MOST_COLUMNS + 1
    names = [str(number) for number in range(labels)]
    drawn = picture.svg(Shares("many", names, [labels] * clients, [[1] * labels] * clients))
    assert "Not shown: the last 5 clients and the last label." in drawn
    assert len(cells(drawn)) == MOST_ROWS * MOST_COLUMNS
