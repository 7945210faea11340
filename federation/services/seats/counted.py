"""Which update of a client counted last in a session: what a client goes by that keeps something of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db.models import OuterRef, Q, Subquery

from federation.lifecycle import Origin, WorkKind
from federation.models import Client, GlobalModel, Participation, Round
from federation.services.models import lineage


def last(round_: Round, clients: Sequence[Client]) -> Mapping[int, int]:
    """The seat whose update counted last, by client, as a round gives new seats. One query; empty for version 0.

    A session that continues another one takes those from there, until it has some of its own. A session that only
    measures a model has no updates. There it is the last one in a session that made this model.
    Each client's newest seats are looked at first: a session may have thousands of rounds.
    """
    if round_.kind == WorkKind.INITIALISE:
        return {}
    own = Participation.objects.filter(lineage.COUNTED, _where(round_), client=OuterRef("pk"))
    newest = Subquery(own.order_by("-pk").values("pk")[:1])
    rows = Client.objects.filter(pk__in=[client.pk for client in clients]).order_by().annotate(last=newest)
    return {client: last for client, last in rows.values_list("pk", "last") if last is not None}


def _where(round_: Round) -> Q:
    """The seats among which updates are looked for."""
    session, base = round_.session, round_.base_model
    if session.kind != WorkKind.EVALUATE or base is None:
        return lineage.updates_of(session)
    made = GlobalModel.objects.filter(digest=base.digest).exclude(origin=Origin.ADOPTED)
    return Q(round__session__in=made.order_by().values("session"), round__kind=WorkKind.TRAIN)
