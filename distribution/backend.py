"""Builds the wheel with what a site needs: the agent, the library for scripts, and the pure part that both use.

A build backend as of PEP 517, which pip finds by pyproject.toml. It needs nothing but Python, and the same files give
the same bytes.
"""

from __future__ import annotations

import base64
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONTENT = ("clientagent", "federation/__init__.py", "federation/killpoints.py", "federation/fl")
WHEN = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip file knows


def build_wheel(
    wheel_directory: str, config_settings: Mapping[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Write the wheel into a folder and return its name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    name = f"{stem}-py3-none-any.whl"
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in _sources()}
    about = f"{stem}.dist-info"
    files[f"{about}/METADATA"] = _metadata(project).encode()
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: distribution\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/licenses/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    files[f"{about}/RECORD"] = _record(files, f"{about}/RECORD").encode()
    with zipfile.ZipFile(Path(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, WHEN)
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return name


def _sources() -> Iterator[Path]:
    for place in CONTENT:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def _metadata(project: Mapping[str, Any]) -> str:
    told = [
        ("Metadata-Version", "2.4"),
        ("Name", project["name"]),
        ("Version", project["version"]),
        ("Summary", project["description"]),
        ("License-Expression", project["license"]),
        ("License-File", "LICENSE"),
        ("Requires-Python", project["requires-python"]),
        *(("Requires-Dist", one) for one in project["dependencies"]),
        *(("Provides-Extra", extra) for extra in project["optional-dependencies"]),
    ]
    told += [
        ("Requires-Dist", f'{one}; extra == "{extra}"')
        for extra, needed in project["optional-dependencies"].items()
        for one in needed
    ]
    return "".join(f"{name}: {value}\n" for name, value in told)


def _record(files: Mapping[str, bytes], record: str) -> str:
    lines = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in files.items()]
    return "\n".join([*lines, f"{record},,"]) + "\n"


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
