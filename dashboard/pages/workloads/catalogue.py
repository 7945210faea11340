"""The workloads that a session can use: what is declared of each, and where it comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Max, QuerySet

from dashboard.kit.statuses import Word
from federation import catalogue, foreign
from federation.fl.workloads import WORKLOADS, declaration
from federation.fl.workloads.declaration import Declaration, DeclarationError
from federation.fl.workloads.foreign import Place
from federation.models import ServedWorkload

MOST_NAMED = 1000  # workloads that only sites have


class Origin(StrEnum):
    """Who has the code."""

    OURS = "ours"
    SERVER = "server"  # from a package or a file
    SITES = "sites"


ORIGINS = {
    Origin.OURS: Word("Built in", "idle", "check-circle"),
    Origin.SERVER: Word("On this server", "ok", "server"),
    Origin.SITES: Word("Only at sites", "run", "clients"),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One workload. declared: None if what the sites told of it cannot be read; `fault` then says why.

    digest: of what the server has; empty if only sites have it. place: the server's package or file, if it is foreign.
    is_offered: whether a session can use it.
    """

    name: str
    origin: Origin
    declared: Declaration | None
    digest: str = ""
    place: Place | None = None
    fault: str = ""
    is_offered: bool = True

    @property
    def title(self) -> str:
        return (self.declared.title if self.declared else "") or self.name

    @property
    def version(self) -> str:
        return self.declared.version if self.declared else ""

    @property
    def summary(self) -> str:
        return self.declared.summary if self.declared else ""

    @property
    def word(self) -> Word:
        return ORIGINS[self.origin]


def _here(name: str) -> Listed | None:
    """One that the server has, as it is now: those that are not built in may change while it runs."""
    workload = WORKLOADS.get(name)
    if workload is None:
        return None
    place = foreign.place_of(name)
    origin = Origin.SERVER if place else Origin.OURS
    try:
        return Listed(name, origin, declaration.of(workload), workload.digest(), place)
    except DeclarationError as error:
        return Listed(name, origin, None, workload.digest(), place, str(error))


def names(query: str = "") -> list[str]:
    """The names that contain some text: the server's own workloads, then those that only sites have."""
    known = WORKLOADS.copy()
    told = _told(known).filter(name__icontains=query).order_by("name").values_list("name", flat=True).distinct()
    own = [name for name, one in known.items() if query.lower() in f"{name} {one.title}".lower()]
    return [*own, *told[:MOST_NAMED]]


def of(some: Collection[str]) -> list[Listed]:
    """Those of some names that there are, in their order; three queries at most for all that only sites have."""
    here = {name: found for name in some if (found := _here(name))}
    told = _at_sites([name for name in some if name not in here])
    return [found for name in some if (found := here.get(name) or told.get(name))]


def _told(besides: Iterable[str] = WORKLOADS) -> QuerySet[ServedWorkload]:
    """Workloads that only sites have, as clients told them; also those of disabled clients."""
    rows = ServedWorkload.objects.filter(client__removed_at=None, declaration__isnull=False)
    return rows.exclude(name__in=list(besides))


def _at_sites(some: Collection[str]) -> dict[str, Listed]:
    """Each as the form offers it: in its usual version, as most sites declare that."""
    if not some:
        return {}
    found: dict[str, Listed] = {}
    for name, versions in catalogue.called(some).items():
        if one := catalogue.usual(versions):
            found[name] = Listed(name, Origin.SITES, one.declared)
    rest = [name for name in some if name not in found]
    return found | {row.name: _read(row) for row in _newest(rest)} if rest else found


def _newest(some: Collection[str]) -> QuerySet[ServedWorkload]:
    """Of each name what was told last."""
    newest = _told().filter(name__in=some).order_by().values("name").annotate(newest=Max("pk")).values("newest")
    return ServedWorkload.objects.filter(pk__in=newest)


def _read(row: ServedWorkload) -> Listed:
    """One that no session can use: what is stored of it cannot be read, or the client is disabled."""
    try:
        told = declaration.from_json(row.declaration)
    except DeclarationError as error:
        return Listed(row.name, Origin.SITES, None, fault=str(error), is_offered=False)
    return Listed(row.name, Origin.SITES, told, is_offered=False)
