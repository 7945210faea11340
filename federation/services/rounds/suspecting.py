"""Notes on seats whose updates are odd beside the others' of their round, and who is suspected therefore."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.db.models import Max

from federation.fl import suspicion
from federation.fl.aggregation import Aggregated
from federation.models import Participation, Round
from federation.services.seats import flags
from federation.services.seats.flags import Flag


def flag_odd(round_: Round, counted: Sequence[Participation], made: Aggregated) -> list[Participation]:
    """Flag each odd update. Returns the seats of clients that are suspected from now on, and were not before."""
    found = suspicion.odd(made.norms, made.alignments)
    odd = [(seat, one) for seat, one in zip(counted, found, strict=True) if one is not None]
    if not odd:
        return []
    before = _flags_before(round_, {seat.client_id for seat, _ in odd}, counted)
    suspected = []
    for seat, one in odd:
        flag = flags.odd(one, round_.number, before.get(seat.client_id, []))
        seat.flags = [*seat.flags, flag]
        before[seat.client_id] = seat.flags  # of a client that has two updates in this round
        Participation.objects.filter(pk=seat.pk).update(flags=seat.flags)
        if flag["times"] == suspicion.PATIENCE:
            suspected.append(seat)
    return suspected


def _flags_before(round_: Round, clients: Collection[int], counted: Sequence[Participation]) -> dict[int, list[Flag]]:
    """The flags of these clients' last compared updates of the session, by client."""
    compared = Participation.objects.filter(
        round__session=round_.session_id, client__in=clients, alignment__isnull=False
    ).exclude(pk__in=[seat.pk for seat in counted])
    newest = compared.values("client").annotate(newest=Max("pk")).values("newest")
    return dict(Participation.objects.filter(pk__in=newest).values_list("client_id", "flags"))
