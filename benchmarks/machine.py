"""What this machine can do at best, measured in the same run as what it is compared with."""

import hashlib
import os
import platform
import socket
import threading
from pathlib import Path
from time import perf_counter

import numpy as np

GB = 1e9
SAMPLE = 1 << 28  # bytes


def describe() -> str:
    """The machine in a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def limits() -> dict[str, float]:
    """GB/s over a loopback connection, of copying memory, and of SHA-256, each on one core (two for loopback)."""
    return {"loopback": loopback(), "memory": memory(), "sha256": sha256()}


def loopback() -> float:
    """One TCP connection, 256 KiB at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = threading.Thread(target=_send, args=(listener.getsockname(),))
        sender.start()
        connection, _ = listener.accept()
        buffer = memoryview(bytearray(256 << 10))
        began, received = perf_counter(), 0
        with connection:
            while count := connection.recv_into(buffer):
                received += count
        seconds = perf_counter() - began
        sender.join()
    return received / seconds / GB


def _send(address: tuple[str, int]) -> None:
    chunk = bytes(256 << 10)
    with socket.create_connection(address) as connection:
        for _ in range(4 * SAMPLE // len(chunk)):
            connection.sendall(chunk)


def memory() -> float:
    """Bytes copied; each is read and written."""
    source, target = np.ones(SAMPLE, np.uint8), np.zeros(SAMPLE, np.uint8)
    began = perf_counter()
    for _ in range(4):
        np.copyto(target, source)
    return 4 * SAMPLE / (perf_counter() - began) / GB


def sha256() -> float:
    data = np.ones(SAMPLE, np.uint8).data
    began = perf_counter()
    hashlib.sha256(data)
    return SAMPLE / (perf_counter() - began) / GB


def peak_mb(pids: list[int]) -> float:
    """The sum of the processes' peak resident memory (VmHWM), in MB."""
    return sum(_status_kb(pid, "VmHWM") for pid in pids) * 1024 / 1e6


def _status_kb(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
