"""How fast update files become the next model: read, computed, compared, written and hashed.

    .venv/bin/python benchmarks/aggregation.py [--clients 10] [--params 25000000] [--repeats 5] [--only fedavg ...]

Prints, for each strategy, the median of the repeats in GB of update bytes a second, and its ratio to FedAvg and to
what one core of this machine does: reading the same files from the page cache, and SHA-256. At the end the most
memory that the process had.
"""

import argparse
import hashlib
import os
import platform
import resource
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the server has it

import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from federation.fl import aggregation, parallel, weights  # noqa: E402
from federation.fl.strategies import build  # noqa: E402

MIXING, BUCKETING = {"before": "mixing"}, {"before": "bucketing"}
STRATEGIES: Mapping[str, tuple[str, Mapping[str, object]]] = {  # by what is printed: the strategy and its options
    **{name: (name, {}) for name in ("fedavg", "fedmedian", "fedadam")},
    **{name: (name, {"liars": 2}) for name in ("trimmed_mean", "krum", "multi_krum", "geometric_median")},
    **{name: (name, {}) for name in ("bulyan", "centered_clipping", "norm_clipping")},
    "multi_krum, mixing": ("multi_krum", {"liars": 2, **MIXING}),
    "fedmedian, mixing": ("fedmedian", {"liars": 2, **MIXING}),
    "trimmed_mean, mixing": ("trimmed_mean", {"liars": 2, **MIXING}),
    "fedmedian, bucketing": ("fedmedian", {"liars": 2, **BUCKETING}),
}
CHUNK_BYTES = 2**18


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--params", type=int, default=25_000_000, help="float32 parameters of the model")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=STRATEGIES, help="these and fedavg; usually all")
    options = parser.parse_args()
    chosen = [name for name in STRATEGIES if name == "fedavg" or options.only is None or name in options.only]
    with tempfile.TemporaryDirectory() as folder:
        base, *updates = write_files(Path(folder), options.clients + 1, options.params)
        gigabytes = sum(path.stat().st_size for path in updates) / 1e9
        print(f"$ python {shlex.join(sys.argv)}")
        print(f"{platform.machine()}, {os.cpu_count()} cores, {parallel.threads()} threads, numpy {np.__version__}")
        print(f"{options.clients} updates of {options.params:,} float32, {gigabytes:.3g} GB in the page cache")
        read = gigabytes / median_seconds(lambda: read_all(updates), options.repeats)
        sha = gigabytes / median_seconds(lambda: hash_all(updates), 1)
        print(f"one core reads {read:.2f} GB/s, hashes {sha:.2f} GB/s")
        fedavg = None
        for name in chosen:
            speed = gigabytes / median_seconds(lambda name=name: aggregate(name, base, updates), options.repeats)
            fedavg = fedavg or speed
            of = f"{speed / fedavg:.2f} of FedAvg, {speed / read:.2f} of reading, {speed / sha:.2f} of SHA-256"
            print(f"{name:<20} {speed:5.2f} GB/s, {of}")
        print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def write_files(folder: Path, count: int, params: int) -> list[Path]:
    paths = [folder / f"{number}.safetensors" for number in range(count)]
    for seed, path in enumerate(paths):
        noise = np.random.default_rng(seed).standard_normal(params, dtype=np.float32)
        weights.save(path, {"weight": noise})
    return paths


def median_seconds(run: Callable[[], None], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        began = perf_counter()
        run()
        seconds.append(perf_counter() - began)
    return statistics.median(seconds)


def aggregate(named: str, base: Path, updates: list[Path]) -> None:
    """One round from fresh slots, with what the server does: the files are written, hashed and compared."""
    strategy, options = STRATEGIES[named]
    out, out_slots = base.with_suffix(".out"), base.with_suffix(".slots")
    aggregation.aggregate(
        build(strategy, options),
        base=base,
        base_slots=None,
        updates=[aggregation.UpdateFile(path, 100 + seat) for seat, path in enumerate(updates)],
        out=out,
        out_slots=out_slots,
        on_block=lambda: None,
    )
    out.unlink()
    out_slots.unlink(missing_ok=True)


def read_all(paths: list[Path]) -> None:
    buffer = bytearray(CHUNK_BYTES)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def hash_all(paths: list[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


if __name__ == "__main__":
    main()
