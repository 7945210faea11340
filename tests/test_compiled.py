from pathlib import Path

import pytest

from tests import compiled


def test_what_was_loaded_once_is_kept_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert True\n")
    (tmp_path / "of_a_server.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    compiled.main([str(tmp_path)], "of_a_server")
    kept = {file.name.split(".")[0]: "-pytest-" in file.name for file in (tmp_path / "__pycache__").glob("*.pyc")}
    assert kept == {"test_it": True, "of_a_server": False}
