"""Which update of a client counted last in a session: what a client goes by that keeps something of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db.models import OuterRef, Q, Subquery

from federation.lifecycle import Outcome, SeatStatus, WorkKind
from federation.models import Client, Participation, Round

# A late update counts once the round that took it has made its model.
_COUNTED = Q(status=SeatStatus.AGGREGATED) | Q(status=SeatStatus.LATE, counted_in__outcome=Outcome.MODEL)


def last(round_: Round, clients: Sequence[Client]) -> Mapping[int, int]:
    """The seat whose update counted last, by client, as a round gives new seats. One query; empty for version 0.

    Each client's newest seats are looked at first: a session may have thousands of rounds.
    """
    if round_.kind == WorkKind.INITIALISE:
        return {}
    own = Participation.objects.filter(
        _COUNTED, client=OuterRef("pk"), round__session=round_.session_id, round__kind=WorkKind.TRAIN
    )
    newest = Subquery(own.order_by("-pk").values("pk")[:1])
    rows = Client.objects.filter(pk__in=[client.pk for client in clients]).order_by().annotate(last=newest)
    return {client: last for client, last in rows.values_list("pk", "last") if last is not None}
