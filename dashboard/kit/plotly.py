"""Serves Plotly's JavaScript from its Python package: one version, no copy in the repository, no CDN."""

import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage

PREFIX = "vendor"
FILE = "plotly.min.js"
# The bundle adds MapLibre's style to the page, which the policy forbids, unless an element with this id exists.
MAP_STYLE_ID = "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53"


def bundle() -> Path:
    """The file inside the package, found without importing it."""
    spec = importlib.util.find_spec("plotly")
    assert spec is not None and spec.origin is not None, "plotly is in requirements.txt"
    return Path(spec.origin).parent / "package_data" / FILE


class PlotlyFinder(BaseFinder):
    """Finds `vendor/plotly.min.js`, and nothing else."""

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        if path != f"{PREFIX}/{FILE}":
            return []
        return [str(bundle())] if find_all else str(bundle())

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, FileSystemStorage]]:
        storage = FileSystemStorage(location=str(bundle().parent))
        storage.prefix = PREFIX  # type: ignore[attr-defined]  # where collectstatic and whitenoise put it
        yield FILE, storage

    def check(self, **kwargs: Any) -> Any:
        return []
