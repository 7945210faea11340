"""What left a site: noted before it leaves, once, whatever happens then; and the table of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientagent import cli, ledger
from clientagent.ledger import EARLIER, NAME, Ledger, Sending
from tests.clientagent.fake_server import FakeServer, status
from tests.clientagent.sites import Site
from tests.clientagent.test_process import ROOT
from tests.properties import PROPERTY

ONE = Sending("a.1", "hearts", "7", 3, "digits", "train", "ab" * 32, 2048, 120)


def sending(n: int) -> Sending:
    return replace(ONE, id=f"a.{n}", round=n)


def sent(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert cli.main(["sent", *map(str, words)]) == 0
    return capsys.readouterr().out


def rounds(folder: Path) -> list[int]:
    return [one.sending.round for one in Ledger(folder).entries()]


def test_it_is_noted_before_it_leaves_and_again_once_it_was_accepted(tmp_path: Path):
    book = Ledger(tmp_path)
    book.begin(ONE, resumed=False)
    (found,) = book.entries()
    assert found.sending == ONE and found.accepted is None
    book.accepted(ONE)
    (found,) = Ledger(tmp_path).entries()
    assert found.sending == ONE and found.accepted and found.time <= found.accepted


def test_what_an_earlier_start_noted_is_not_noted_again(tmp_path: Path):
    for _ in range(3):
        Ledger(tmp_path).begin(ONE, resumed=True)
    Ledger(tmp_path).begin(ONE, resumed=False)  # made a second time, from nothing
    assert (tmp_path / NAME).read_text().count("\n") == 2 and rounds(tmp_path) == [3]


@PROPERTY
@given(kept=st.integers(min_value=0))
def test_a_kill_within_a_line_loses_no_other_line(tmp_path_factory: pytest.TempPathFactory, kept: int):
    folder = tmp_path_factory.mktemp("state")
    book = Ledger(folder)
    for n in (1, 2):
        book.begin(sending(n), resumed=False)
    whole = (folder / NAME).read_bytes()
    first = whole.index(b"\n") + 1
    (folder / NAME).write_bytes(whole[: first + kept % (len(whole) - first)])
    book.begin(sending(2), resumed=True)
    book.begin(sending(3), resumed=False)
    book.accepted(sending(3))
    assert rounds(folder) == [1, 2, 3] and book.entries()[-1].accepted


def test_it_is_bounded_and_the_newest_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger, "MOST_BYTES", 2000)
    for n in range(50):
        Ledger(tmp_path).begin(sending(n), resumed=False)
        Ledger(tmp_path).accepted(sending(n))
    found = Ledger(tmp_path).entries()
    assert [one.sending.round for one in found] == list(range(found[0].sending.round, 50))
    assert len(found) >= 5 and all(one.accepted for one in found)
    assert sum((tmp_path / name).stat().st_size for name in (NAME, EARLIER) if (tmp_path / name).exists()) < 4500


def test_no_line_is_missed_while_a_full_file_becomes_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for n in (1, 2):
        Ledger(tmp_path).begin(sending(n), resumed=False)
    opens = Path.open

    def open_late(path: Path, *how: str) -> Any:
        file = opens(path, *how)
        if path.name == NAME:  # it is full, just now
            os.replace(path, tmp_path / EARLIER)
        return file

    monkeypatch.setattr(Path, "open", open_late)
    assert rounds(tmp_path) == [1, 2]


def test_a_line_that_was_written_in_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    writes = os.write
    monkeypatch.setattr(os, "write", lambda file, line: writes(file, line[:9]))
    with pytest.raises(OSError, match="space"):
        Ledger(tmp_path).begin(ONE, resumed=False)
    monkeypatch.undo()
    Ledger(tmp_path).begin(ONE, resumed=True)
    assert rounds(tmp_path) == [3]


def test_lines_that_are_none_of_ours_are_passed_over(tmp_path: Path):
    Ledger(tmp_path).begin(ONE, resumed=False)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'5\n[]\n{"id": "unknown", "accepted": "x"}\n{"id": "b", "time": 1}\n\xff\xfe\n{"id": []}\n')
    assert rounds(tmp_path) == [3]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_it_is_for_this_user_alone(tmp_path: Path):
    Ledger(tmp_path).begin(ONE, resumed=False)
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0


# ---- an agent


def test_an_agent_notes_each_update(server: FakeServer, site: Site):
    server.offer()
    site.run()
    (found,) = Ledger(site.folder).entries()
    about = found.sending
    assert found.accepted and about.kind == "train" and about.workload == "synthetic" and about.num_bytes > 0
    assert about.num_examples and len(about.digest) == 64


def test_an_agent_that_cannot_note_it_sends_nothing(server: FakeServer, site: Site):
    seat = server.offer()
    site.folder.mkdir()
    (site.folder / NAME).mkdir()
    assert "What leaves this site cannot be noted" in site.run()
    assert seat.status == "failed" and not [seen for seen in server.seen if seen.method in ("PUT", "PATCH")]


def test_an_update_that_the_server_did_not_want_any_more_has_left_all_the_same(server: FakeServer, site: Site):
    server.offer()
    server.script("PUT", "/update", status(410, "The round is closed."))
    site.run()
    (found,) = Ledger(site.folder).entries()
    assert found.accepted is None


# ---- the table


def test_the_table_says_when_what_and_how_much(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    book = Ledger(tmp_path)
    book.begin(ONE, resumed=False)
    book.accepted(ONE)
    book.begin(replace(ONE, id="a.2", session="a\x1b[31m", kind="initialise", num_examples=None), resumed=False)
    head, first, second = sent(capsys, "--state", tmp_path).splitlines()
    assert head.split() == ["time", "session", "round", "kind", "digest", "bytes", "examples", "accepted"]
    assert first.split()[2:8] == ["hearts", "3", "train", "abababababab", "2048", "120"]
    assert second.split()[3:7] == ["-", "initialise", "abababababab", "2048"] and second.endswith("no answer")
    assert "\x1b" not in second


def test_as_json_each_line_has_the_whole_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    Ledger(tmp_path).begin(ONE, resumed=False)
    (line,) = sent(capsys, "--state", tmp_path, "--json").splitlines()
    told = json.loads(line)
    assert told["digest"] == "ab" * 32 and told["accepted"] is None and told["num_examples"] == 120
    assert "id" not in told and "client" not in told


def test_of_many_clients_each_line_names_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for n in (1, 2):
        (tmp_path / f"site-{n}").mkdir()
        Ledger(tmp_path / f"site-{n}").begin(sending(n), resumed=False)
    (tmp_path / "updates").mkdir()
    head, *lines = sent(capsys, "--state", tmp_path).splitlines()
    assert head.startswith("client") and [line.split()[0] for line in lines] == ["site-1", "site-2"]
    assert json.loads(sent(capsys, "--state", tmp_path, "--json").splitlines()[0])["client"] == "site-1"


def test_before_anything_left_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "Nothing has left this site yet" in sent(capsys, "--state", tmp_path)
    assert sent(capsys, "--state", tmp_path, "--json") == ""


def test_a_folder_that_is_not_there_is_refused_and_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["sent", "--state", str(tmp_path / "gone")]) == 2
    assert "There is no state folder" in capsys.readouterr().err and not (tmp_path / "gone").exists()


def test_a_name_that_cannot_be_one_is_refused_naming_where_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["sent", "--name", "../x"]) == 2
    assert "run.py: --name '../x': use letters, digits, spaces and . _ @ + -" in capsys.readouterr().err
    monkeypatch.setenv("FL_CLIENT_NAME", "a/b")
    assert cli.main(["sent"]) == 2
    assert "run.py: FL_CLIENT_NAME 'a/b': use letters" in capsys.readouterr().err


def test_it_finds_the_folder_as_the_agent_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FL_CLIENT_STATE", str(tmp_path))
    Ledger(tmp_path).begin(ONE, resumed=False)
    assert "hearts" in sent(capsys)
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("FL_CLIENT_STATE", f"~/{tmp_path.name}")
    assert "hearts" in sent(capsys)


def test_a_reader_that_wants_no_more_ends_it_quietly(tmp_path: Path):
    for n in range(2000):
        Ledger(tmp_path).begin(sending(n), resumed=False)
    words = [sys.executable, str(ROOT / "clientagent" / "run.py"), "sent", "--state", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith(b"time")
        process.stdout.close()
        assert process.stderr.read() == b""
