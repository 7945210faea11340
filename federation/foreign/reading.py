"""Where foreign workloads are, and what a child process says that they declare."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from typing import Any

from django.conf import settings

from federation.fl.workloads import WORKLOADS, foreign
from federation.fl.workloads.declaration import DeclarationError
from federation.fl.workloads.foreign import Place
from federation.foreign.declared import Declared, Problem, State, declared, place_as_json

log = logging.getLogger(__name__)

IMPORT_SECONDS = 60.0  # for one workload
LONGEST_PROBLEM = 500

Answer = Mapping[str, Any]


def places() -> list[Place]:
    """Packages and files, whatever they hold."""
    try:
        return [*_installed(), *foreign.files_in(settings.FL_WORKLOADS)]
    except OSError as error:
        log.warning("the folder FL_WORKLOADS cannot be read: %s", error)
        return list(_installed())


@cache
def _installed() -> tuple[Place, ...]:
    """Looked for once a process: a package is installed or replaced with the server at rest."""
    return tuple(foreign.installed())


def mark(found: Sequence[Place]) -> str:
    """Another one when a file was changed, added or removed. Files are not read."""
    sha = sha256()
    for place in found:
        sha.update(_bytes(f"{place.package}\0{place.where}\0"))
        with suppress(OSError, foreign.Unusable):
            for path in foreign.sources(place):
                stat = path.stat()
                sha.update(_bytes(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\0"))
    return sha.hexdigest()


def _bytes(text: str) -> bytes:
    """Of a text with names of files, which may be any bytes."""
    return text.encode(errors="surrogateescape")


def read(found: Sequence[Place], at: str) -> State:
    """What all places declare. One that ends or holds up the child is named, and the others are read by another.

    at: their mark.
    """
    answers: list[tuple[Place, Answer]] = []
    rest = list(found)
    while rest:
        came, why = _ask(rest)
        answers += zip(rest, came, strict=False)
        rest = rest[len(came) :]
        if rest:
            answers.append((rest[0], {"ok": False, "error": f"{rest[0]} {why}."}))
            rest = rest[1:]
    return _sorted_out(answers, at)


def _ask(found: Sequence[Place]) -> tuple[list[Answer], str]:
    """The answers to the first of these, and why the next one has none."""
    child = subprocess.Popen(
        [sys.executable, "-m", "federation.fl.evaluation"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
    )
    came: list[Answer] = []
    with _closing(child):
        for place in found:
            late = threading.Event()
            answer = _answer(child, place, late)
            if answer is None:
                status = f"ended the process that imported it (status {child.wait()})"
                return came, f"was not imported within {IMPORT_SECONDS:.0f} s" if late.is_set() else status
            came.append(answer)
    return came, ""


@contextmanager
def _closing(child: subprocess.Popen[str]) -> Iterator[None]:
    """End it with the block, whatever it does."""
    try:
        yield
    finally:
        child.kill()
        with suppress(OSError), child:  # closes its pipes
            pass


def _answer(child: subprocess.Popen[str], place: Place, late: threading.Event) -> Answer | None:
    """What the child says of a place; None if it ended. late: set if it was ended, because it took too long."""
    assert child.stdin is not None and child.stdout is not None

    def give_up() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(IMPORT_SECONDS, give_up)
    timer.start()
    try:
        child.stdin.write(json.dumps({"id": "", "do": "declare", "place": place_as_json(place)}) + "\n")
        child.stdin.flush()
        answer: Answer = json.loads(child.stdout.readline())
        return answer
    except (OSError, ValueError):  # it is gone
        return None
    finally:
        timer.cancel()
        timer.join()


def _sorted_out(answers: Sequence[tuple[Place, Answer]], at: str) -> State:
    wrong = [Problem(place, _bounded(answer["error"])) for place, answer in answers if not answer["ok"]]
    named: list[Declared] = []
    for place, answer in answers:
        if answer["ok"]:
            try:
                named.append(declared(place, answer))
            except DeclarationError as error:
                wrong.append(Problem(place, _bounded(f"{place}: {error}")))
    taken = dict(foreign.clashes(((one.told.name, one.place) for one in named), WORKLOADS.built_in))
    wrong += [Problem(place, sentence) for place, sentence in taken.items()]
    return State(at, {one.told.name: one for one in named if one.place not in taken}, wrong)


def _bounded(sentence: object) -> str:
    text = "".join(sign if sign.isprintable() else "?" for sign in str(sentence))
    return text if len(text) <= LONGEST_PROBLEM else f"{text[:LONGEST_PROBLEM]}…"
