"""Lines that a reader sees whole: formatters leave long texts and comments as they are."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("folder", "kinds", "most"),
    [("templates", {".html"}, 160), ("static", {".js", ".css"}, 120), ("tests/static", {".js"}, 120)],
)
def test_no_line_is_longer_than_it_may_be(folder: str, kinds: set[str], most: int) -> None:
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    assert files
    lines = [(path, number, line) for path in files for number, line in enumerate(path.read_text().splitlines(), 1)]
    assert [f"{path.relative_to(ROOT)}:{number}" for path, number, line in lines if len(line) > most] == []
