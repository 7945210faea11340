"""How much a request may contain: bytes by route and method, and for JSON also values and depth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from federation.errors import Refused, TooLarge

MIB, KIB = 1 << 20, 1 << 10
MOST_QUERY, MOST_PATH = 8 * KIB, 2 * KIB  # bytes
MOST_MESSAGE = 4 * KIB  # bytes of one message by a websocket, in which a browser only says what it saw last


@dataclass(frozen=True, slots=True)
class Limit:
    """What one kind of request may contain.

    known: bytes from a caller whose token, key or session was checked. strangers: bytes from anybody else; with 0 the
    body is refused with 401 before it is read. streams: the route reads and limits the body by itself, in pieces.
    values, depth: of JSON, counted before it is parsed.
    """

    known: int
    strangers: int = 0
    streams: bool = False
    values: int = 5_000
    depth: int = 32


TINY = Limit(KIB, KIB)  # for requests that need no body
FORM = Limit(256 * KIB, 16 * KIB)
OPERATOR = Limit(256 * KIB)
ENROL = Limit(128 * KIB, 128 * KIB, values=2_000, depth=16)
SEAT = r"/api/v1/participations/[0-9]{1,18}"
ROUTES = [
    ({"POST"}, r"/api/v1/enroll", ENROL),
    ({"POST"}, rf"{SEAT}/progress", Limit(4 * MIB, values=60_000, depth=8)),
    ({"PUT", "PATCH"}, rf"{SEAT}/update", Limit(0, streams=True)),
    ({"POST"}, rf"{SEAT}/update", Limit(KIB)),
    ({"POST"}, rf"{SEAT}/result", Limit(MIB, values=20_000, depth=8)),
    ({"POST"}, rf"{SEAT}/fail", Limit(64 * KIB, values=100, depth=4)),
    ({"POST"}, r"/api/v1/clients/me/info", Limit(320 * KIB, values=20_000, depth=16)),
    ({"POST"}, r"/api/v1/clients/me/log", Limit(5 * MIB // 2, values=1_000, depth=8)),
    ({"POST"}, r"/api/v1/models/uploads", Limit(KIB)),
    ({"PATCH"}, r"/api/v1/models/uploads/[0-9]{1,18}", Limit(0, streams=True)),
    ({"POST", "PUT", "PATCH", "DELETE"}, r"/api/.*", OPERATOR),
    ({"POST"}, r"/(?:healthz|readyz|systemz|static/.*)", TINY),
    ({"POST"}, r"/(?:sign-in|admin/login)/", Limit(16 * KIB, 16 * KIB)),
    ({"POST"}, r"/.*", FORM),
]
_COMPILED = [(methods, re.compile(pattern, re.DOTALL), limit) for methods, pattern, limit in ROUTES]


def of(method: str, path: str) -> Limit:
    """The limit of the first matching route; without a route no body is needed."""
    if len(path) > MOST_PATH:
        return TINY
    return _of(method, path)


@lru_cache(maxsize=512)
def _of(method: str, path: str) -> Limit:
    for methods, pattern, limit in _COMPILED:
        if method in methods and pattern.fullmatch(path):
            return limit
    return TINY


# An unclosed string reaches to the end, so a search never starts within it.
STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
BRACKETS = re.compile(rb"[\[\]{}]")


def check_json(body: bytes, limit: Limit) -> None:
    """Check JSON before it is parsed. Raises TooLarge, or Refused for too many values or levels.

    Commas and opening brackets are counted: values are at most one more than both together. That is usually enough.
    Only if there are many, strings are removed first and the depth is counted.
    """
    if len(body) > limit.known:
        raise TooLarge(f"The body has {len(body)} bytes. This address accepts {limit.known}.")
    opened = body.count(b"{") + body.count(b"[")
    if opened <= limit.depth and opened + body.count(b",") < limit.values:
        return
    bare = STRINGS.sub(b"", body)
    opened = bare.count(b"{") + bare.count(b"[")
    if opened + bare.count(b",") >= limit.values:
        raise Refused(f"The JSON has too many values. This address accepts {limit.values} values.")
    if opened > limit.depth and _depth(bare) > limit.depth:
        raise Refused(f"The JSON is nested too deeply. This address accepts {limit.depth} levels.")


def _depth(bare: bytes) -> int:
    depth = deepest = 0
    for bracket in BRACKETS.findall(bare):
        depth += 1 if bracket in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest
