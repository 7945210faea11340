"""The workloads that only sites have, as the form offers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote, unquote

from dashboard.kit import formats
from federation import catalogue, phrases
from federation.catalogue import Holder, SiteWorkload
from federation.fl.options import Option
from federation.models import Client
from federation.session_settings import TRAIN

MOST_SOURCES = 3  # that are named
MOST_FIELDS = 400  # of all together: options, measures, and a line for each
AT = "@"  # between name and version; a name has no such sign


@dataclass(frozen=True, slots=True)
class Offer:
    """One of them. sites: how many enabled clients there are at all."""

    workload: SiteWorkload
    sites: int

    @property
    def name(self) -> str:
        return key(self.workload.name, self.workload.version)

    @property
    def title(self) -> str:
        said = " ".join(filter(None, [self.workload.title, self.workload.version]))
        return f"{said} ({self._share})"

    @property
    def summary(self) -> str:
        return self.workload.summary

    @property
    def options(self) -> tuple[Option, ...]:
        return self.workload.options

    @property
    def train_defaults(self) -> Mapping[str, float]:
        return {option.name: option.default for option in TRAIN} | dict(self.workload.declared.train_defaults)

    @property
    def notes(self) -> list[str]:
        """Who has it, and what is to know before one launches it."""
        clients, others = self.workload.clients, self.workload.others
        found = [f"Told by {named(clients)}, {self._share}."]
        if others:
            declare = "declares" if len(others) == 1 else "declare"
            found.append(f"{named(others)} {declare} it otherwise; it is offered as most sites declare it.")
        found.append(self._sources)
        if not self.workload.can_begin:
            found.append("No site can make its first model: begin with a file of your own, or with another session's.")
        return found

    @property
    def _sources(self) -> str:
        """Which digests there are, and where."""
        known = self.workload.digests
        if len(known) == 1:
            return f"All have the same source, {next(iter(known))[:8]}."
        told = "; ".join(f"{digest[:8]} at {named(having)}" for digest, having in islice(known.items(), MOST_SOURCES))
        more = f"; and {len(known) - MOST_SOURCES} more" if len(known) > MOST_SOURCES else ""
        return f"Their sources differ: {told}{more}."

    @property
    def _share(self) -> str:
        return f"{len(self.workload.clients)} of {formats.count(self.sites, 'site')}"


@dataclass(frozen=True, slots=True)
class Offers:
    """What a form offers, by the value that it has for each. left_out: how many more the sites have."""

    by_value: Mapping[str, Offer]
    left_out: int = 0


def offers(chosen: str = "") -> Offers:
    """Those that most sites have, as many as a form can bear: one site may tell thousands of options.

    chosen: what the form holds already, which is always among them.
    """
    known = catalogue.of_sites()
    sites = Client.objects.enrolled().filter(enabled=True).count() if known else 0
    found = {offer.name: offer for one in known for offer in (Offer(one, sites),)}
    kept = _bearable(found) | {chosen}
    return Offers({name: offer for name, offer in found.items() if name in kept}, len(found.keys() - kept))


def _bearable(found: Mapping[str, Offer]) -> set[str]:
    kept, room = set(), MOST_FIELDS
    for offer in sorted(found.values(), key=lambda one: -len(one.workload.clients)):
        needed = 1 + len(offer.options) + len(offer.workload.declared.measures)
        if needed <= room:
            kept.add(offer.name)
            room -= needed
    return kept


def named(clients: Sequence[Holder]) -> str:
    """The first few by name, and how many more."""
    return phrases.listed([one.name for one in clients])


def key(name: str, version: str | None) -> str:
    """What stands for a workload in the form."""
    return f"{name}{AT}{quote(version, safe='')}" if version else name


def pair(text: str) -> tuple[str, str | None]:
    """Name and version; None where the text has none."""
    name, at, version = text.partition(AT)
    return name, unquote(version) if at else None
