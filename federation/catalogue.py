"""The catalogue: the workloads that only sites have, as the sites declare them.

The server's own ones are `federation.fl.workloads`; their names win over told ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from django.db.models import QuerySet

from federation.fl import workloads
from federation.fl.options import Option
from federation.fl.workloads import WORKLOADS, Workload, declaration
from federation.fl.workloads.declaration import Declaration
from federation.lifecycle import WorkKind
from federation.models import Client, ServedWorkload


@dataclass(frozen=True, slots=True)
class Holder:
    """An enabled client that has a workload. kinds: of work that it does with it."""

    client: Client
    digest: str
    num_examples: int | None
    kinds: tuple[str, ...]
    agrees: bool  # whether it declares the same options, measures and training settings as most


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


def of_sites() -> list[SiteWorkload]:
    """All that only sites have, by name and version: each is told by at least one enabled client."""
    return _grouped(_rows().exclude(name__in=list(WORKLOADS)))


def of_server(workload: Workload) -> tuple[Holder, ...]:
    """The enabled clients that told that they have a workload of the server. agrees: they train the same."""
    alike = workloads.alike(workload.name, workload.digest())
    rows = ServedWorkload.objects.filter(name=workload.name, client__enabled=True, client__removed_at=None)
    return tuple(
        Holder(row.client, row.digest, row.num_examples, tuple(row.client.kinds), not row.digest or row.digest in alike)
        for row in rows.select_related("client").order_by("client__name")
    )


def versions(name: str) -> list[SiteWorkload]:
    """The versions of one of them. Empty if no site has it, or the server has it itself."""
    return [] if name in WORKLOADS else _grouped(_rows().filter(name=name))


def find(name: str, version: str | None = None) -> SiteWorkload | None:
    """One version of a workload that only sites have. version: None for the one that most clients have."""
    known = versions(name)
    if version is not None:
        return next((one for one in known if one.version == version), None)
    return max(known, key=lambda one: (len(one.clients), one.version), default=None)


def _rows() -> QuerySet[ServedWorkload]:
    rows = ServedWorkload.objects.filter(declaration__isnull=False, client__enabled=True, client__removed_at=None)
    about = ("client__name", "client__enabled", "client__last_seen")
    rows = rows.select_related("client").only("name", "version", "digest", "num_examples", "declaration", *about)
    return rows.order_by("name", "version", "client__name")


def _grouped(rows: Iterable[ServedWorkload]) -> list[SiteWorkload]:
    groups = groupby(rows, key=lambda row: (row.name, row.version))
    return [found for _, group in groups if (found := _together(list(group)))]


def _together(rows: Sequence[ServedWorkload]) -> SiteWorkload | None:
    """rows: of one name and version."""
    said = [_same(row.declaration) for row in rows]
    usual = Counter(said).most_common(1)[0][0]  # of as many the first client's
    agreeing = [row for row, one in zip(rows, said, strict=True) if one == usual]
    digest = Counter(row.digest for row in agreeing).most_common(1)[0][0]
    chosen = next(row for row in agreeing if row.digest == digest)
    declared = declaration.kept(chosen.declaration)
    if declared is None:
        return None
    clients = tuple(_holder(row, one == usual) for row, one in zip(rows, said, strict=True))
    return SiteWorkload(declared, clients)


def _same(told: Any) -> str:
    """What a session takes from a declaration, as a text to compare."""
    about = ("options", "measures", "train_defaults")
    return json.dumps({name: told.get(name) for name in about} if isinstance(told, dict) else {}, sort_keys=True)


def _holder(row: ServedWorkload, agrees: bool) -> Holder:
    told = row.declaration if isinstance(row.declaration, dict) else {}
    return Holder(row.client, row.digest, row.num_examples, tuple(told.get("kinds") or ()), agrees)
