"""What agents say of their machines and data, and what changed in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from django.db import transaction

from federation.fl import workloads
from federation.fl.workloads.declaration import Declaration
from federation.models import Client, ServerEvent
from federation.services import info as infos
from federation.services.clients import catalogues
from federation.services.clients.noting import note
from federation.services.info import Info

log = logging.getLogger(__name__)


DATA = ("label_histogram", "data_fingerprint")  # beside num_examples, what of an agent's info is of its data


MOST_CHANGES = 20  # workloads that are named


class Change(TypedDict, total=False):
    """Something that an agent told otherwise before."""

    what: str  # num_examples (with before and after), data (as many, but others) or workload (with its name)
    name: str
    before: int
    after: int


@transaction.atomic
def tell(client: Client, info: Mapping[str, Any], *, now: datetime) -> list[Change]:
    """Keep what an agent says of its machine and data. Logs and returns what of its data or workloads changed.

    Raises Invalid for a catalogue that cannot be used; all that was told before stays.
    """
    told, catalogue = understood(client.name, info)
    changes = _changes(infos.of(client.info), told)
    client.info, client.num_examples = infos.kept(told), told.num_examples
    client.kinds, client.understands = told.kinds, told.understands
    fields = ["info", "num_examples", "kinds", "understands"]
    if changes:
        client.changes, client.changed_at = changes, now
        fields += ["changes", "changed_at"]
        note(client, ServerEvent.Kind.CLIENT_CHANGED, now=now, changes=changes)
    client.save(update_fields=fields)
    catalogues.keep(client, told, catalogue)
    return changes


def understood(name: str, info: Mapping[str, Any]) -> tuple[Info, tuple[Declaration, ...]]:
    """The valid members of an agent's info, and its catalogue, of which the info keeps the digests.

    The log names the other members; they are no reason to refuse an agent. A catalogue is one: raises Invalid.
    """
    catalogue = catalogues.read(info.get(catalogues.MEMBER))
    digests = {entry.name: entry.digest for entry in catalogue}
    told, wrong = infos.checked({**info, catalogues.MEMBER: digests or None})
    if wrong:
        log.warning("%s: left out of its info, because their values are invalid: %s", name, ", ".join(wrong))
    return told, catalogue


def _changes(before: Info, after: Info) -> list[Change]:
    """What both tell of and tell differently. The other members are of the machine."""
    found = []
    had, has = before.num_examples, after.num_examples
    if had is not None and has is not None and had != has:
        found.append(Change(what="num_examples", before=had, after=has))
    elif any(_differ(getattr(before, name), getattr(after, name)) for name in DATA):
        found.append(Change(what="data"))
    old, new = _sources(before), _sources(after)
    names = sorted(name for name in old.keys() & new.keys() if new[name] not in workloads.alike(name, old[name]))
    found += [Change(what="workload", name=name) for name in names[:MOST_CHANGES]]
    return found


def _sources(told: Info) -> dict[str, str]:
    """The digest of each workload that it has."""
    return {**(told.catalogue or {}), **(told.workloads or {})}


def _differ(before: object, after: object) -> bool:
    """Whether both were reported and differ."""
    return bool(before and after and before != after)
