"""The workloads that one process knows by name: built-in ones, and those of sources that are plugged in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping

from federation.fl.workloads.workload import Workload

Source = Callable[[], Mapping[str, Workload]]


class Known(MutableMapping[str, Workload]):
    """A source is asked at each look-up, so it must answer at once. A built-in workload wins over one of a source."""

    def __init__(self, built_in: Mapping[str, Workload]) -> None:
        self._built_in = dict(built_in)
        self._sources: list[Source] = []

    def plug(self, source: Source) -> None:
        """Know what this source gives, from now on. An earlier source wins over a later one."""
        if source not in self._sources:
            self._sources.append(source)

    def unplug(self, source: Source) -> None:
        self._sources.remove(source)

    @property
    def built_in(self) -> Mapping[str, Workload]:
        """Those of no source, which none of its names can take."""
        return self._built_in

    def copy(self) -> dict[str, Workload]:
        """All of one moment. A source may give others at the next look-up."""
        found = dict(self._built_in)
        for source in self._sources:
            given = source()
            found |= {name: given[name] for name in sorted(given.keys() - found.keys())}
        return found

    def __getitem__(self, name: str) -> Workload:
        if name in self._built_in:
            return self._built_in[name]
        for source in self._sources:
            if name in (given := source()):
                return given[name]
        raise KeyError(name)

    def __setitem__(self, name: str, workload: Workload) -> None:
        self._built_in[name] = workload

    def __delitem__(self, name: str) -> None:
        del self._built_in[name]

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(self._built_in)
        for source in self._sources:
            names |= dict.fromkeys(sorted(source()))
        return iter(names)

    def __len__(self) -> int:
        return sum(1 for _ in self)
