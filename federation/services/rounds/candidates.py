"""The clients that could take part in a round: who is online, who is free, and who told that it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.db.models import BooleanField, Exists, OuterRef, Q, QuerySet, Subquery, Value

from federation.fl import client_state, staying, workloads
from federation.fl.strategies import STRATEGIES
from federation.fl.workloads import WORKLOADS
from federation.lifecycle import OPEN, SessionStatus, WorkKind
from federation.models import Client, Participation, ServedWorkload, TrainingSession
from federation.work import KINDS


class Why(StrEnum):
    """Why a client is left out of a session's rounds, or asked last."""

    WORKLOAD = "workload"  # it reported another digest of the session's workload
    EXAMPLES = "examples"  # it reported no example for it
    GAVE_UP = "gave_up"  # in an earlier try of this round
    KIND = "kind"  # its agent does not do this kind of work
    LACKS = "lacks"  # it did not tell that it has this workload, which is not built in
    VERSION = "version"  # it has another version of such a workload
    STATE = "state"  # its agent does not keep what the strategy has clients keep
    STAYS = "stays"  # its agent does not keep tensors of its own
    FROZEN = "frozen"  # its agent would train tensors that are frozen
    DIGEST = "digest"  # it has another source of it, and the session asks for equal ones


@dataclass(frozen=True, slots=True)
class LeftOut:
    client: Client
    why: Why


@dataclass(frozen=True, slots=True)
class Told:
    """What a client told of a workload. kinds: of work that it does with it; None if it did not declare it."""

    digest: str
    num_examples: int | None
    version: str = ""
    kinds: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """Who could take part in a round now: of any session, or of one."""

    clients: list[Client]  # enabled and online
    free: list[Client]  # those of them that hold no open seat
    works_for: Mapping[int, int] = field(default_factory=dict)  # the session of each busy client's seat
    told: Mapping[tuple[int, str], Told] = field(default_factory=dict)  # by client and workload, if it can matter
    empty: frozenset[int] = frozenset()  # clients that told that they have no example at all
    listing: frozenset[int] = frozenset()  # clients that told which workloads they have, where that can matter
    working: int = 0  # those that hold a seat of the session
    left_out: Sequence[LeftOut] = ()

    @property
    def online(self) -> int:
        return len(self.clients)

    def of(self, session: TrainingSession, kind: str | None = None) -> Pool:
        """The part of it that a session may ask in its next round. Who works for it already is not in it.

        kind: of work, if that is not the session's own.
        """
        meant = [client for client in self.clients if _is_meant(client, session)]
        others = [client for client in meant if session.pk is None or self.works_for.get(client.pk) != session.pk]
        whys = {client.pk: self._why_not(client, session, kind or session.kind) for client in others}
        able = [client for client in others if whys[client.pk] is None]
        free = {client.pk for client in self.free}
        return Pool(
            able,
            [client for client in able if client.pk in free],
            working=len(meant) - len(others),
            left_out=[LeftOut(client, why) for client in others if (why := whys[client.pk])],
        )

    def _why_not(self, client: Client, session: TrainingSession, kind: str) -> Why | None:
        if STRATEGIES[session.strategy].keeps_at_clients and kind == WorkKind.TRAIN and not _keeps(client):
            return Why.STATE
        if kind == WorkKind.TRAIN and _has_own_models(session) and staying.UNDERSTOOD not in client.understands:
            return Why.STAYS
        if session.frozen and kind == WorkKind.TRAIN and staying.FREEZES not in client.understands:
            return Why.FROZEN
        told = self.told.get((client.pk, session.workload))
        is_empty, lists = client.pk in self.empty, client.pk in self.listing
        return why_not(session, kind, client.kinds, told, is_empty=is_empty, lists=lists)


def _has_own_models(session: TrainingSession) -> bool:
    """Whether its clients have a model of their own, or a part of one."""
    return bool(session.stays) or STRATEGIES[session.strategy].personal


def _keeps(client: Client) -> bool:
    return client_state.UNDERSTOOD in client.understands


