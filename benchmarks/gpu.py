"""Training on a GPU beside the CPU, through the agent's own code, without a server.

    python benchmarks/gpu.py [--device cuda] [--rounds 3] [--width 64] [--seconds 230]

The first table is what an agent does today: rounds of local training in float32 by `clientagent/kinds/training.py`,
with torch as the agent sets it up. Each update is trained a second time, the first one in a fresh process, and must
have the same digest. The second table is what the agent has NO option for yet, measured here on the same network and
optimizer with larger images and batches: bfloat16 autocast and `torch.compile`.

It needs torch, numpy, safetensors and scikit-learn. Ends with status 1 if two digests differ or a run of the first
table fails.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest, sha256
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

if TYPE_CHECKING:
    import torch

    from benchmarks.batchnorm_site import ResNet18

SEED = 1
CONFIGS: Mapping[str, Mapping[str, float]] = {
    "digits": {"epochs": 4, "batch_size": 8, "learning_rate": 0.03},
    "resnet18": {"epochs": 2, "batch_size": 16, "learning_rate": 0.05},
}
VARIANTS = ("float32", "float32, no TF32", "bfloat16", "compiled", "compiled bfloat16")
WARM_UP = 5  # steps that are not timed
ENLARGED = 4  # times: digits of 8 x 8 become images of 32 x 32


@dataclass(frozen=True)
class Case:
    """What one process measures. variant: empty for the agent's training. steps: of a variant, and batch its size."""

    workload: str
    device: str
    threads: int
    rounds: int = 1
    width: int = 64
    variant: str = ""
    steps: int = 0
    batch: int = 0

    @property
    def title(self) -> str:
        where = f"{self.device}, {self.threads} threads" if self.device == "cpu" else self.device
        return f"{self.workload}, {self.variant or where}"


# ---- in a process of its own


def as_agent(case: Case) -> dict[str, Any]:
    """Train rounds as an agent does, each on the model that the last one gave."""
    from clientagent.data import SiteData
    from clientagent.device import Device
    from clientagent.kinds.training import Trainer, parse
    from clientagent.settings import Settings
    from federation.fl import weights, workloads

    settings = Settings(device=case.device, threads=case.threads)
    trainer, workload = Trainer(SiteData(settings), Device(case.device, case.threads)), workloads.get(case.workload)
    digests, rates, seconds = [], [], []
    with tempfile.TemporaryDirectory() as folder, warned() as said:
        base, out = Path(folder, "base"), Path(folder, "update")
        workload.write_initial(base, {}, SEED)
        for number in range(1, case.rounds + 1):
            watch, began, work = Watch(), perf_counter(), parse(_work(case, number, base))
            digests.append(trainer.update(work, base, out, watch))
            seconds.append(perf_counter() - began)
            rates.append(watch.steps_a_second)
            again = trainer.update(work, base, out, lambda *_: True) if number == case.rounds else digests[-1]
            model = weights.load(base)
            delta = weights.load(out)
            weights.save(base, {name: model[name] + delta[name] for name in model})
        measured = workload.evaluate(weights.load(base), {})
    return {
        "digests": [*digests, again],
        "rate": median(rates),
        "seconds": median(seconds),
        "mb": peak_mb(case.device),
        "said": said,
        **measured,
    }


