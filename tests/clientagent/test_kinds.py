"""The kinds of work are found by their files."""

from pathlib import Path

from clientagent import kinds


def test_each_file_with_a_kind_is_found_under_its_name():
    found = kinds.by_name()
    files = {path.stem for path in Path(kinds.__path__[0]).glob("*.py")} - {"__init__", "kind"}
    assert len(found) == len(files)
    assert found["train"].__module__ == "clientagent.kinds.training"
    assert all(kind.name == name for name, kind in found.items())