def why_not(
    session: TrainingSession, kind: str, kinds: Sequence[str], told: Told | None, *, is_empty: bool, lists: bool
) -> Why | None:
    """What a client told that leaves it out of a kind of work. None if nothing does.

    kinds: those that its agent does. told: of the session's workload. is_empty: it told that it has no example at all.
    lists: it told which workloads it has, so that it has no other one that is not built in.
    """
    if told is None and lists and is_plugged_in(session.workload):
        return Why.LACKS
    why = _why_not_site if session.is_of_sites else _why_not
    none = is_empty if told is None or told.num_examples is None else told.num_examples == 0
    return why(session, kind, kinds, told) or (Why.EXAMPLES if none else None)


def _why_not(session: TrainingSession, kind: str, kinds: Sequence[str], told: Told | None) -> Why | None:
    """Of a workload of the server. One that told nothing is taken to be able to train."""
    if KINDS[kind].is_told and kind not in kinds:
        return Why.KIND
    alike = workloads.alike(session.workload, session.workload_digest, plainly=session.trains_plainly)
    return Why.WORKLOAD if told is not None and told.digest and told.digest not in alike else None


def _why_not_site(session: TrainingSession, kind: str, kinds: Sequence[str], told: Told | None) -> Why | None:
    """Of a workload that only sites have: nobody else can, and name and version decide."""
    if told is None:
        return Why.LACKS
    if told.version != session.workload_version:
        return Why.VERSION
    if kind not in (kinds if told.kinds is None else told.kinds):
        return Why.KIND
    return Why.DIGEST if session.equal_digests and told.digest != session.workload_digest else None


def is_plugged_in(workload: str) -> bool:
    """Whether the server has a workload from a package or a file, so that a client need not have it."""
    return workload in WORKLOADS and workload not in WORKLOADS.built_in


def who_lists(workload: str) -> set[int]:
    """The clients that told which workloads they have, where that can matter."""
    return set(_listing().values_list("client_id", flat=True)) if is_plugged_in(workload) else set()


def _listing() -> QuerySet[ServedWorkload]:
    """What clients told of workloads that they have."""
    return ServedWorkload.objects.exclude(digest="").order_by()


def _is_meant(client: Client, session: TrainingSession) -> bool:
    """Whether a session is for this client: by its tags, and by name where it names some."""
    tags, ids = session.client_tags, session.client_ids
    return (not tags or not set(tags).isdisjoint(client.tags)) and (not ids or client.pk in ids)


def pool(now: datetime, workload: str = "") -> Pool:
    """workload: one that no session at work has, of which it matters, too, what clients told."""
    open_seat = Participation.objects.filter(client=OuterRef("pk"), status__among=OPEN).order_by()
    plugged = [name for name in WORKLOADS if is_plugged_in(name)]
    lists = Exists(_listing().filter(client=OuterRef("pk"))) if plugged else Value(False, BooleanField())
    counted = ServedWorkload.objects.filter(client=OuterRef("pk"), num_examples__isnull=False)
    clients = (
        Client.objects.online(now)
        .only("name", "tags", "kinds", "understands")
        .annotate(
            works_for=Subquery(open_seat.values("round__session_id")[:1]),
            is_empty=Q(num_examples=0) & ~Exists(counted),
            lists=lists,
        )
    )
    busy = {client.pk: client.works_for for client in clients if client.works_for is not None}
    return Pool(
        clients=list(clients),
        free=[client for client in clients if client.pk not in busy],
        works_for=busy,
        told=_told(now, [workload, *plugged]),
        empty=frozenset(client.pk for client in clients if client.is_empty),
        listing=frozenset(client.pk for client in clients if client.lists),
    )


def _told(now: datetime, names: Sequence[str]) -> dict[tuple[int, str], Told]:
    """What clients told that may leave them out of a session at work, or of one with any of these workloads."""
    sessions = TrainingSession.objects.filter(status=SessionStatus.RUNNING, workload=OuterRef("name"))
    other = ~Q(digest="") & Exists(sessions.exclude(workload_digest=OuterRef("digest")))
    of_sites = Exists(sessions.filter(declaration__isnull=False))
    matters = other | of_sites | Q(name__in=names) | Q(num_examples=0) | Q(client__num_examples=0)
    rows = ServedWorkload.objects.filter(matters, client__in=Client.objects.online(now)).order_by()
    told = rows.values_list("client_id", "name", "digest", "num_examples", "version", "declaration__kinds")
    return {(client, name): Told(*about) for client, name, *about in told}