class Watch:
    """A report that notes when each step was."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, phase: str, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        if phase == "training":
            self.times.append(perf_counter())
        return True

    @property
    def steps_a_second(self) -> float:
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


def _work(case: Case, number: int, base: Path) -> dict[str, Any]:
    from federation.fl import workloads

    with base.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return {
        "participation": f"{number}",
        "kind": "train",
        "session": {"id": "1", "name": "gpu"},
        "round": number,
        "workload": {"name": case.workload, "digest": workloads.get(case.workload).digest(), "options": {}},
        "config": {**CONFIGS[case.workload], "seed": number},
        "base_model": {"digest": digest, "num_bytes": base.stat().st_size, "url": "/"},
        "update_url": "/",
        "part_bytes": 1,
        "max_put_bytes": 1,
    }


def by_step(case: Case) -> dict[str, Any]:
    """Train some steps as a variant does, twice from the same weights."""
    import torch

    from clientagent.device import Device
    from federation.fl import workloads

    workload: ResNet18 = workloads.get(case.workload)  # type: ignore[assignment]
    device = Device(case.device, case.threads).of(workload)
    torch.backends.cudnn.allow_tf32 = "no TF32" not in case.variant
    with warned() as said:
        first, second = (Steps(case, workload, device).run() for _ in range(2))
    return first | {"digests": [first["digest"], second["digest"]], "mb": peak_mb(device), "said": said}


class Steps:
    """One training of a variant: plain SGD on batches of enlarged digits."""

    def __init__(self, case: Case, workload: ResNet18, device: str) -> None:
        import torch

        self.case, self.workload, self.device = case, workload, device
        torch.manual_seed(SEED)
        self.network = workload.network().to(device)
        self.forward = torch.compile(self.network) if "compiled" in case.variant else self.network
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05)
        self.features, self.labels = self._on_device(workload.training_data({}, None))

    def run(self) -> dict[str, Any]:
        import torch

        order = torch.Generator().manual_seed(SEED)
        times, losses = [perf_counter()], [0.0]
        for _ in range(self.case.steps):
            batch = torch.randperm(len(self.labels), generator=order)[: self.case.batch].to(self.device)
            losses.append(self._step(batch))
            times.append(perf_counter())
        timed = times[WARM_UP:]
        return {
            "rate": (len(timed) - 1) / (timed[-1] - timed[0]),
            "first": times[1] - times[0],
            "loss": losses[-1],
            "accuracy": self._accuracy(),
            "digest": _digest(self.network),
        }

    def _step(self, batch: torch.Tensor) -> float:
        self.optimizer.zero_grad()
        with self._precision():
            loss = self.workload.losses(self.forward(self.features[batch]), self.labels[batch]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item()

    def _precision(self) -> Any:
        import torch

        return torch.autocast(self.device, torch.bfloat16) if "bfloat16" in self.case.variant else nullcontext()

    def _accuracy(self) -> float:
        import torch

        features, labels = self._on_device(self.workload.test_data({}))
        self.network.eval()
        with torch.inference_mode():
            return float((self.network(features).argmax(1) == labels).double().mean().item())

    def _on_device(self, data: Any) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        large = data.features.repeat(ENLARGED, axis=2).repeat(ENLARGED, axis=3)
        return torch.from_numpy(large).to(self.device), torch.from_numpy(data.labels).to(self.device)


def _digest(network: torch.nn.Module) -> str:
    sha = sha256()
    for tensor in network.state_dict().values():
        sha.update(tensor.cpu().numpy().tobytes())
    return sha.hexdigest()


@contextmanager
def warned() -> Iterator[list[str]]:
    """The first line of each warning within the block, once: torch names operations that are not deterministic."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += sorted({str(each.message).splitlines()[0][:160] for each in caught})


def peak_mb(device: str) -> float:
    """The most memory that was in use: of the GPU by tensors, or of this process."""
    import torch

    from benchmarks import machine

    return torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else machine.peak_mb([os.getpid()])


def child(asked: str) -> None:
    from clientagent.cli import fix_threads

    case = Case(**json.loads(asked))
    fix_threads(case.threads)
    from benchmarks.batchnorm_site import ResNet18
    from federation.fl import workloads

    workloads.WORKLOADS[ResNet18.name] = ResNet18(case.width)  # type: ignore[index]
    print(json.dumps(by_step(case) if case.variant else as_agent(case)), flush=True)


# ---- in the process that was started


class Clock:
    """How many seconds are left."""

    def __init__(self, seconds: float) -> None:
        self.end = monotonic() + seconds

    @property
    def left(self) -> float:
        return self.end - monotonic()


