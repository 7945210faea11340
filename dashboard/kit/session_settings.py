"""The settings of several sessions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.kit import formats, protection
from federation.models import TrainingSession


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    values: Sequence[str]

    @property
    def differs(self) -> bool:
        return len(set(self.values)) > 1


def side_by_side(sessions: Sequence[TrainingSession]) -> list[Setting]:
    """Every setting of any of them, with the values side by side."""
    described = [_described(session) for session in sessions]
    names = list(dict.fromkeys(name for one in described for name in one))
    return [Setting(name, [one.get(name, "–") for one in described]) for name in names]


def _described(session: TrainingSession) -> dict[str, str]:
    start = session.start_from
    return {
        "Workload": session.workload,
        "Workload's source": session.workload_digest[:8],
        **_options(session.workload_options),
        "Strategy": session.strategy,
        **_options(session.strategy_options),
        "Compression of updates": session.compression,
        **_options(session.compression_options),
        "Rounds": formats.number(session.rounds),
        "Clients asked": str(session.cohort_size or "everyone online"),
        "Tags of clients": ", ".join(session.client_tags) or "any",
        "Quorum": formats.number(session.quorum),
        "Time for a round": "learnt" if session.auto_deadline else formats.duration(session.round_seconds),
        "Retries of a failed round": str(session.max_retries),
        "If a round fails": session.get_on_round_failure_display(),
        "If an update is late": session.get_late_policy_display(),
        "Protection": protection.listed(session.defences),
        **_options(session.train),
        "Seed": str(session.seed),
        "Started from": f"{start.session.name}, v{start.version}" if start else "fresh weights",
    }


def _options(given: Mapping[str, Any]) -> dict[str, str]:
    return {formats.spaced(name): formats.setting(value) for name, value in given.items()}
