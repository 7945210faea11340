"""What an image installs of a lock file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("locked", ROOT / "deploy/locked.py")
assert spec and spec.loader
locked = importlib.util.module_from_spec(spec)
spec.loader.exec_module(locked)

LOCK = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:ab
nvidia-nvtx==13.0.85 ; sys_platform == 'linux' \\
    --hash=sha256:bb
torch==2.13.0 \\
    --hash=sha256:cc
torchvision==0.28.0 \\
    --hash=sha256:dd
triton==3.7.1 ; sys_platform == 'linux' \\
    --hash=sha256:ee
"""


def test_without_an_index_everything_is_installed_by_its_hash():
    hashed, of_index = locked.divided(LOCK, "")
    assert "\n".join(hashed) == LOCK.strip() and of_index == []


def test_with_an_index_pytorch_comes_from_there_in_the_locks_version_and_nothing_of_cuda():
    hashed, of_index = locked.divided(LOCK, "https://index.example")
    assert hashed == [LOCK.partition("\nnvidia")[0]]
    assert of_index == ["torch==2.13.0", "torchvision==0.28.0"]


@pytest.mark.parametrize("name", ["server.lock", "agent.lock"])
def test_of_the_real_locks_only_pytorch_and_cuda_are_left_out(name: str):
    lock = (ROOT / "deploy" / name).read_text()
    hashed, of_index = locked.divided(lock, "https://index.example")
    names = {one.partition("==")[0] for one in locked.entries(lock)}
    left_out = names - {one.partition("==")[0] for one in hashed}
    assert {one.partition("==")[0] for one in of_index} == {"torch", "torchvision"}
    others = left_out - {"torch", "torchvision", "triton"}
    assert others and all(one.startswith(("cuda-", "nvidia-")) for one in others)


def test_what_no_process_uses_is_removed_and_the_rest_stays(tmp_path: Path):
    kept = ("torch/bin/torch_shm_manager", "torch/lib/libtorch.so", "torch/testing/a.py", "pkg/a.py")
    gone = ("torch/bin/protoc", "torch/bin/models/a", "torch/include/a.h", "pkg/tests/test_a.py", "pkg/lib/a.a")
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    locked.remove_unused(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)
