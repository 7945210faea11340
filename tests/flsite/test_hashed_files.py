"""Static files can be served under names with their hash: each script then imports the others by theirs."""

import re
import shutil
from pathlib import Path

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.storage import FileSystemStorage

ROOT = Path(__file__).resolve().parents[2] / "static"
HASHED = re.compile(r"\.[0-9a-f]{12}\.js$")
IMPORT = re.compile(r"^import (?:[^\"';]*? from )?\"([^\"]+)\"", re.MULTILINE)


class Hashed(ManifestStaticFilesStorage):
    support_js_module_import_aggregation = True


def test_every_script_imports_the_others_by_their_hashed_names(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path, dirs_exist_ok=True)
    source = FileSystemStorage(ROOT)
    paths = {str(path.relative_to(ROOT)): path for path in ROOT.rglob("*") if path.is_file()}
    storage = Hashed(location=tmp_path, base_url="/static/")
    for name, _, done in storage.post_process({name: (source, name) for name in paths}):
        assert not isinstance(done, Exception), f"{name}: {done}"  # modules that import each other in a circle, say
    scripts = [path for path in tmp_path.rglob("*.js") if HASHED.search(path.name)]
    imports = [(path, name) for path in scripts for name in IMPORT.findall(path.read_text())]
    assert len(imports) > 50
    assert [(path.name, name) for path, name in imports if not HASHED.search(name)] == []
    assert [(path.name, name) for path, name in imports if not (path.parent / name).exists()] == []
