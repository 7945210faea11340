"""Which update of a client counted last in a session: what a client goes by that keeps something of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db.models import Max, Q

from federation.lifecycle import Outcome, SeatStatus, WorkKind
from federation.models import Client, Participation, Round

# A late update counts once the round that took it has made its model.
_COUNTED = Q(status=SeatStatus.AGGREGATED) | Q(status=SeatStatus.LATE, counted_in__outcome=Outcome.MODEL)


def last(round_: Round, clients: Sequence[Client]) -> Mapping[int, int]:
    """The seat whose update counted last, by client, as a round gives new seats. One query; empty for other kinds."""
    if round_.kind != WorkKind.TRAIN:
        return {}
    rows = Participation.objects.filter(
        _COUNTED, round__session=round_.session_id, round__kind=WorkKind.TRAIN, client__in=clients
    )
    return dict(rows.order_by().values_list("client_id").annotate(last=Max("pk")))
