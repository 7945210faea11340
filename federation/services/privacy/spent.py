"""What the rounds of private sessions have cost, and what the next one would.

A session that trains another one further sees the same data, so that the other's rounds count in it, too. A round
counts once its model is published. A failed try has shown nobody anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from federation.fl.privacy import clippings, spending
from federation.fl.privacy.clippings import Clipping
from federation.fl.privacy.mechanism import Released
from federation.fl.privacy.spending import Cost
from federation.fl.selections.poisson import Poisson
from federation.lifecycle import LIVE, Outcome, WorkKind
from federation.models import GlobalModel, Round, TrainingSession
from federation.session_settings import Spec

EMPTY_SAMPLES = (
    0.01  # of delta: the chance that some round's sample is empty, up to which it counts as a Poisson sample
)


@dataclass(frozen=True, slots=True)
class Before:
    """What the sessions cost that one trains further. unprotected: the newest of them without privacy, by name."""

    costs: tuple[Cost, ...] = ()
    sessions: int = 0
    unprotected: str = ""


def clipping_of(of: TrainingSession | Spec) -> Clipping | None:
    """None: it is not private."""
    return None if of.privacy == clippings.NONE else clippings.build(of.privacy, of.privacy_options or {})


def own(session: TrainingSession) -> tuple[Cost, ...]:
    """Of its rounds whose models are published."""
    made = Round.objects.filter(session=session, kind=WorkKind.TRAIN, outcome=Outcome.MODEL).exclude(privacy=None)
    told: Iterable[Any] = made.order_by("number").values_list("privacy", flat=True)
    return tuple(Cost(one["noise_multiplier"], one["rate"]) for one in told if "noise_multiplier" in one)


def before(session: TrainingSession) -> Before:
    """What was spent on the same data before it. Of deleted sessions it is what was noted when it was created."""
    model = session.start_from
    return of_model(model) if model is not None else _read(session.privacy_before)


def of_model(model: GlobalModel) -> Before:
    """What everybody has spent that made a model: its session, all of it, and those before."""
    costs: list[Cost] = []
    unprotected, session, count = "", model.session, 0
    while True:
        costs += own(session)
        count += 1
        if session.privacy == clippings.NONE:
            unprotected = unprotected or session.name
        if session.start_from is None:
            break
        session = session.start_from.session
    noted = _read(session.privacy_before)
    return Before((*costs, *noted.costs), count + noted.sessions, unprotected or noted.unprotected)


def written(known: Before) -> dict[str, Any]:
    """As it is noted with a session."""
    counted = Counter((one.noise_multiplier, one.rate) for one in known.costs)
    rows = [[noise, rate, count] for (noise, rate), count in sorted(counted.items())]
    return {"rounds": rows, "sessions": known.sessions, "unprotected": known.unprotected}


def _read(noted: Mapping[str, Any] | None) -> Before:
    if not noted:
        return Before()
    costs = tuple(Cost(noise, rate) for noise, rate, count in noted["rounds"] for _ in range(count))
    return Before(costs, noted["sessions"], noted["unprotected"])


def cost_of_next(of: TrainingSession | Spec, clipping: Clipping, free: int | None = None) -> Cost:
    """free: how many clients are drawn from. None: enough of them."""
    return Cost(clipping.noise_multiplier, _rate(of, clipping, free))


def _rate(of: TrainingSession | Spec, clipping: Clipping, free: int | None) -> float:
    """With which a round's clients are drawn, each by itself; 1.0 where that cannot be claimed.

    An empty sample makes no model, which tells something of the others' draws. So the claim needs so many clients that
    an empty sample is much less likely than delta. Below that, asking somebody in its place is no matter either.
    """
    if of.selection != Poisson.name:
        return 1.0
    rate = _drawn(of)
    likely = 0.0 if free is None else (1 - rate) ** free * of.rounds
    return rate if likely <= EMPTY_SAMPLES * clipping.delta else 1.0


def opened(session: TrainingSession, free: int) -> dict[str, Any] | None:
    """What is noted of a round when its clients are drawn from so many."""
    clipping = clipping_of(session)
    if clipping is None:
        return None
    return {"rate": _rate(session, clipping, free), "expected": expected(session, free)}


def expected(of: TrainingSession | Spec, free: int) -> float | None:
    """How many clients Poisson sampling draws of so many, on average; None where the selection is another one."""
    return _drawn(of) * free if of.selection == Poisson.name else None


def _drawn(of: TrainingSession | Spec) -> float:
    return float((of.selection_options or {}).get("rate", Poisson.rate))


def published(round_: Round, released: Released | None) -> dict[str, Any] | None:
    """What is noted of a round with its model: what it did, and the epsilon that is spent with it."""
    session, clipping = round_.session, clipping_of(round_.session)
    if clipping is None or released is None:
        return None
    noted = round_.privacy or {"rate": 1.0, "expected": None}
    spent = [*before(session).costs, *own(session), Cost(clipping.noise_multiplier, noted["rate"])]
    return noted | {
        "noise_multiplier": clipping.noise_multiplier,
        "delta": clipping.delta,
        "epsilon": spending.epsilon(spent, clipping.delta),
        "clip": released.clip,
        "next_clip": released.next_clip,
        "within": released.within,
        "deviation": released.deviation,
    }


def has_budget(session: TrainingSession) -> bool:
    clipping = clipping_of(session) if session.kind == WorkKind.TRAIN else None
    return clipping is not None and clipping.budget is not None


def exhausted(session: TrainingSession, free: int | None = None) -> dict[str, float] | None:
    """Why a live session opens no other round: with that its epsilon would exceed its budget. None: it would not."""
    clipping = clipping_of(session) if session.status in LIVE and session.kind == WorkKind.TRAIN else None
    if clipping is None or clipping.budget is None:
        return None
    spent = [*before(session).costs, *own(session)]
    found = _epsilons(spent, cost_of_next(session, clipping, free), clipping.delta)
    return {"budget": clipping.budget, **found} if found["next"] > clipping.budget else None


def _epsilons(spent: Iterable[Cost], following: Cost, delta: float) -> dict[str, float]:
    spent = list(spent)
    now, then = spending.epsilon(spent, delta), spending.epsilon([*spent, following], delta)
    return {"epsilon": now, "next": then, "delta": delta}
