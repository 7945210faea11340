"""Which update of a client counted last in a session: what a client goes by that keeps something of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from federation.lifecycle import Origin, Outcome, SeatStatus, WorkKind
from federation.models import Client, GlobalModel, Participation, Round

# A late update counts once the round that took it has made its model.
COUNTED = Q(status=SeatStatus.AGGREGATED) | Q(status=SeatStatus.LATE, counted_in__outcome=Outcome.MODEL)


def last(round_: Round, clients: Sequence[Client]) -> Mapping[int, int]:
    """The seat whose update counted last, by client, as a round gives new seats. One query; empty for version 0.

    A session that only measures a model has no updates. There it is the last one in a session that made this model.
    Each client's newest seats are looked at first: a session may have thousands of rounds.
    """
    if round_.kind == WorkKind.INITIALISE:
        return {}
    own = Participation.objects.filter(
        COUNTED, client=OuterRef("pk"), round__session__in=_sessions(round_), round__kind=WorkKind.TRAIN
    )
    newest = Subquery(own.order_by("-pk").values("pk")[:1])
    rows = Client.objects.filter(pk__in=[client.pk for client in clients]).order_by().annotate(last=newest)
    return {client: last for client, last in rows.values_list("pk", "last") if last is not None}


def _sessions(round_: Round) -> Sequence[int] | QuerySet[Any]:
    """Those in which updates are looked for."""
    session, base = round_.session, round_.base_model
    if session.kind != WorkKind.EVALUATE or base is None:
        return [session.pk]
    return GlobalModel.objects.filter(digest=base.digest).exclude(origin=Origin.ADOPTED).order_by().values("session")
