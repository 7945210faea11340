"""What the documentation names is there, and what there is to set is named."""

import re
from pathlib import Path

import pytest

from clientagent.flags import FLAGS, parser

ROOT = Path(__file__).resolve().parents[1]
NAME = r"FL_[A-Z0-9_]+"
OF_TESTS = {"FL_KILL_FILE"}  # docs/architecture.md explains it


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]
PATH = (
    r"`((?:federation|dashboard|clientagent|flsite|tests|benchmarks|docs|static|templates|services|fl|api)/[\w./*-]+)"
)
UNDERSTOOD = ("", "federation")  # where a path may begin


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_every_path_that_is_named_is_there(document: Path):
    paths = set(re.findall(PATH, document.read_text()))
    assert [path for path in paths if not is_there(path)] == []


def is_there(path: str) -> bool:
    """A file, a folder, a module without its ending, or a name in a module."""
    written = (path, f"{path}.py", f"{path.rpartition('.')[0]}.py")
    return any(list((ROOT / base).glob(each)) for base in UNDERSTOOD for each in written)


def read_by(*folders: str) -> set[str]:
    """The variables whose names stand in the code as the argument of a reader, or in os.environ."""
    code = "\n".join(file.read_text() for folder in folders for file in (ROOT / folder).rglob("*.py"))
    of_settings = re.findall(rf'\benv\.\w+\(\s*"({NAME})"', code)
    return {*of_settings, *re.findall(rf'\benviron(?:\.get\(|\[)\s*"({NAME})"', code)}


def test_the_table_of_settings_is_whole():
    table = set(re.findall(rf"^\| `({NAME})` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert read_by("flsite", "federation", "dashboard") - OF_TESTS == table
    assert len(table) > 25


def test_every_setting_of_an_agent_stands_in_its_help():
    described = parser().format_help()
    code = [file.read_text() for file in (ROOT / "clientagent").rglob("*.py")]
    named = {name for text in code for name in re.findall(rf'"({NAME})"', text)}
    assert named == {flag.env for flag in FLAGS}
    assert all(f"[{flag.env}]" in " ".join(described.split()) for flag in FLAGS)
