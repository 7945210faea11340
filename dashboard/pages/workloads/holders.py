"""Which clients have a workload: how many, which versions, and whether these train the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, FloatField, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Cast

from dashboard.kit import client_states, formats
from dashboard.kit.client_states import Place
from dashboard.pages.workloads.catalogue import Listed
from federation.fl import workloads
from federation.models import Client, ServedWorkload

MOST_VARIANTS = 12  # of one workload that are told apart
MOST_COUNTED = 2000  # rows of all workloads of a page
EXAMPLES = Sum(Cast("num_examples", FloatField()))  # whole numbers could be too large together


@dataclass(frozen=True, slots=True)
class Variant:
    """What some clients have under one name. digest: empty if they did not tell it.

    is_servers: it is what the server itself has. differs: the server's own code trains differently.
    """

    version: str
    digest: str
    clients: int
    online: int
    examples: float | None
    is_servers: bool = False
    differs: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """Who has one workload. silent: clients that told of no workload at all, who are taken to have the server's.

    silent_online: those of them that are online.
    """

    variants: Sequence[Variant]
    silent: int = 0
    silent_online: int = 0

    @property
    def clients(self) -> int:
        """Those that told it, and can take part with it."""
        return sum(one.clients for one in self.variants if not one.differs)

    @property
    def online(self) -> int:
        return sum(one.online for one in self.variants if not one.differs)

    @property
    def everybody(self) -> int:
        """Those that can take part with it, whether they told it or nothing at all."""
        return self.clients + self.silent

    @property
    def everybody_online(self) -> int:
        return self.online + self.silent_online

    @property
    def differing(self) -> int:
        """Those whose code trains differently from the server's."""
        return sum(one.clients for one in self.variants if one.differs)

    @property
    def has_servers(self) -> bool:
        """Whether some client has exactly what the server has."""
        return any(one.is_servers for one in self.variants)

    @property
    def versions(self) -> str:
        """'1.2', or '1.2 and 1.3'; empty if nobody told one."""
        return formats.listed(list(dict.fromkeys(one.version for one in self.variants if one.version)))


@dataclass(frozen=True, slots=True)
class Holder:
    """A client that told that it has a workload."""

    place: Place
    told: ServedWorkload
    differs: bool
    kinds: Sequence[str]

    @property
    def does(self) -> str:
        """'trains and evaluates'."""
        return formats.listed([VERBS[kind] for kind in VERBS if kind in self.kinds])


VERBS = {"train": "trains", "evaluate": "evaluates", "initialise": "initialises"}


def of(listed: Iterable[Listed], *, now: datetime) -> dict[str, Holding]:
    """By the name of the workload: two queries for all."""
    by_name = {one.name: one for one in listed}
    variants: defaultdict[str, list[Variant]] = defaultdict(list)
    for row in _counted(by_name, now):
        one = by_name[row["name"]]
        variants[one.name].append(
            Variant(
                row["version"] or (one.version if row["digest"] == one.digest else ""),
                row["digest"],
                row["clients"],
                row["online"],
                row["examples"],
                bool(one.digest) and row["digest"] == one.digest,
                _differs(one, row["digest"]),
            )
        )
    silent = _silent(now)
    return {name: Holding(variants[name], *(silent if one.digest else ())) for name, one in by_name.items()}


def _counted(names: Collection[str], now: datetime) -> Iterable[Mapping[str, Any]]:
    online = Q(client__last_seen__gt=_recently(now))
    rows = _rows().filter(name__in=names).order_by().values("name", "version", "digest")
    counted = rows.annotate(clients=Count("pk"), online=Count("pk", filter=online), examples=EXAMPLES)
    return counted.order_by("name", "-clients", "version", "digest")[:MOST_COUNTED]


def _rows() -> QuerySet[ServedWorkload]:
    """Of clients that may be asked. One that tells nothing but that it has no example does not serve the workload."""
    rows = ServedWorkload.objects.filter(client__removed_at=None, client__enabled=True)
    return rows.exclude(digest="", num_examples=0, declaration__isnull=True)


def _silent(now: datetime) -> tuple[int, int]:
    """How many told of no workload at all, and how many of them are online."""
    told = ServedWorkload.objects.filter(client=OuterRef("pk"))
    rows = Client.objects.enrolled().filter(~Exists(told), enabled=True).order_by()
    counted = rows.aggregate(clients=Count("pk"), online=Count("pk", filter=Q(last_seen__gt=_recently(now))))
    return counted["clients"], counted["online"]


def _recently(now: datetime) -> datetime:
    """Who was seen since then is online."""
    since: datetime = now - settings.FL_ONLINE
    return since


def _differs(one: Listed, digest: str) -> bool:
    return bool(one.digest and digest and digest not in workloads.alike(one.name, one.digest))


def told(one: Listed) -> QuerySet[ServedWorkload]:
    """What each client told of a workload, in the order in which they joined."""
    return _rows().filter(name=one.name).select_related("client").order_by("client__ordinal")


def described(one: Listed, rows: Sequence[ServedWorkload], *, now: datetime) -> list[Holder]:
    """Some clients with their states, in one query for all."""
    places = client_states.places([row.client for row in rows], now=now)
    return [Holder(place, row, _differs(one, row.digest), _kinds(row)) for place, row in zip(places, rows, strict=True)]


def _kinds(row: ServedWorkload) -> Sequence[str]:
    """What a client does with it: what its catalogue says, or what its agent does with every workload."""
    of_it = row.declaration.get("kinds") if isinstance(row.declaration, dict) else None
    found = of_it if isinstance(of_it, list) else row.client.kinds
    return found if isinstance(found, list) else ()
