"""docs/workloads.md: its files pass `run.py check` as they stand, and its commands run."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from clientagent import cli, flags
from federation.fl.workloads import foreign

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "workloads.md").read_text()
FILES = dict(re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^python clientagent/run\.py (.*)$", TEXT, re.MULTILINE)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the table of the tutorial, in a machine without packages of workloads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(foreign, "entry_points", lambda group: ())
    monkeypatch.setattr(cli, "fix_threads", lambda count: None)
    (table,) = re.findall(r"^```csv\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    Path("stays.csv").write_text(table)


def run(command: str) -> None:
    assert cli.main(shlex.split(command)) == 0, command


def test_the_tutorial_is_followed_from_its_first_command_to_its_own_data(capsys):
    pytest.importorskip("torch")
    new, check, check_own, agent = COMMANDS
    run(new)
    run(check)
    Path("length_of_stay.py").write_text(FILES["length_of_stay.py"])
    run(check_own)
    said = capsys.readouterr().out
    assert said.count("Everything works.") == 2 and "data: 6 examples" in said and "mae" in said
    Path("workloads").mkdir()
    Path("data").mkdir()
    assert flags.read(shlex.split(agent), {}).workloads == Path("workloads").absolute()


def test_without_its_data_the_tutorials_file_says_what_to_give(capsys):
    pytest.importorskip("torch")
    Path("length_of_stay.py").write_text(FILES["length_of_stay.py"])
    assert cli.main(["check", "length_of_stay.py"]) == 2
    assert "DataError: Give the folder that holds stays.csv with --data." in capsys.readouterr().err


def test_the_file_without_torch_works(capsys):
    Path("ridge.py").write_text(FILES["ridge.py"])
    run("check ridge")
    assert "evaluation: none at sites" in capsys.readouterr().out


def test_the_entry_point_is_of_the_group_that_is_looked_for():
    (project,) = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert list(tomllib.loads(project)["project"]["entry-points"]) == [foreign.GROUP]
