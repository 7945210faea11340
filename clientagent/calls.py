"""The calls of the contract, and how to recognise the server's own answers.

A sign-in page, a firewall or a proxy on the way (a stranger) may answer with any status. Its refusal is no problem
document (RFC 9457), and its success lacks the members or headers of the contract. A server of version 0.2.0 or newer
also puts FL-Server-Version on every answer under /api/; an older one does so only for `enroll` and `work`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clientagent.exchange import Answer, NotTheServer
from clientagent.messages import why_a_stranger

VERSION = "fl-server-version"
PROBLEM = "application/problem+json"

Shape = Callable[[Answer], bool]


@dataclass(frozen=True, slots=True)
class Call:
    """name: as the site's owner reads it. good: by status of success, whether an answer looks like the server's.

    weak: a good answer contains so little that a stranger may send the same.
    """

    name: str
    good: Mapping[int, Shape] = field(default_factory=dict)
    weak: bool = False


def _members(*names: str) -> Shape:
    def fits(answer: Answer) -> bool:
        value = answer.json()
        return all(name in value for name in names)

    return fits


def _headers(*names: str) -> Shape:
    """At least one of them."""
    return lambda answer: any(name in answer.headers for name in names)


def _offset(answer: Answer) -> bool:
    return answer.headers.get("upload-offset", "").isdecimal()


def _any(answer: Answer) -> bool:
    return True


ENROLL = Call("POST enroll", {201: _members("client_id", "name")})
WORK = Call("GET work", {200: _members("participation", "session"), 204: _headers(VERSION)})
INFO = Call("POST info", {200: _members("changed")})
LOG = Call("POST log", {200: _members()}, weak=True)
LEAVE = Call("POST leave", {200: _members()}, weak=True)
PROGRESS = Call("POST progress", {200: _members("continue")})
RESULT = Call("POST result", {204: _headers(VERSION)})
FAIL = Call("POST fail", {200: _members()}, weak=True)
MODEL = Call("GET model", {200: _any, 206: _any})  # its head was checked before its body was read
PUT = Call("PUT update", {204: _headers("tus-resumable", "upload-offset", VERSION)})
HEAD = Call("HEAD update", {200: _offset})
CREATE = Call("POST update", {201: _headers("tus-resumable", "upload-offset", VERSION)})
PATCH = Call("PATCH update", {200: _offset, 204: _offset})  # 200: of the HEAD that asks after a cut

ALWAYS_MARKED = (ENROLL.name, WORK.name)  # with the version, by each server


class Recognition:
    """Decides whether an answer is the server's. Threads share it.

    A server that puts its version on every answer must also do so on answers that a stranger could send.
    """

    def __init__(self) -> None:
        self._marks = ""  # the version of such a server

    def check(self, call: Call, answer: Answer) -> None:
        """Raises NotTheServer, with the answer, for a stranger's."""
        version = answer.headers.get(VERSION, "")
        if 200 <= answer.status < 300:
            self._check_success(call, answer, weak=call.weak and not version)
        elif not _is_problem(answer) or (self._marks and not version):
            raise NotTheServer(why_a_stranger(answer), answer)
        self._learn(call, version)

    def _check_success(self, call: Call, answer: Answer, *, weak: bool) -> None:
        shape = call.good.get(answer.status)
        try:
            fits = shape is not None and shape(answer)
        except NotTheServer as error:
            raise NotTheServer(str(error), answer) from None
        if not fits or (weak and self._marks):
            raise NotTheServer(f"it answers {answer.status}, but not as the server does", answer)

    def _learn(self, call: Call, version: str) -> None:
        if call.name not in ALWAYS_MARKED:
            self._marks = version or self._marks
        elif version and version != self._marks:
            self._marks = ""  # another release runs now, which may behave differently


def _is_problem(answer: Answer) -> bool:
    return answer.headers.get("content-type", "").lower().startswith(PROBLEM)
