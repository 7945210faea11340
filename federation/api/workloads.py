"""Every workload that a session can use, as the API lists it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from federation import catalogue
from federation.catalogue import Holder
from federation.fl.workloads import WORKLOADS, declaration
from federation.fl.workloads.declaration import Declaration


def rows(now: datetime) -> list[dict[str, Any]]:
    """Those of the server first, then those that only sites have."""
    known = WORKLOADS.copy()
    own = [_row("server", declaration.of(one), catalogue.of_server(one), now) for one in known.values()]
    return own + [_row("sites", one.declared, one.clients, now) for one in catalogue.of_sites(known)]


def _row(origin: str, declared: Declaration, clients: Iterable[Holder], now: datetime) -> dict[str, Any]:
    told = declared.to_json()
    about = {name: told[name] for name in ("name", "version", "summary", "digest", "options", "measures")}
    about |= {"title": declared.title or declared.name, "train_defaults": told["train_defaults"]}
    return about | {"origin": origin, "clients": [_holder(one, now) for one in clients]}


def _holder(one: Holder, now: datetime) -> dict[str, Any]:
    return {
        "id": str(one.client_id),
        "name": one.name,
        "online": one.is_online(now),
        "digest": one.digest,
        "num_examples": one.num_examples,
        "kinds": list(one.kinds),
        "agrees": one.agrees,
    }