def ask(case: Case, clock: Clock) -> dict[str, Any]:
    """What a process of its own measured. Raises RuntimeError with its last line if it failed or had no time."""
    if clock.left < 5:
        raise RuntimeError("no time is left; give more --seconds")
    command = [sys.executable, str(Path(__file__).resolve()), "--case", json.dumps(asdict(case))]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=clock.left)
    except subprocess.TimeoutExpired:
        raise RuntimeError("it took longer than --seconds") from None
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][:200])
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def agent_table(cases: list[Case], clock: Clock) -> bool:
    """Print the first table. Returns whether each run succeeded and each digest was the same twice."""
    print(
        f"\n{'the agent today, float32':32} {'steps/s':>9} {'a round':>9} {'peak':>8} {'accuracy':>9} {'loss':>8}  same"
    )
    fine, said = True, set()
    for case in cases:
        try:
            found, fresh = ask(case, clock), ask(replace(case, rounds=1), clock)
        except RuntimeError as error:
            print(f"{case.title:32} failed: {error}", flush=True)
            fine = False
            continue
        digests = found["digests"]
        same = digests[-1] == digests[-2] and fresh["digests"] == [digests[0]] * 2
        fine, said = fine and same, said | {*found["said"]}
        print(
            f"{case.title:32} {found['rate']:9.1f} {found['seconds']:7.2f} s {found['mb']:5.0f} MB "
            f"{found['accuracy']:9.4f} {found['loss']:8.4f}  {'yes' if same else 'NO'}",
            flush=True,
        )
    _print_warnings(said)
    return fine


def variant_table(cases: list[Case], clock: Clock) -> None:
    """Print the second table. What this machine cannot do is a line, and no failure."""
    print(f"\n{'NOT in the agent yet':32} {'steps/s':>9} {'1st step':>9} {'peak':>8} {'accuracy':>9} {'loss':>8}  same")
    said: set[str] = set()
    for case in cases:
        try:
            found = ask(case, clock)
        except RuntimeError as error:
            print(f"{case.title:32} not measured: {error}", flush=True)
            continue
        said |= {*found["said"]}
        same = len({*found["digests"]}) == 1
        print(
            f"{case.title:32} {found['rate']:9.1f} {found['first']:7.2f} s {found['mb']:5.0f} MB "
            f"{found['accuracy']:9.4f} {found['loss']:8.4f}  {'yes' if same else 'no'}",
            flush=True,
        )
    _print_warnings(said)


def _print_warnings(said: set[str]) -> None:
    for line in sorted(said):
        print(f"  torch warns: {line}")


def describe(device: str) -> str:
    """The machine, its GPU and torch."""
    import torch

    from benchmarks import machine

    lines = [machine.describe(), f"torch {torch.__version__}"]
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        lines[1] += f", CUDA {torch.version.cuda}, {card.name}, {card.total_memory / 2**30:.0f} GiB"
        lines.append(f"TF32 in convolutions: {torch.backends.cudnn.allow_tf32}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="what to measure beside the CPU")
    parser.add_argument("--rounds", type=int, default=3, help="of local training")
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1), help="of the ResNet on the CPU")
    parser.add_argument("--width", type=int, default=64, help="channels of the ResNet's first stage; 64 is the paper's")
    parser.add_argument("--steps", type=int, default=200, help="of each variant")
    parser.add_argument("--batch", type=int, default=128, help="images a step of each variant")
    parser.add_argument("--seconds", type=float, default=230, help="for everything; what does not fit is left out")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        child(asked.case)
        return 0
    clock = Clock(asked.seconds)
    print(describe(asked.device), flush=True)
    on_cpu = [Case("digits", "cpu", 1, asked.rounds), Case("resnet18", "cpu", asked.threads, asked.rounds, asked.width)]
    on_gpu = [replace(case, device="cuda", threads=1) for case in on_cpu] if asked.device == "cuda" else []
    fine = agent_table([*on_gpu, *on_cpu], clock)
    step = Case("resnet18", asked.device, asked.threads, width=asked.width, steps=asked.steps, batch=asked.batch)
    variant_table([replace(step, variant=variant) for variant in VARIANTS], clock)
    print("\nthe agent's digests were the same twice" if fine else "\nFAILED: a run failed, or two digests differ")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
