"""Flower's own quickstart projects, as `flwr new` wrote them, but for the function that loads data.

The files come from the release of flwr that beside.txt names.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from string import Template

BESIDE = Path(sys.prefix) / "beside"
LOAD_DATA = '''
def load_data(partition_id: int, num_partitions: int, *_):
    """This site's part of scikit-learn's digits, as colour pictures of 32 x 32."""
    from sklearn.datasets import load_digits

    images, labels = (part[partition_id::num_partitions][:200] for part in load_digits(return_X_y=True))
    pictures = F.interpolate(torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16, size=32)
    rows = [{"img": one.expand(3, 32, 32), "label": int(label)} for one, label in zip(pictures, labels)]
    return DataLoader(rows[:160], batch_size=32, shuffle=True), DataLoader(rows[160:], batch_size=32)
'''
# What only its own function needs. torchvision cannot be imported beside every build of PyTorch.
OF_DATA = {"flwr_datasets", "datasets", "torchvision", "pytorch_transforms", "apply_transforms"}


def write(folder: Path, kind: str, name: str) -> None:
    """Write the project of a kind, such as `pytorch`, as a folder with its package `name`."""
    names = {"project_name": name, "package_name": name, "import_name": name, "framework_str": kind, "username": "x"}
    code = BESIDE / "flwr" / "cli" / "new" / "templates" / "app"
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    files = {
        "pyproject.toml": code / f"pyproject.{kind}.toml.tpl",
        f"{name}/client_app.py": code / "code" / f"client.{kind}.py.tpl",
        f"{name}/task.py": code / "code" / f"task.{kind}.py.tpl",
    }
    for file, template in files.items():
        text = Template(template.read_text()).safe_substitute(names)
        (folder / file).write_text(with_other_data(text) if file.endswith("task.py") else text)


def with_other_data(text: str) -> str:
    """A task.py with our `load_data` in the place of its own, and without what only that one needed."""
    lines = text.splitlines()
    for node in reversed(ast.parse(text).body):
        name = _name(node)
        if name == "load_data" or name in OF_DATA:
            assert node.end_lineno
            lines[node.lineno - 1 : node.end_lineno] = LOAD_DATA.splitlines() if name == "load_data" else []
    return "\n".join(lines) + "\n"


def _name(node: ast.stmt) -> str:
    """What a statement of a module defines, or the package from which it imports."""
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return getattr(node, "name", "")
