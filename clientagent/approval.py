"""The site's owner is asked about workloads that are not built in and that nobody has allowed yet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from clientagent import policy
from clientagent.policy import Allowance, Policy

Ask = Callable[[str], bool]


class Named(Protocol):
    """A workload, or what is known of one before its code runs."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    def digest(self) -> str: ...


def decide(folder: Path, found: Policy, workloads: Iterable[Named], ask: Ask | None) -> Policy:
    """The policy with what the owner allows now, which is kept. What stays refused is said, with the flag that helps.

    ask: whether the owner agrees; None: there is no terminal to ask at.
    """
    for workload in workloads:
        name, digest, title = workload.name, workload.digest(), workload.title
        if found.allows(name, digest):
            continue
        if ask is not None and ask(f"{title or name} ({name}), digest {digest}"):
            found = policy.keep(folder, found, [Allowance(name, digest)])
        else:
            print(f"run.py: left out: {title or name}: {found.refusal(name, digest)}", file=sys.stderr)
    return found


def at_terminal() -> Ask | None:
    """Asks at this terminal, if there is one."""
    return _ask if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() else None


def _ask(what: str) -> bool:
    """Only a clear yes is one."""
    print(f"This workload is not built in: {what}", file=sys.stderr)
    print("Serve it, as long as its source has this digest? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
