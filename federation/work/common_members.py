"""The members that the work of every kind has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from federation.fl import sampling, staying, strategies, workloads
from federation.fl.local_options import LocalOptions
from federation.lifecycle import WorkKind
from federation.models import Client, GlobalModel, Participation, TrainingSession


def common_members(seat: Participation) -> dict[str, Any]:
    """Who asks for what, of which model, until when."""
    round_, session, base = seat.round, seat.round.session, seat.round.base_model
    return {
        "participation": str(seat.pk),
        "kind": round_.kind,
        "session": {"id": str(session.pk), "name": session.name},
        "round": round_.number,
        "attempt": round_.attempt,
        "workload": _workload(session, seat.client),
        "config": _config(seat),
        "base_model": _model(base) if base else None,
        "buffers": session.buffers or [],
        "deadline": (seat.deadline or round_.deadline).isoformat(),
    }


def _workload(session: TrainingSession, client: Client) -> dict[str, Any]:
    return {
        "name": session.workload,
        "version": session.workload_version,
        "digest": _digest(session, client),
        "options": session.workload_options,
    }


def _digest(session: TrainingSession, client: Client) -> str:
    """The digest that the client told of this workload, if it trains the same as the session's; else the session's.

    Of a workload that only sites have, each client has its own, unless the session lets in only equal ones.
    """
    told = told_digest(client.info, session.workload)
    if session.is_of_sites:
        return told or session.workload_digest
    alike = workloads.alike(session.workload, session.workload_digest, plainly=session.trains_plainly)
    return told if told in alike else session.workload_digest


def told_digest(info: Mapping[str, Any], workload: str) -> str:
    """What a stored info says of a workload's source; empty if nothing. Reads no other member: every work asks."""
    for member in ("workloads", "catalogue"):
        told = info.get(member)
        if isinstance(told, dict) and isinstance(digest := told.get(workload), str):
            return digest
    return ""


def _config(seat: Participation) -> dict[str, Any]:
    round_, session = seat.round, seat.round.session
    strategy = strategies.build(session.strategy, session.strategy_options)
    seed = sampling.client_seed(session.seed, round_.number, seat.client.name, seat.turn)
    is_training = round_.kind == WorkKind.TRAIN
    more = _settings(session, round_.number, strategy.local_options()) if is_training else {}
    return {**session.train, **more, **strategy.client_config(), "seed": seed}


def _settings(session: TrainingSession, round_number: int, of_strategy: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of training that differ from plain SGD, and the learning rate of this round if it is a special one.

    of_strategy: local options that the strategy sets. A round of plain SGD is described as it always was.
    """
    found: dict[str, Any] = {}
    if (rate := session.learning_rate(round_number)) != session.train["learning_rate"]:
        found["learning_rate"] = rate
    if not session.trains_plainly:
        found["optimizer"] = {"name": session.optimizer, "options": session.optimizer_options}
        local = {**(session.local_options or {}), **of_strategy}
        found["local_options"] = LocalOptions.read(local).said()
    return found


def _model(base: GlobalModel) -> dict[str, Any]:
    return {
        "version": base.version,
        "digest": base.digest,
        "num_bytes": base.num_bytes,
        "url": f"/api/v1/models/{base.digest}",
    }


def last_update(seat: Participation) -> dict[str, str] | None:
    """The client's last update in this session that counted when it got the seat; of the kinds that say so."""
    last = seat.last_update
    return {"participation": str(last.pk), "digest": last.digest} if last else None


def stays(seat: Participation) -> dict[str, list[str]]:
    """The tensors that stay at the site, and those that are not trained, where there are any."""
    session = seat.round.session
    found = {"stays": session.staying_tensors, "frozen": session.frozen_tensors}
    return {member: names for member, names in found.items() if names}


def fine_tuning(seat: Participation) -> dict[str, Any]:
    """The config of the training of a site's own model before it is measured, where the session asks for it.

    As in the last round, but without what the strategy has clients do. Agents of before know of no own model.
    """
    session = seat.round.session
    if not session.fine_tune_epochs or staying.UNDERSTOOD not in seat.client.understands:
        return {}
    seed = sampling.client_seed(session.seed, session.rounds + 1, seat.client.name, seat.turn)
    config = session.train | _settings(session, session.rounds, {})
    return {"fine_tune": config | {"epochs": session.fine_tune_epochs, "seed": seed}}
