"""Each example of docs/examples takes part: in one server that knows none of them and never starts again."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import example_data as data
from tests.e2e.examples import EXAMPLES, Example, take_part
from tests.e2e.stack import ROOT, Stack, running

TEXT = (ROOT / "docs" / "examples.md").read_text()


HERE = [
    Example("arrays", "digits-in-numpy", data.numbers, least=0.2, travels=2),
    Example("scikit_learn", "digits-in-sklearn", data.numbers, least=0.2, travels=2),
    Example("images", "chest-images", data.images, travels=122),  # 62 parameters, 60 statistics of 20 BatchNorms
    Example("readmission", "readmission", data.tables, "auc", least=0.5),
    Example("length_of_stay", "length-of-stay", data.tables, "mae", most=4.0),
    Example("lora", "lora", data.numbers, travels=10),
    Example("mnist", "mnist-digits", data.mnist, least=0.2),
]
ALL = sorted(path.name for path in EXAMPLES.iterdir() if (path / "plain.py").exists())
MOST_LINES = {"trainer": 12}  # five of them are its callback


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("examples") / "data") as stack:
        server = stack.running["web"]
        yield stack
        assert stack.running["web"] is server and server.poll() is None, "it was never started again"


@pytest.mark.parametrize("example", HERE, ids=str)
def test_an_example_takes_part(stack: Stack, example: Example, tmp_path: Path):
    take_part(stack, example, tmp_path)


@pytest.mark.parametrize("example", ALL)
def test_few_lines_differ_from_the_plain_script(example: str):
    lines = difference(example)
    assert sum(line.startswith("+") for line in lines) <= MOST_LINES.get(example, 5), lines


@pytest.mark.parametrize("example", ALL)
def test_an_example_is_one_file_that_needs_nothing_of_the_product_but_the_library(example: str):
    assert sorted(path.name for path in (EXAMPLES / example).glob("*.py")) == ["federated.py", "plain.py"]
    ours = {"clientagent", "dashboard", "federation", "flsite", "tests"}
    assert imported(EXAMPLES / example / "plain.py") & ours == set()
    assert imported(EXAMPLES / example / "federated.py") & ours == {"clientagent"}


@pytest.mark.parametrize("example", ALL)
def test_the_documents_show_what_differs(example: str):
    shown = "\n".join(["```diff", *difference(example), "```"])
    assert f"[examples/{example}](examples/{example})" in TEXT and shown in TEXT, f"docs/examples.md lacks:\n{shown}"


def imported(path: Path) -> set[str]:
    """The packages that a script names in its imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | named}


def difference(example: str) -> list[str]:
    """The lines that an example changes, as a diff has them, without those that are empty."""
    plain, federated = ((EXAMPLES / example / name).read_text().splitlines() for name in ("plain.py", "federated.py"))
    changed = difflib.unified_diff(plain, federated, n=0, lineterm="")
    return [line for line in list(changed)[2:] if not line.startswith("@@") and line.strip("+- ")]
