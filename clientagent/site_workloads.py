"""The workloads that this site has beside the built-in ones: of installed packages, and of the folder --workloads.

What their code is called and which source it has is known before any of it runs (`claims`), so that the policy decides
first. Packages are loaded once. Files are loaded again when they change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clientagent import policy
from clientagent.errors import Misconfigured
from federation.fl.workloads import WORKLOADS, Workload, claimed, declaration, foreign
from federation.fl.workloads.claimed import Claim
from federation.fl.workloads.declaration import MOST_ENTRIES
from federation.fl.workloads.foreign import Loaded, Place, Unusable

Allows = Callable[[str, str], bool]
"""allows(name, digest): whether code may run that claims this name and has this source."""
Say = Callable[[str], None]

_loaded: dict[str, Workload] = {}


def claims(folder: Path | None) -> list[Claim]:
    """What there is. No code runs; what cannot be read is left out. Raises Misconfigured for the folder."""
    try:
        places = foreign.places(folder)
    except OSError as error:
        raise Misconfigured(f"--workloads {str(folder)!r} cannot be read: {error.strerror}.") from error
    return _claims(places, lambda sentence: None)


def load(folder: Path | None, say: Say | None = None, allows: Allows = lambda name, digest: True) -> None:
    """Import what is allowed, so that it is known by name. What cannot be used is said and left out.

    say: default: a line on standard error. Raises Misconfigured if the folder cannot be read.
    """
    global _site
    site = Site(folder, allows)
    try:
        site.load(say or _say_at_start)
    except OSError as error:
        raise Misconfigured(f"--workloads {str(folder)!r} cannot be read: {error.strerror}.") from error
    _site = site
    WORKLOADS.plug(_known)


def look(say: Say) -> bool:
    """Load the files of the folder again if one changed, came or went. True if another workload is served since."""
    return _site is not None and _site.look(say)


class Site:
    """A folder and the installed packages, as this process has loaded them."""

    def __init__(self, folder: Path | None, allows: Allows) -> None:
        self._folder, self._allows = folder, allows
        self._packages: list[Loaded] = []
        self._files: dict[Place, Loaded] = {}
        self._mark: list[tuple[str, int, int, int]] = []
        self._is_away = False

    def load(self, say: Say) -> None:
        """Raises OSError if the folder cannot be read."""
        self._mark = _mark(self._folder)
        self._packages = [
            one for claim in self._allowed(_claims(foreign.installed(), say)) if (one := _loaded_from(claim, say))
        ]
        self._load_files(say)

    def look(self, say: Say) -> bool:
        before = _digests()
        try:
            mark = _mark(self._folder)
            if mark != self._mark:
                self._mark = mark
                for claim in self._load_files(say):
                    say(f"{claim.title} is left out: {policy.refusal(claim.name, claim.source)}")
        except OSError as error:  # a share that is away for a moment
            if not self._is_away:
                say(f"--workloads {str(self._folder)!r} cannot be read: {error.strerror}. What was loaded stays.")
            self._is_away = True
        else:
            self._is_away = False
        return _digests() != before

    def _load_files(self, say: Say) -> list[Claim]:
        """Load what changed, and know what there is now. Returns what is not allowed."""
        found = _claims(foreign.files_in(self._folder), say)
        allowed = self._allowed(found)
        files: dict[Place, Loaded] = {}
        for claim in allowed:
            known = self._files.get(claim.place)
            same = known is not None and known.workload.digest() == claim.source
            if loaded := known if same else _loaded_from(claim, say):
                files[claim.place] = loaded
        self._files = files
        self._know(say)
        return [claim for claim in found if claim not in allowed]

    def _allowed(self, found: list[Claim]) -> list[Claim]:
        return [claim for claim in found if self._allows(claim.name, claim.source)]

    def _know(self, say: Say) -> None:
        mine = [*self._packages, *self._files.values()]
        named = foreign.by_name(mine, WORKLOADS.built_in, lambda error: say(str(error)))
        for name in list(named)[MOST_ENTRIES:]:
            say(f"{name}: a site has at most {MOST_ENTRIES} workloads of its own.")
            del named[name]
        _loaded.clear()
        _loaded.update(named)


_site: Site | None = None


def loaded() -> list[Workload]:
    """Those that can be used."""
    return list(_loaded.values())


def catalogue(kinds: Callable[[Workload], list[str]], examples: Mapping[str, int]) -> list[dict[str, Any]]:
    """What the server is told of those that this site serves.

    kinds: what the site does with one. examples: how many it has, if counted.
    """
    return [
        declaration.of(workload, num_examples=examples.get(name), kinds=kinds(workload)).to_json()
        for name, workload in _loaded.items()
        if not policy.refusal(name, workload.digest())
    ]


def _known() -> Mapping[str, Workload]:
    return _loaded


def _digests() -> dict[str, str]:
    return {name: workload.digest() for name, workload in _loaded.items()}


def _say_at_start(sentence: str) -> None:
    print(f"run.py: left out: {sentence}", file=sys.stderr)


def _claims(places: list[Place], say: Say) -> list[Claim]:
    """One for each place whose source can be read, and which does not claim one of our names."""
    found = []
    for place in places:
        try:
            claim = claimed.of(place)
        except Unusable as error:
            say(str(error))
            continue
        taken = [sentence for _, sentence in foreign.clashes([(claim.name, place)], WORKLOADS.built_in)]
        for sentence in taken:
            say(sentence)
        found += [] if taken else [claim]
    return found


def _loaded_from(claim: Claim, say: Say) -> Loaded | None:
    try:
        return foreign.load(claim.place, only=claim.source)
    except Unusable as error:
        say(str(error))
        return None


def _mark(folder: Path | None) -> list[tuple[str, int, int, int]]:
    """Another one when a file was changed, added or removed. Files are not read. Raises OSError."""
    found = [(place.where, Path(place.where).stat()) for place in foreign.files_in(folder)]
    return [(where, stat.st_size, stat.st_mtime_ns, stat.st_ino) for where, stat in found]
