"""Foreign workloads at the server: declared by a child, known by every process, their code in no server process."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.core.management import call_command

from federation import foreign
from federation.fl import workloads
from federation.fl.evaluation import answer
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads import foreign as places
from federation.foreign import keeping, reading
from federation.foreign.keeping import Keeper
from tests.fl.workloads.own_files import write_numpy


@pytest.fixture
def folder(tmp_path: Path, settings, monkeypatch) -> Path:
    """The folder FL_WORKLOADS of a server without packages."""
    settings.FL_DATA_DIR = tmp_path / "data"
    settings.FL_WORKLOADS = tmp_path / "workloads"
    settings.FL_DATA_DIR.mkdir()
    settings.FL_WORKLOADS.mkdir()
    monkeypatch.setattr(reading, "_installed", tuple)
    return settings.FL_WORKLOADS


@pytest.fixture
def keeper(folder: Path, monkeypatch) -> Keeper:
    """What this process knows, from the beginning."""
    keeper = Keeper()
    monkeypatch.setattr(foreign, "keeper", keeper)
    return keeper


def test_a_file_becomes_one_of_the_servers_workloads_and_none_of_its_code_runs_here(folder, keeper):
    write_numpy(folder, version="1.1")
    before = set(sys.modules)
    assert keeper.settle().problems == []
    known = workloads.get("means")
    assert (known.version, known.needs_torch, known.title) == ("1.1", True, "Synthetic")
    assert known.digest() == places.source_now(places.Place(str(folder / "means.py")))
    assert known.options[0].name == "num_parameters" and known.train_defaults["epochs"] == 1
    assert not [name for name in set(sys.modules) - before if name.startswith("fl_workload")]
    assert foreign.member_of_request("means") == {"place": {"where": str(folder / "means.py"), "package": ""}}
    assert foreign.member_of_request("digits") == foreign.member_of_request("gone") == {}


def test_another_process_knows_it_from_the_file_and_asks_no_child(folder, keeper, monkeypatch):
    write_numpy(folder)
    keeper.settle()
    monkeypatch.setattr(reading.subprocess, "Popen", None)
    assert Keeper().settle().workloads == keeper.state().workloads


def test_a_file_that_is_added_changed_or_removed_is_noticed(folder, keeper):
    assert keeper.settle().workloads == {}
    write_numpy(folder)
    before = keeper.settle().workloads["means"].digest()
    write_numpy(folder, version="1.234")
    assert keeper.settle().workloads["means"].digest() != before
    (folder / "means.py").unlink()
    assert keeper.settle().workloads == {} and "means" not in WORKLOADS


BROKEN = {
    "broken.py": "x = 1\nraise KeyError('no')\n",
    "ends.py": "import os\nos._exit(7)\n",
    "digits.py": "from federation.fl.workloads.digits import Digits\nWORKLOAD = Digits\n",
    "prints.py": "print('{}')\nx = 1\n",
}
SENTENCES = [
    "broken.py, line 2: KeyError: 'no'.",
    "digits.py: 'digits' is the name of a built-in workload.",
    "ends.py ended the process that imported it (status 7).",
    "prints.py has no WORKLOAD. End it with WORKLOAD = and the workload's class.",
]


def test_broken_files_are_said_in_words_and_stop_no_other(folder, keeper, caplog):
    for name, text in BROKEN.items():
        (folder / name).write_text(text)
    write_numpy(folder, file="zz.py")
    with caplog.at_level(logging.WARNING):
        state = keeper.settle()
    assert sorted(problem.sentence for problem in state.problems) == SENTENCES
    assert list(state.workloads) == ["means"]
    assert sorted(record.getMessage() for record in caplog.records) == [f"no workload: {said}" for said in SENTENCES]
    assert sorted(problem.sentence for problem in Keeper().settle().problems) == SENTENCES


def test_a_file_that_does_not_end_its_import_is_given_up(folder, keeper, monkeypatch):
    (folder / "a.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(reading, "IMPORT_SECONDS", 1.0)
    assert [problem.sentence for problem in keeper.settle().problems] == ["a.py was not imported within 1 s."]


def test_manage_py_check_says_what_is_broken(folder, keeper, capsys):
    (folder / "broken.py").write_text("import no_such_module\n")
    call_command("check")
    said = capsys.readouterr().err
    assert "broken.py, line 1: ModuleNotFoundError: No module named 'no_such_module'." in said
    assert "federation.W001" in said


def test_a_folder_that_is_gone_takes_no_other_workload_away(folder, keeper, settings, caplog):
    folder.rmdir()
    assert keeper.settle().workloads == {}
    assert "the folder FL_WORKLOADS cannot be read" in caplog.text
    assert workloads.get("digits").name == "digits"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"mark": "x", "workloads": [{}], "problems": []}'])
def test_a_damaged_file_of_what_is_known_is_made_again(folder, keeper, text):
    write_numpy(folder)
    keeping._file().write_text(text)
    assert list(keeper.settle().workloads) == ["means"]


def test_while_another_process_reads_the_folder_this_one_does_not(folder, keeper):
    write_numpy(folder)
    with keeping._alone() as alone:
        assert alone and keeper.settle().workloads == {}
    assert list(keeper.settle().workloads) == ["means"]


def test_a_file_whose_name_is_no_utf_8_is_one_like_any_other(folder, keeper):
    write_numpy(folder).rename(folder / os.fsdecode(b"caf\xe9.py"))
    (folder / os.fsdecode(b"broken\xff.py")).write_text("1/0")
    state = keeper.settle()
    assert list(state.workloads) == ["means"] and Keeper().settle().workloads == state.workloads
    assert [one.sentence for one in state.problems] == ["broken?.py, line 1: ZeroDivisionError: division by zero."]


def test_a_file_that_could_not_be_read_is_read_the_next_time(folder, keeper, monkeypatch):
    write_numpy(folder)
    keeper.settle()
    other = Keeper()
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "_state_in", Mock(side_effect=OSError))
        patch.setattr(Keeper, "_look", lambda self: None)
        assert other.state().workloads == {}
    monkeypatch.setattr(reading.subprocess, "Popen", None)
    assert list(other.settle().workloads) == ["means"]


def test_without_a_folder_nothing_is_written(folder, keeper, settings):
    settings.FL_WORKLOADS = None
    assert keeper.settle().workloads == {}
    assert list(settings.FL_DATA_DIR.iterdir()) == []


# ---- the child


def asked(do: str, path: Path, **more: object) -> dict:
    place = {"where": str(path), "package": ""}
    return answer(json.dumps({"id": "1", "do": do, "place": place, **more}))


def test_the_child_makes_the_initial_model_of_a_foreign_workload(folder):
    path = write_numpy(folder)
    made = asked("initial", path, workload="means", options={"num_parameters": 7}, seed=3, out=str(folder / "out"))
    same = workloads.get("synthetic").write_initial(folder / "same", {"num_parameters": 7}, 3)
    assert made == {"id": "1", "ok": True, "digest": same, "buffers": []}


def test_the_child_imports_a_file_again_when_it_changed(folder):
    path = write_numpy(folder)
    first = asked("declare", path)["declaration"]
    write_numpy(folder, version="2")
    second = asked("declare", path)["declaration"]
    assert (first["version"], second["version"]) == ("1", "2") and first["digest"] != second["digest"]


def test_an_error_of_its_code_names_file_and_line(folder):
    path = write_numpy(folder)
    path.write_text(path.read_text() + "def _fail(*_):\n    raise RuntimeError('no data')\n\nMeans.evaluate = _fail\n")
    model = folder / "model"
    digest = workloads.get("synthetic").write_initial(model, {"num_parameters": 7}, 3)
    line = path.read_text().splitlines().index("    raise RuntimeError('no data')") + 1
    measured = asked("evaluate", path, workload="means", options={}, weights=str(model), digest=digest)
    assert measured["error"] == f"means.py, line {line}: RuntimeError: no data."


def test_a_file_that_now_has_another_workload_is_said(folder):
    path = write_numpy(folder, "renamed")
    made = asked("initial", path, workload="means", options={}, seed=1, out=str(folder / "out"))
    assert made["error"] == "means.py now has the workload 'renamed', not 'means'."
