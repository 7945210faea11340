"""The catalogue: the workloads that only sites have, as the sites declare them.

The server's own ones are `federation.fl.workloads`; their names win over told ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import groupby

from django.conf import settings
from django.db.models import QuerySet

from federation.fl import workloads
from federation.fl.options import Option
from federation.fl.workloads import WORKLOADS, Workload, declaration
from federation.fl.workloads.declaration import Declaration
from federation.lifecycle import WorkKind
from federation.models import ServedWorkload


@dataclass(frozen=True, slots=True)
class Holder:
    """An enabled client that has a workload. kinds: of work that it does with it."""

    client_id: int
    name: str
    last_seen: datetime | None
    digest: str
    num_examples: int | None
    kinds: tuple[str, ...]
    agrees: bool  # whether it declares the same options, measures and training settings as most

    def is_online(self, now: datetime) -> bool:
        return self.last_seen is not None and self.last_seen > now - settings.FL_ONLINE


@dataclass(frozen=True, slots=True)
class _Row:
    """What a client told of a workload, without its declaration."""

    pk: int
    name: str
    version: str
    digest: str
    num_examples: int | None
    shape: str
    kinds: list[str] | None
    client_id: int
    client: str
    last_seen: datetime | None


@dataclass(frozen=True)
class SiteWorkload:
    """A workload that only sites have, in one version. It is declared as most of its clients declare it.

    clients: all that have it, by name. Its digest is that of most of those that agree.
    """

    declared: Declaration
    clients: tuple[Holder, ...]

    @property
    def name(self) -> str:
        return self.declared.name

    @property
    def version(self) -> str:
        return self.declared.version

    @property
    def title(self) -> str:
        return self.declared.title or self.name

    @property
    def summary(self) -> str:
        return self.declared.summary

    @property
    def options(self) -> tuple[Option, ...]:
        return self.declared.options

    @cached_property
    def digests(self) -> Mapping[str, Sequence[Holder]]:
        """Who has which source; that of most clients first."""
        found: dict[str, list[Holder]] = {}
        for one in self.clients:
            found.setdefault(one.digest, []).append(one)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    @property
    def others(self) -> list[Holder]:
        """Those that declare it otherwise than most do."""
        return [one for one in self.clients if not one.agrees]

    def can(self, kind: str) -> list[Holder]:
        """Those that do a kind of work with it."""
        return [one for one in self.clients if kind in one.kinds]

    @property
    def can_begin(self) -> bool:
        """Whether some client can make its version 0."""
        return bool(self.can(WorkKind.INITIALISE))


def of_sites(besides: Collection[str] | None = None) -> list[SiteWorkload]:
    """All that only sites have, by name and version: each is told by at least one enabled client.

    besides: what the server has, for whoever lists that as well: it may get a workload between two looks.
    """
    return _grouped(_declared().exclude(name__in=list(WORKLOADS if besides is None else besides)))


def of_server(workload: Workload) -> tuple[Holder, ...]:
    """The enabled clients that told that they have a workload of the server. agrees: they train the same."""
    alike = workloads.alike(workload.name, workload.digest())
    rows = _rows(_told().filter(name=workload.name), kinds="client__kinds")
    return tuple(_holder(row, not row.digest or row.digest in alike) for row in rows)


def called(names: Collection[str]) -> dict[str, list[SiteWorkload]]:
    """The versions of those of some names that only sites have. Two queries for all."""
    found: dict[str, list[SiteWorkload]] = {}
    for one in _grouped(_declared().filter(name__in=[name for name in names if name not in WORKLOADS])):
        found.setdefault(one.name, []).append(one)
    return found


def versions(name: str) -> list[SiteWorkload]:
    """The versions of one of them. Empty if no site has it, or the server has it itself."""
    return called([name]).get(name, [])


def usual(versions: Iterable[SiteWorkload]) -> SiteWorkload | None:
    """The version that most clients have; of as many the last one by its name. None if there is none."""
    return max(versions, key=lambda one: (len(one.clients), one.version), default=None)


def find(name: str, version: str | None = None) -> SiteWorkload | None:
    """One version of a workload that only sites have. version: None for the usual one."""
    known = versions(name)
    return usual(known) if version is None else next((one for one in known if one.version == version), None)


def _told() -> QuerySet[ServedWorkload]:
    return ServedWorkload.objects.filter(client__enabled=True, client__removed_at=None)


def _declared() -> QuerySet[ServedWorkload]:
    return _told().filter(declaration__isnull=False)


def _rows(told: QuerySet[ServedWorkload], kinds: str = "declaration__kinds") -> list[_Row]:
    about = ("pk", "name", "version", "digest", "num_examples", "shape", kinds)
    rows = told.order_by("name", "version", "client__name")
    return [_Row(*row) for row in rows.values_list(*about, "client_id", "client__name", "client__last_seen")]


def _grouped(told: QuerySet[ServedWorkload]) -> list[SiteWorkload]:
    """Two queries for any number of clients: a declaration is read of one client of each workload alone."""
    groups = [list(group) for _, group in groupby(_rows(told), key=lambda row: (row.name, row.version))]
    chosen = {_usual(rows).pk: rows for rows in groups}
    read = dict(ServedWorkload.objects.filter(pk__in=chosen).values_list("pk", "declaration"))
    found = [(declaration.kept(read.get(pk)), rows, _usual(rows).shape) for pk, rows in chosen.items()]
    return [
        SiteWorkload(declared, tuple(_holder(row, row.shape == shape) for row in rows))
        for declared, rows, shape in found
        if declared
    ]


def _usual(rows: Sequence[_Row]) -> _Row:
    """Of one name and version: what most clients declare, with the source that most of those have.

    Of as many it is the first client's, by name.
    """
    shape = Counter(row.shape for row in rows).most_common(1)[0][0]
    digest = Counter(row.digest for row in rows if row.shape == shape).most_common(1)[0][0]
    return next(row for row in rows if (row.shape, row.digest) == (shape, digest))


def _holder(row: _Row, agrees: bool) -> Holder:
    kinds = tuple(row.kinds or ())
    return Holder(row.client_id, row.client, row.last_seen, row.digest, row.num_examples, kinds, agrees)
