"""Which workloads this site serves. Its owner says so by --allow, at the terminal, or in policy.toml itself.

Built-in ones are served as long as none of them is listed; then only those that are. All others must be listed. An
entry with a digest allows that source alone. A script that its owner started needs no entry.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clientagent.errors import Misconfigured

NAME = "policy.toml"
ENTRY = re.compile(r"([a-z][a-z0-9_-]{0,63})(?:@([0-9a-f]{64}))?")
SHAPE = "Write [[allow]] for each workload, with name = and, if you like, digest =."
ALLOWED = "a workload's name, of a-z, 0-9, - and _, or NAME@ and 64 hexadecimal digits in lower case"
HEAD = """# The workloads that this agent serves beside scripts. Built-in ones are served as long as none of them is
# listed here. An entry with a digest allows that source alone. No code of another workload is run. The agent reads
# this file when it starts.
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """digest: empty for every source of this name."""

    name: str
    digest: str = ""

    @property
    def as_toml(self) -> str:
        digest = f'digest = "{self.digest}"\n' if self.digest else ""
        return f'\n[[allow]]\nname = "{self.name}"\n{digest}'


def allowances(text: str) -> tuple[Allowance, ...]:
    """NAME[@DIGEST], several with commas between them. Raises ValueError with what is allowed."""
    found = [ENTRY.fullmatch(part.strip()) for part in text.split(",")]
    if not all(found):
        raise ValueError(f"use {ALLOWED}")
    return tuple(Allowance(one[1], one[2] or "") for one in found if one)


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed. built_in: the names of the product's own workloads."""

    listed: tuple[Allowance, ...] = ()
    built_in: frozenset[str] = frozenset()

    def allows(self, name: str, digest: str) -> bool:
        if name in self.built_in and not any(one.name in self.built_in for one in self.listed):
            return True
        return any(one.name == name and one.digest in ("", digest) for one in self.listed)

    def lets_run(self, name: str, digest: str) -> bool:
        """Whether code from outside may run at all: by the name that it claims, or by its digest alone."""
        own = any(one.digest == digest for one in self.listed)
        return name not in self.built_in and (own or self.allows(name, digest))

    def refusal(self, name: str, digest: str) -> str:
        """Why a workload is not served, as a sentence; empty if it is."""
        if self.allows(name, digest):
            return ""
        if any(one.name == name for one in self.listed):
            return (
                f"This site allows the workload {name!r} with another digest than {digest[:12]}… only. Its owner can "
                f"allow this one with --allow {name}@{digest}."
            )
        return f"This site does not serve the workload {name!r}. Its owner can allow it with --allow {name}."

    def with_more(self, more: Iterable[Allowance]) -> Policy:
        return replace(self, listed=tuple(dict.fromkeys([*self.listed, *more])))


def read(folder: Path, built_in: Collection[str]) -> Policy:
    """The policy of a state folder; without a file the usual one. Raises Misconfigured naming file and entry."""
    path = folder / NAME
    try:
        told = tomllib.loads(_text(path))
    except FileNotFoundError:
        return Policy(built_in=frozenset(built_in))
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise Misconfigured(f"{path} cannot be read: {error}.") from error
    if unknown := sorted(set(told) - {"allow"}):
        raise Misconfigured(f"{path}: {unknown[0]!r} is not known. {SHAPE}")
    given = told.get("allow", [])
    if not isinstance(given, list):
        raise Misconfigured(f"{path}: allow is no list. {SHAPE}")
    return Policy(tuple(_entry(path, n, one) for n, one in enumerate(given, start=1)), frozenset(built_in))


def _text(path: Path) -> str:
    """What its owner wrote; editors of Windows put a mark before it."""
    return path.read_text(encoding="utf-8-sig")


def _entry(path: Path, number: int, given: Any) -> Allowance:
    name, digest = (given.get("name"), given.get("digest", "")) if isinstance(given, dict) else (None, "")
    known = isinstance(given, dict) and set(given) <= {"name", "digest"}
    text = f"{name}@{digest}" if digest else str(name)
    if not known or not isinstance(name, str) or not isinstance(digest, str) or not ENTRY.fullmatch(text):
        raise Misconfigured(
            f"{path}: entry {number} must have a name of a-z, 0-9, _ and -, and may have a digest of 64 hexadecimal "
            "digits in lower case."
        )
    return Allowance(name, digest)


def keep(folder: Path, before: Policy, more: Sequence[Allowance]) -> Policy:
    """Allow more from now on, and write it below what is in the file. Raises Misconfigured if it cannot be written."""
    new = [one for one in dict.fromkeys(more) if one not in before.listed]
    if not new:
        return before
    path = folder / NAME
    temporary = path.with_suffix(".tmp")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = _text(path) if path.exists() else HEAD
        text = (text if text.endswith("\n") else f"{text}\n") + "".join(one.as_toml for one in new)
        tomllib.loads(text)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except tomllib.TOMLDecodeError:  # its owner wrote the list in one line
        raise Misconfigured(f"{path}: nothing can be added to it as it is written. {SHAPE}") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}.") from error
    return before.with_more(new)


# ---- what holds in this process

_enforced: Policy | None = None


@contextlib.contextmanager
def enforced(policy: Policy) -> Iterator[None]:
    """Within the block this process serves what the policy allows, and no other workload. Without one it serves all."""
    global _enforced
    before, _enforced = _enforced, policy
    try:
        yield
    finally:
        _enforced = before


def refusal(name: str, digest: str) -> str:
    """Why this process does not serve a workload, as a sentence; empty if it does."""
    return _enforced.refusal(name, digest) if _enforced else ""
