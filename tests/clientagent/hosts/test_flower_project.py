"""A Flower app is found by module and name or by its folder; what is wrong is said before anything else happens."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clientagent.errors import Misconfigured
from clientagent.hosts.flower import door, project

TOML = """
[project]
name = "Chest X-ray"
version = "1.2"
description = "Finds pneumonia."

[tool.flwr.app.components]
clientapp = "chest.client_app:app"

[tool.flwr.app.config]
local-epochs = 2
model = { width = 16, depth = 3 }
tags = ["not", "a", "value"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "pyproject.toml").write_text(TOML)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)


def test_a_folder_says_all_of_its_app(folder: Path):
    found = project.find(str(folder), Path("/"))
    assert (found.folder, found.app) == (folder, "chest.client_app:app")
    assert (found.name, found.version, found.summary) == ("chest-x-ray", "1.2", "Finds pneumonia.")
    assert found.config == {"local-epochs": 2, "model.width": 16, "model.depth": 3}


def test_a_module_is_looked_for_where_one_is(folder: Path):
    found = project.find("other:app", folder)
    assert (found.folder, found.app, found.name) == (folder, "other:app", "chest-x-ray")


def test_without_a_project_the_module_gives_the_name(tmp_path: Path):
    assert project.find("my_app.client:app", tmp_path).name == "my-app"
    assert project.find("_2:app", tmp_path).name == "app-2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[project]\nname = "x"', "does not name the app. Give MODULE:NAME, or write clientapp"),
        ("tool = 3", "does not name the app."),
        ("[project", "cannot be read: "),
    ],
)
def test_a_project_that_says_too_little_is_named(tmp_path: Path, text: str, said: str):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(Misconfigured, match=said) as refused:
        project.find(str(tmp_path), Path("/"))
    assert str(tmp_path / "pyproject.toml") in str(refused.value)


@pytest.mark.parametrize(
    ("text", "reference", "said"),
    [
        (None, "no_such_app:app", "--flower-app: there is no module 'no_such_app' in .*, nor among the installed"),
        ("import no_such_package", "wants:app", "wants needs the module 'no_such_package', which is not installed."),
        (
            "x = 1\ny = 1 / 0",
            "divides:app",
            r"divides cannot be imported: ZeroDivisionError: .* \(divides.py, line 2\)",
        ),
        ("x = 1\ny = ]", "misspelt:app", r"misspelt cannot be imported: SyntaxError: .* \(misspelt.py, line 2\)"),
        ("x = 1", "empty:app", "--flower-app empty:app: the module empty has no 'app'."),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_line(folder: Path, text: str | None, reference: str, said: str):
    if text is not None:
        write(folder, reference.partition(":")[0], text)
    with pytest.raises(Misconfigured, match=said):
        project.find(reference, folder).load(reference, "--flower-app")


def test_a_name_may_lie_deeper(folder: Path):
    write(folder, "deep", "class outer:\n    app = 3")
    assert project.find("deep:outer.app", folder).load("deep:outer.app", "--flower-app") == 3


def test_the_sources_are_those_of_the_package_or_of_the_file(folder: Path):
    write(folder, "alone", "app = 1")
    (folder / "several" / "inner").mkdir(parents=True)
    for name in ("several/__init__", "several/client", "several/inner/__init__"):
        write(folder, name, "app = 1")
    for reference, names in (("alone:app", ["alone.py"]), ("several.client:app", ["__init__", "client", "inner"])):
        found = project.find(reference, folder)
        found.load(reference, "--flower-app")
        sources = found.sources(reference)
        assert len(sources) == len(names) and all(file.is_file() for file in sources)


def test_without_flwr_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> str:
        raise door.PackageNotFoundError(name)

    monkeypatch.setattr(door, "version", missing)
    with pytest.raises(Misconfigured, match='which is not installed: .*python.* -m pip install "flwr>='):
        door.enter()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({}, 'flwr 1.5 has not what is needed here .* Install another version: .* -m pip install "flwr>='),
        ({"flwr": "import no_such_package"}, "flwr 1.5 cannot be imported: No module named 'no_such_package'."),
        ({"flwr": "", "flwr.app": "", "flwr.clientapp": ""}, "flwr 1.5 has not what is needed here"),
    ],
)
def test_a_flwr_that_cannot_be_used_is_named_with_its_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch, names: dict[str, str], said: str
):
    for name in [one for one in sys.modules if one.partition(".")[0] == "flwr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(door, "version", lambda name: "1.5")
    monkeypatch.syspath_prepend(str(folder))
    (folder / "flwr").mkdir()
    write(folder, "flwr/__init__", names.get("flwr", ""))
    for name in (one for one in names if "." in one):
        write(folder, name.replace(".", "/"), names[name])
    with pytest.raises(Misconfigured, match=said):
        door.enter()
    for name in [one for one in sys.modules if one.partition(".")[0] == "flwr"]:
        monkeypatch.delitem(sys.modules, name)
