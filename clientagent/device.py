"""What this machine trains on, without torch where that is possible: importing it takes seconds."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from typing import Any

from clientagent.errors import Failed, Misconfigured
from federation.fl.version import __version__
from federation.fl.workloads import Workload


class Device:
    """Where this site trains. torch is imported and set up for the first workload that needs it."""

    def __init__(self, wanted: str, threads: int | None) -> None:
        """threads: None for one."""
        self._wanted, self._threads = wanted, threads or 1
        self._chosen = ""

    def of(self, workload: Workload) -> str:
        """Where a workload trains. Raises Failed if the device that was asked for is not usable."""
        if not workload.needs_torch:
            return "cpu"
        if not self._chosen:
            self._chosen = choose(self._wanted)
            set_up_torch(self._threads)
        return self._chosen


def set_up_torch(threads: int) -> None:
    """Let torch make the same sums in the same order on every machine."""
    import torch

    torch.set_num_threads(threads)
    # torch.use_deterministic_algorithms would say the same to torch and to its compiler, which takes seconds to import.
    torch.set_deterministic_debug_mode("warn")
    os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")
    compiler: Any = sys.modules.get("torch._inductor.config")
    if compiler is not None:
        compiler.deterministic = True
    # Deterministic algorithms also fill memory that is new. No correct program reads that, and filling costs time.
    memory: Any = torch.utils.deterministic
    memory.fill_uninitialized_memory = False


def likely(wanted: str) -> str:
    """The device that `choose` will probably find."""
    if wanted != "auto":
        return wanted
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    return "cuda" if _cuda_build() and gpu() else "cpu"


def choose(wanted: str) -> str:
    """The device to train on. Imports torch. Raises Failed if it is asked for and not usable."""
    import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, there in usable.items() if there)
    if not usable[wanted]:
        allowed = ", ".join(["auto", *(device for device, there in usable.items() if there)])
        raise Failed(f"--device {wanted}: PyTorch cannot use it on this machine; use one of {allowed}.")
    return wanted


def require(wanted: str) -> None:
    """Raises Misconfigured if a device was chosen by name and is unusable. Imports torch only then."""
    if wanted in ("auto", "cpu"):
        return
    try:
        choose(wanted)
    except ImportError as error:
        raise Misconfigured(f"--device {wanted} needs PyTorch, which cannot be imported: {error}.") from error
    except Failed as error:
        raise Misconfigured(str(error)) from error


def describe(wanted: str) -> dict[str, Any]:
    """The machine, as the operator sees it."""
    info: dict[str, Any] = {
        "version": __version__,
        "device": likely(wanted),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory": _memory_bytes(),
        "gpu": gpu(),
    }
    return {name: value for name, value in info.items() if value}


@functools.cache
def gpu() -> str:
    """The first NVIDIA card's name and memory; empty if there is none."""
    if not shutil.which("nvidia-smi"):
        return ""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip().partition("\n")[0]
    return ""


def _cuda_build() -> bool:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return not importlib.metadata.version("torch").endswith("+cpu")
    return False


def _memory_bytes() -> int | None:
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
