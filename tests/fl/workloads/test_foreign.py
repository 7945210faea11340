"""Workloads of files and installed packages: found, loaded, refused in words."""

import hashlib
import os
import py_compile
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from federation.fl import evaluation
from federation.fl.workloads import WORKLOADS, Evaluates, alike, declaration, foreign, get
from federation.fl.workloads.foreign import Loaded, Place, Unusable
from federation.fl.workloads.known import Known
from tests.fl.workloads.own_files import write_lines, write_numpy


@pytest.fixture(autouse=True)
def _no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "entry_points", lambda group: ())


def load(path: Path) -> Loaded:
    return foreign.load(Place(str(path)))


def refusal(path: Path) -> str:
    with pytest.raises(Unusable) as error:
        load(path)
    return str(error.value)


def all_of(folder: Path) -> tuple[list[str], list[str]]:
    """The names that a folder gives, and what is said of the rest."""
    said: list[str] = []
    found = foreign.load_all(foreign.places(folder), WORKLOADS, lambda error: said.append(str(error)))
    return sorted(found), sorted(said)


def test_a_file_gives_its_workload_with_the_digest_of_its_source(tmp_path):
    path = write_lines(tmp_path)
    loaded = load(path).workload
    assert loaded.name == "lines" and isinstance(loaded, Evaluates)
    assert loaded.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert declaration.of(loaded).options[0].name == "width"


def test_a_digest_is_the_same_wherever_the_file_is_and_whatever_its_line_endings(tmp_path):
    here = write_numpy(tmp_path)
    there = tmp_path / "renamed.py"
    there.write_bytes(here.read_bytes().replace(b"\n", b"\r\n"))
    digest = load(here).workload.digest()
    assert load(there).workload.digest() == digest == foreign.source_now(Place(str(there)))
    here.write_text(here.read_text() + "\n# changed")
    assert load(here).workload.digest() != digest


def test_the_digest_is_of_what_runs_also_when_the_file_changes_afterwards(tmp_path):
    path = write_numpy(tmp_path)
    workload = load(path).workload
    before = workload.digest()
    path.write_text("")
    assert workload.digest() == before != foreign.source_now(Place(str(path)))


def test_the_name_of_a_file_may_be_any_bytes(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.py")
    write_numpy(tmp_path).rename(path)
    assert all_of(tmp_path) == (["means"], [])
    path.write_text("1/0")
    assert all_of(tmp_path) == ([], ["caf?.py, line 1: ZeroDivisionError: division by zero."])


def test_a_member_whose_code_fails_is_said_with_its_line(tmp_path):
    path = write_numpy(tmp_path)
    path.write_text(path.read_text().replace("    version", "    options = property(lambda self: 1 / 0)\n    version"))
    assert refusal(path).startswith("means.py, line ") and "ZeroDivisionError" in refusal(path)


def test_a_folder_gives_its_files_and_stops_at_none(tmp_path):
    write_numpy(tmp_path)
    write_numpy(tmp_path, "other", "other.py")
    write_numpy(tmp_path, "hidden", "_hidden.py")
    (tmp_path / "notes.txt").write_text("no code")
    (tmp_path / "broken.py").write_text("import numpy\n\nWORKLOAD = numpy.nothing\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    names, said = all_of(tmp_path)
    assert names == ["means", "other"]
    assert said == [
        "broken.py, line 3: AttributeError: module 'numpy' has no attribute 'nothing'.",
        "leaves.py, line 1: SystemExit: 3.",
    ]


def test_our_names_win_and_two_of_one_name_are_told_apart(tmp_path):
    write_numpy(tmp_path, "digits", "mine.py")
    write_numpy(tmp_path, "twice", "a.py")
    write_numpy(tmp_path, "twice", "b.py")
    names, said = all_of(tmp_path)
    assert names == []
    assert said == [
        "a.py: the name 'twice' is that of a.py and b.py. Rename one.",
        "b.py: the name 'twice' is that of a.py and b.py. Rename one.",
        "mine.py: 'digits' is the name of a built-in workload.",
    ]


HEAD = "from federation.fl.workloads.synthetic import Synthetic as S\nfrom federation.fl.options import Option\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def f(:\n", "mine.py, line 1: SyntaxError: "),
        ("x = 1\n\nimport no_such_module\n", "mine.py, line 3: ModuleNotFoundError: No module named 'no_such_module'."),
        ("x = 1\n", "mine.py has no WORKLOAD. End it with WORKLOAD = and the workload's class."),
        ("WORKLOAD = 3\n", "mine.py: the workload has no name, title, "),
        (
            "from federation.fl.workloads.own import OwnWorkload as O\nclass W(O):\n    name = 'w'\nWORKLOAD = W\n",
            "mine.py: TypeError: Can't instantiate abstract class W",
        ),
        (
            HEAD + "class W(S):\n    name = 'My model'\nWORKLOAD = W\n",
            "mine.py: name must be 1 to 64 characters of a-z",
        ),
        (HEAD + "class W(S):\n    name = 'w_w'\nWORKLOAD = W\n", "mine.py: name must be 1 to 64 characters of a-z"),
        (
            HEAD + "class W(S):\n    name = 'w'\n    options = (Option('a', int, 0, 1),)\nWORKLOAD = W\n",
            "mine.py: options 1: default must be a whole number from 1, not 0.",
        ),
        (HEAD + "class W(S):\n    name = 'w'\n    options = None\nWORKLOAD = W\n", "mine.py: options must be a tuple"),
        (HEAD + "class W(S):\n    name = 'w'\n    measures = 1\nWORKLOAD = W\n", "mine.py: measures must be a tuple"),
        (
            HEAD + "class W(S):\n    name = 'w'\n    train_defaults = 1\nWORKLOAD = W\n",
            "mine.py: train_defaults must be",
        ),
        (HEAD + "class W(S):\n    name = 'w'\n    revision = 0\nWORKLOAD = W\n", "mine.py: revision must be a whole"),
        (
            HEAD + "class W(S):\n    name = 'w'\n    accepts = ('a',)\nWORKLOAD = W\n",
            "mine.py: accepts must be at most",
        ),
        (
            HEAD + "class W(S):\n    name = 'w'\n    __slots__ = ()\n    def __setattr__(self, *_): "
            "raise AttributeError('frozen')\nWORKLOAD = W\n",
            "mine.py: WORKLOAD must let its digest be set (frozen).",
        ),
    ],
)
def test_what_gives_no_workload_is_said_with_file_and_line(tmp_path, text, sentence):
    (tmp_path / "mine.py").write_text(text)
    assert refusal(tmp_path / "mine.py").startswith(sentence)


