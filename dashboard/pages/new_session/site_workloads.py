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


def offers() -> dict[str, Offer]:
    """All of them, by the value that the form has for each."""
    known = catalogue.of_sites()
    sites = Client.objects.enrolled().filter(enabled=True).count() if known else 0
    return {offer.name: offer for one in known for offer in (Offer(one, sites),)}


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
