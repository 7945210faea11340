"""What a new session can start from: settings that are good as they are, each for something of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from federation.models import Client, TrainingSession
from federation.session_settings import Spec

FIRST = "balanced"


@dataclass(frozen=True, slots=True)
class Preset:
    """share: of the enrolled clients that must report. change: settings that are not the declared defaults."""

    name: str
    title: str
    summary: str
    workload: str = "digits"
    share: float = 0.5
    change: Mapping[str, Any] = field(default_factory=dict)

    def spec(self) -> Spec:
        last = TrainingSession.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        enrolled = Client.objects.enrolled().filter(enabled=True).count()
        quorum = max(1, int(self.share * enrolled))
        return Spec(name=f"{self.workload} {last + 1}", workload=self.workload, quorum=quorum, **self.change)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "quick", "Quick check", "3 short rounds of one epoch. Shows that every site can train.",
            change={"rounds": 3, "round_seconds": 120, "train": {"epochs": 1}},
        ),
        Preset(FIRST, "Balanced", "10 rounds of FedAvg on handwritten digits; half of the clients must answer."),
        Preset(
            "mnist", "MNIST", "20 rounds of a linear model that tells 3 from 7, on MNIST where a site has it.",
            workload="threes_and_sevens", change={"rounds": 20},
        ),
        Preset(
            "robust", "Robust", "Median of the updates, for sites you cannot vouch for; two thirds must answer.",
            share=2 / 3, change={"strategy": "fedmedian"},
        ),
        Preset(
            "uneven", "Uneven data", "FedAdam, for sites whose data differ much; 20 rounds of one epoch.",
            change={"strategy": "fedadam", "rounds": 20, "train": {"epochs": 1}},
        ),
        Preset(
            "load", "Load test", "5 rounds of noise: how long transport and aggregation take, without any training.",
            workload="synthetic", share=1.0, change={"rounds": 5},
        ),
    )
}  # fmt: skip


def default_spec() -> Spec:
    """Good to launch as it is: a quorum of half of the clients, the workload's own training settings."""
    return PRESETS[FIRST].spec()
