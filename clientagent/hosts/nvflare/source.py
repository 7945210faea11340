"""What the source of an NVFlare script tells before it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clientagent.errors import Misconfigured
from federation.fl import measures
from federation.fl.measures import Measure
from federation.fl.workloads.declaration import LONGEST_NAME, LONGEST_TEXT, MOST_MEASURES

TENSORS = frozenset({"torch", "torchvision", "lightning", "pytorch_lightning", "transformers", "monai"})
"""Who imports one of these gets PyTorch's tensors; all others get NumPy arrays."""


@dataclass(frozen=True, slots=True)
class Source:
    """A script as it is written.

    files: the script, and what it imports from its own folder. summary: the first line of its docstring.
    evaluates: whether it asks `flare.is_evaluate()`. measures: what it sends as `metrics={...}`, the first one first.
    """

    path: Path
    files: tuple[Path, ...]
    summary: str
    evaluates: bool
    measures: tuple[str, ...]
    takes_tensors: bool


def read(path: Path) -> Source:
    """Raises Misconfigured, with file and line, for what is no NVFlare script."""
    trees = {path: _script(path)}
    for file in (waiting := [path]):
        for found in _beside(path.parent, trees[file]):
            if found not in trees:
                trees[found] = _parsed(found)
                waiting.append(found)
    imported = {name.partition(".")[0] for tree in trees.values() for name in _imports(tree)}
    if "nvflare" not in imported:
        raise Misconfigured(
            f"{path} does not import nvflare.client, so it is no NVFlare script. Another training program takes part "
            f"with: run.py ... -- python {path.name} (docs/scripts.md)."
        )
    return Source(
        path,
        tuple(trees),
        _summary(trees[path]),
        any(_names(tree, "is_evaluate") for tree in trees.values()),
        tuple(dict.fromkeys(name for tree in trees.values() for name in _measures(tree)))[:MOST_MEASURES],
        bool(imported & TENSORS),
    )


def measure(name: str) -> Measure:
    """What a script sends under a name. Whether 0.9 or 90 is meant is not known, so it has no unit."""
    known = measures.of(name)
    return Measure(name, known.title, known.direction)


def _script(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise Misconfigured(f"--nvflare-script: there is no file {path}.") from None
    except IsADirectoryError:
        raise Misconfigured(f"--nvflare-script: {path} is a folder. Name the script in it.") from None
    except OSError as error:
        raise Misconfigured(f"--nvflare-script: {path} cannot be read: {error.strerror}.") from None
    except SyntaxError as error:
        where = f"{path}, line {error.lineno}" if error.lineno else str(path)
        raise Misconfigured(f"{where}: {error.msg}.") from None
    except ValueError as error:
        raise Misconfigured(f"{path} is no Python file: {error}.") from None


def _parsed(path: Path) -> ast.Module:
    """A module's source; an empty one where it cannot be read: importing it says why."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _beside(folder: Path, tree: ast.Module) -> Iterator[Path]:
    """The files of the script's folder that an import reads. Python looks there first."""
    for name in _imports(tree):
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            place = folder.joinpath(*parts[:count])
            yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def _imports(tree: ast.Module) -> Iterator[str]:
    """Names of modules with their dots. What is imported from a module may be a module, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _names(tree: ast.Module, name: str) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr == name) or (isinstance(node, ast.Name) and node.id == name)
        for node in ast.walk(tree)
    )


def _measures(tree: ast.Module) -> Iterator[str]:
    """The names in `metrics={"name": ...}`, without `val_` and the like."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "metrics" and isinstance(node.value, ast.Dict):
            for key in node.value.keys:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    name = measures.split(key.value)[1]
                    yield from [name] if name.isprintable() and 0 < len(name) <= LONGEST_NAME else []


def _summary(tree: ast.Module) -> str:
    first = (ast.get_docstring(tree) or "").strip().partition("\n")[0]
    return "".join(sign for sign in first if sign.isprintable())[:LONGEST_TEXT]
