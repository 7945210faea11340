"""Serves Plotly's JavaScript from its Python package: one version, no copy in the repository, no CDN."""

import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

PREFIX = "vendor"
FILE = "plotly.min.js"
# Has Chromium compile the functions while the file arrives, and not one by one when they are called first: that blocks
# a page for most of a second. Other browsers read a comment.
HINT = b"//# allFunctionsCalledOnLoad\n"
# The bundle adds MapLibre's style to the page, which the policy forbids, unless an element with this id exists.
MAP_STYLE_ID = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53"


def bundle() -> Path:
    """The file inside the package, found without importing it."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None and spec.origin is not None, "plotly is in requirements.txt"
    return Path(spec.origin).parent / "package_data" / FILE


def served() -> Path:
    """The bundle behind the hint, in the data folder: written once for each version."""
    path = Path(settings.FL_DATA_DIR, PREFIX, f"plotly-{importlib.metadata.version('plotly')}", FILE)
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")  # other processes of the server may do the same
        with part.open("wb") as out, bundle().open("rb") as source:
            out.write(HINT)
            shutil.copyfileobj(source, out)
        os.replace(part, path)
    return path


class PlotlyFinder(BaseFinder):
    """Finds `vendor/plotly.min.js`, and nothing else."""

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if path != f"{PREFIX}/{FILE}":
            return []
        return [str(served())] if find_all else str(served())

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        storage = FileSystemStorage(location=str(served().parent))
        storage.prefix = PREFIX  # type: ignore[attr-defined]  # where collectstatic and whitenoise put it
        yield FILE, storage

    def check(self, **kwargs: Any) -> Any:
        return []