def test_a_file_that_is_gone_is_said(tmp_path):
    assert refusal(tmp_path / "gone.py") == "gone.py cannot be read: No such file or directory."


# ---- packages


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """An installed package of two files, with an entry point."""
    root = tmp_path / "ward_models"
    root.mkdir()
    (root / "__init__.py").write_text("")
    write_numpy(root, "ward", "means.py")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("ward", "ward_models.means:Means", foreign.GROUP)
    monkeypatch.setattr(foreign, "entry_points", lambda group: (point,) if group == "fl.workloads" else ())
    yield root
    for name in [name for name in sys.modules if name.startswith("ward_models")]:
        del sys.modules[name]


def test_an_installed_package_gives_its_workload_with_the_digest_of_all_its_sources(package):
    (place,) = foreign.places()
    workload = foreign.load(place).workload
    before = workload.digest()
    assert workload.name == "ward" and before == foreign.source_now(place)
    (package / "layers.py").write_text("SIZE = 3\n")
    assert workload.digest() == before != foreign.source_now(place)


def test_a_package_that_does_not_import_is_said_with_file_and_line(package):
    (package / "means.py").write_text("\n\nimport no_such_module\n")
    (place,) = foreign.places()
    with pytest.raises(Unusable) as error:
        foreign.load(place)
    assert str(error.value) == (
        "means.py of the package ?, line 3: ModuleNotFoundError: No module named 'no_such_module'."
    )


def test_the_entry_points_of_what_is_installed_are_found(package, monkeypatch):
    monkeypatch.setattr(foreign, "entry_points", entry_points)
    about = package.parent / "ward_models-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ward-models\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[fl.workloads]\nward = ward_models.means:Means\n")
    (place,) = foreign.installed()
    assert place == Place("ward_models.means:Means", "ward-models")
    assert foreign.load(place).name == "ward"


def test_a_child_that_imported_a_package_ends_when_the_package_is_replaced(package, monkeypatch):
    monkeypatch.setattr(evaluation, "_imported", {})
    (place,) = foreign.places()
    assert evaluation._foreign(place) is evaluation._foreign(place)
    (package / "layers.py").write_text("SIZE = 4\n")
    with pytest.raises(SystemExit, match="was replaced"):
        evaluation._foreign(place)


def test_a_link_to_nowhere_in_a_package_is_no_source(package):
    (place,) = foreign.places()
    before = foreign.source_now(place)
    (package / ".#means.py").symlink_to("somebody@edits.it")
    assert foreign.source_now(place) == before


def test_looking_for_the_sources_of_a_package_runs_none_of_it(tmp_path, monkeypatch):
    root = tmp_path / "ward_compiled"
    root.mkdir()
    (root / "__init__.py").write_text("raise SystemExit('it ran')\n")
    py_compile.compile(str(root / "__init__.py"), str(root / "__init__.pyc"))
    (root / "__init__.py").unlink()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unusable, match="there is no module ward_compiled.means with a source"):
        foreign.sources(Place("ward_compiled.means:Means", "ward"))


def test_a_package_that_is_not_there_is_said():
    with pytest.raises(Unusable, match="there is no module no_such_ward.models with a source"):
        foreign.load(Place("no_such_ward.models:W", "ward"))


# ---- what a process knows


def test_a_source_is_asked_at_each_look_up_and_built_in_ones_win():
    given = {}
    known = Known({"digits": WORKLOADS["digits"]})
    known.plug(lambda: given)
    assert list(known) == ["digits"] and "own" not in known and known.get("own") is None
    given |= {"own": WORKLOADS["synthetic"], "digits": WORKLOADS["synthetic"]}
    assert list(known) == ["digits", "own"] and len(known) == 2
    assert known["digits"] is WORKLOADS["digits"] and known["own"] is WORKLOADS["synthetic"]
    assert list(known.built_in) == ["digits"]


def test_releases_that_a_foreign_workload_accepts_work_together(tmp_path):
    path = write_numpy(tmp_path)
    path.write_text(path.read_text().replace("    version", f"    accepts = ('{'e' * 64}',)\n    version"))
    loaded = load(path).workload
    source = {"means": loaded}.copy
    WORKLOADS.plug(source)
    try:
        assert get("means") is loaded
        assert alike("means", "e" * 64) == {"e" * 64, loaded.digest()}
        assert alike("means", "f" * 64) == {"f" * 64}
    finally:
        WORKLOADS.unplug(source)
    assert "means" not in WORKLOADS


def test_finding_and_loading_needs_neither_torch_nor_django(tmp_path):
    write_numpy(tmp_path)
    code = (
        "import sys; from pathlib import Path; from federation.fl.workloads import foreign;"
        f"[foreign.load(place) for place in foreign.places(Path({str(tmp_path)!r}))];"
        "assert not {'torch', 'django'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
