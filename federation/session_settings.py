"""What a session can be told: its settings, their defaults and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import TextChoices

from federation.fl import encodings
from federation.fl.defences import Defence
from federation.fl.options import Option
from federation.lifecycle import LatePolicy, RoundFailure

TRAIN = (
    Option("epochs", int, 1, minimum=1, maximum=1000, help="Passes over a client's own data in each round."),
    Option("batch_size", int, 32, minimum=1, maximum=1_000_000, help="Examples a step. Smaller needs less memory."),
    Option(
        "learning_rate", float, 0.1, minimum=0.0, exclusive_minimum=True, maximum=1000.0,
        help="How far a client moves at each step.",
    ),
)  # fmt: skip
ROUND_SECONDS = 600  # where nothing else is said or learnt
LIMITS = {  # field: smallest, largest
    "rounds": (1, 100_000),
    "quorum": (1, 100_000),
    "cohort_size": (1, 100_000),
    "round_seconds": (1, 2_592_000),
    "max_retries": (0, 100),
    "seed": (0, 2**53 - 1),
}
CHOICES: dict[str, type[TextChoices]] = {"on_round_failure": RoundFailure, "late_policy": LatePolicy}


@dataclass(frozen=True, slots=True)
class Spec:
    """What a session is to be. `start_from` is (session id, version) of the model to go on from."""

    name: str
    workload: str
    workload_options: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 10
    strategy: str = "fedavg"
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    compression: str = encodings.NONE.name
    compression_options: Mapping[str, Any] = field(default_factory=dict)
    cohort_size: int | None = None
    client_tags: Sequence[str] = ()
    quorum: int = 1
    round_seconds: int = ROUND_SECONDS
    auto_deadline: bool = False  # learn round_seconds from past rounds, as soon as there are enough
    max_retries: int = 2
    on_round_failure: str = RoundFailure.RETRY
    late_policy: str = LatePolicy.DROP
    defences: Sequence[str] = tuple(Defence)
    train: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 1
    start_from: tuple[int, int] | None = None
