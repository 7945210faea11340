"""What a session would cost, from past rounds of the same model."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings

from federation.fl import options
from federation.fl.options import OptionError
from federation.fl.workloads import WORKLOADS
from federation.lifecycle import COUNTED, Outcome, WorkKind
from federation.models import GlobalModel, Participation, Round, TrainingSession
from federation.session_settings import Spec

PAST = 50  # rounds that an estimate is made from, the newest


@dataclass(frozen=True, slots=True)
class Estimate:
    """Medians of past rounds, for a number of clients. seconds: of the quicker and the slower half."""

    past: int  # rounds
    same_training: bool
    quick: float
    slow: float
    median: float
    rounds: int
    asked: int
    down: int  # bytes a client and round
    up: int
    disk_free: int
    round_seconds: int

    @property
    def seconds(self) -> float:
        return self.median * self.rounds

    @property
    def all_bytes(self) -> int:
        return (self.down + self.up) * self.asked * self.rounds

    @property
    def kept_bytes(self) -> int:
        """A model a round, and the initial one."""
        return self.down * (self.rounds + 1)

    @property
    def is_even(self) -> bool:
        return self.slow < 1.1 * self.quick

    @property
    def is_short(self) -> bool:
        """Whether the slower half of the past rounds would have met the deadline."""
        return self.round_seconds < self.slow

    @property
    def fills(self) -> bool:
        return self.kept_bytes > self.disk_free


def of(spec: Spec, asked: int) -> Estimate | None:
    """None where no round of this model is known yet."""
    sessions = _like(spec)
    same = [session for session in sessions if _trains_alike(session, spec)]
    past = _rounds(same) or _rounds(sessions)
    seconds = sorted((r.closed_at - r.opened_at).total_seconds() for r in past if r.closed_at)
    if not seconds:
        return None
    return Estimate(
        past=len(seconds),
        same_training=past[0].session in same,
        quick=_quantile(seconds, 0.25),
        slow=_quantile(seconds, 0.75),
        median=statistics.median(seconds),
        rounds=spec.rounds,
        asked=max(1, asked, spec.quorum),  # fewer make no round
        down=GlobalModel.objects.filter(pk__in=[r.base_model_id for r in past]).latest("pk").num_bytes,
        up=_uploaded(past),
        disk_free=shutil.disk_usage(settings.FL_DATA_DIR).free,
        round_seconds=spec.round_seconds,
    )


def _like(spec: Spec) -> list[TrainingSession]:
    """Sessions of the same workload and options, so of a model of the same size."""
    chosen = spec.told or WORKLOADS.get(spec.workload)
    try:
        known = options.check(spec.workload_options, chosen.options if chosen else (), spec.workload)
    except OptionError:
        return []
    alike = TrainingSession.objects.filter(workload=spec.workload, workload_options=known)
    return list(alike.filter(workload_version=spec.told.version) if spec.told else alike)


def _trains_alike(session: TrainingSession, spec: Spec) -> bool:
    """As many epochs: what a round's time depends on most."""
    return session.train.get("epochs") == spec.train.get("epochs")


def _rounds(sessions: Sequence[TrainingSession]) -> list[Round]:
    done = Round.objects.filter(session__in=sessions, kind=WorkKind.TRAIN, outcome=Outcome.MODEL).exclude(
        closed_at=None
    )
    return list(done.select_related("session").order_by("-pk")[:PAST])


def _uploaded(past: Sequence[Round]) -> int:
    """Bytes of a usual update."""
    sent = Participation.objects.filter(round__in=past, status__in=COUNTED, num_bytes__gt=0)
    found = sent.values_list("num_bytes", flat=True)
    return int(statistics.median(found)) if found else 0


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]
