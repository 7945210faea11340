"""Which sites can measure a model now, and why others cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard.kit import client_states, statuses
from dashboard.kit.client_states import Place
from federation.lifecycle import WorkKind
from federation.models import Client, GlobalModel, ServedWorkload, TrainingSession
from federation.services.rounds import Told, Why, who_lists, why_not
from federation.services.waiting import LEFT_OUT

MOST = 200  # sites that are named


@dataclass(frozen=True, slots=True)
class Site:
    """An enrolled client. why: what keeps it from measuring the model; empty if nothing does."""

    place: Place
    why: str

    @property
    def client(self) -> Client:
        return self.place.client

    @property
    def is_here(self) -> bool:
        return self.place.word in (statuses.ONLINE, statuses.BUSY)


def of(model: GlobalModel, *, now: datetime) -> list[Site]:
    """Sites: first those that can measure the model and are online, then those that are away, then all others."""
    everyone = list(Client.objects.enrolled().filter(enabled=True).defer("info").order_by("name"))
    whys = _whys(model.session, everyone)
    clients = sorted(everyone, key=lambda client: (bool(whys[client.pk]), not client.is_online(now)))[:MOST]
    found = [Site(place, whys[place.client.pk]) for place in client_states.places(clients, now=now)]
    return sorted(found, key=lambda site: (bool(site.why), not site.is_here))


def _whys(session: TrainingSession, clients: Sequence[Client]) -> dict[int, str]:
    """What some clients told that keeps them from measuring a model of a session."""
    rows = ServedWorkload.objects.filter(name=session.workload)
    about = rows.values_list("client_id", "digest", "num_examples", "version", "declaration__kinds")
    served = {client: Told(*told) for client, *told in about}
    lists = who_lists(session.workload)
    return {one.pk: _why(session, one, served.get(one.pk), lists=one.pk in lists) for one in clients}


def _why(session: TrainingSession, client: Client, told: Told | None, *, lists: bool) -> str:
    is_empty = client.num_examples == 0
    why = why_not(session, WorkKind.EVALUATE, client.kinds, told, is_empty=is_empty, lists=lists)
    if why == Why.KIND and not session.is_of_sites:
        return "its agent does not evaluate; a newer one does"
    return LEFT_OUT[why] if why else ""
