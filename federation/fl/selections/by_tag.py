"""The same number of clients from each group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from federation.fl import sampling
from federation.fl.options import Option
from federation.fl.selections.selection import Candidate, Chosen, Draw, Selection, Why


@dataclass(frozen=True, slots=True)
class ByTag(Selection):
    """Stratified by the clients' tags: the groups give one client each, in turn, until there are enough.

    A client with several of the tags belongs to the first of them in the alphabet; clients without a tag are a group
    of their own. Which group begins and who is drawn within it is drawn anew for each round.
    """

    tags: str = ""

    name: ClassVar[str] = "by_tag"
    title: ClassVar[str] = "By tag"
    summary: ClassVar[str] = "As many from each group of clients, so that no round lacks a region or a kind of site."
    options: ClassVar[tuple[Option, ...]] = (
        Option("tags", str, "", label="Tags of the groups", help="With commas between them. Empty: every tag."),
    )
    reads: ClassVar[frozenset[str]] = frozenset({"tags"})

    def pick(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Chosen]:
        groups: dict[str, list[str]] = {}
        for one in candidates:
            groups.setdefault(self._group(one), []).append(one.name)
        order = _shuffled(sorted(groups), "groups", draw)
        waiting = {tag: _shuffled(sorted(groups[tag]), f"group {tag}", draw) for tag in order}
        dealt = [
            Chosen(waiting[tag][turn], Why.TAG, {"tag": tag})
            for turn in range(max(map(len, waiting.values()), default=0))
            for tag in order
            if turn < len(waiting[tag])
        ]
        return dealt[:count]

    def _group(self, one: Candidate) -> str:
        meant = {tag for part in self.tags.split(",") if (tag := part.strip())}
        return min((tag for tag in one.tags if not meant or tag in meant), default="")


def _shuffled(names: Sequence[str], what: str, draw: Draw) -> list[str]:
    order = sampling.generator(what, draw.seed, draw.number).permutation(len(names))
    return [names[index] for index in order]
