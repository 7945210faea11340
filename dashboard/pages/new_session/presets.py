"""What a new session can start from: settings that are good as they are, each for something of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from federation.fl.workloads import WORKLOADS
from federation.models import Client, TrainingSession
from federation.session_settings import Spec

FIRST = "balanced"


@dataclass(frozen=True, slots=True)
class Preset:
    """share: of the enrolled clients that must report. train: where it is not what the workload trains well with."""

    name: str
    title: str
    summary: str
    workload: str = "digits"
    strategy: str = "fedavg"
    rounds: int = 10
    share: float = 0.5
    round_seconds: int = 600
    train: Mapping[str, Any] = field(default_factory=dict)

    def spec(self) -> Spec:
        last = TrainingSession.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        enrolled = Client.objects.enrolled().filter(enabled=True).count()
        return Spec(
            name=f"{self.workload} {last + 1}",
            workload=self.workload,
            strategy=self.strategy,
            rounds=self.rounds,
            quorum=max(1, int(self.share * enrolled)),
            round_seconds=self.round_seconds,
            train={**WORKLOADS[self.workload].train_defaults, **self.train},
            seed=1,
        )


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "quick", "Quick check", "3 short rounds of one epoch. Shows that every site can train.",
            rounds=3, round_seconds=120, train={"epochs": 1},
        ),
        Preset(FIRST, "Balanced", "10 rounds of FedAvg on handwritten digits; half of the clients must answer."),
        Preset(
            "mnist", "MNIST", "20 rounds of a linear model that tells 3 from 7, on MNIST where a site has it.",
            workload="threes_and_sevens", rounds=20,
        ),
        Preset(
            "robust", "Robust", "Median of the updates, for sites you cannot vouch for; two thirds must answer.",
            strategy="fedmedian", share=2 / 3,
        ),
        Preset(
            "uneven", "Uneven data", "FedAdam, for sites whose data differ much; 20 rounds of one epoch.",
            strategy="fedadam", rounds=20, train={"epochs": 1},
        ),
        Preset(
            "load", "Load test", "5 rounds of noise: how long transport and aggregation take, without any training.",
            workload="synthetic", rounds=5, share=1.0,
        ),
    )
}  # fmt: skip


def default_spec() -> Spec:
    """Good to launch as it is: a quorum of half of the clients, the workload's own training settings."""
    return PRESETS[FIRST].spec()
