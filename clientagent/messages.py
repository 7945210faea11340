"""The sentences for the site's owner about calls that got no answer, or somebody else's."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from http.client import IncompleteRead

from clientagent import codings
from clientagent.exchange import NO_METHOD, TOO_LARGE, Answer, NotTheServer, Sink

MOST_CHARACTERS = 80  # of a header that is shown
SHOWN = ("Server", "Via")
NO_PATCH = (
    "A proxy on the way blocks PATCH, so updates cannot be sent in parts. A small update is sent whole; a larger one "
    "is kept until the proxy allows PATCH for the server's address."
)


def why_no_answer(error: Exception) -> str:
    """Why no answer came, for the sentence `the server does not answer (…)`."""
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case socket.gaierror():
            return "its host name is unknown"
        case TimeoutError():
            return "timed out"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case NotTheServer():
            return str(error)
        case IncompleteRead() | ConnectionError():
            return "the connection was cut"
        case _:
            return str(error) or type(error).__name__


def why_a_stranger(answer: Answer) -> str:
    """Why an answer that is no success is not the server's."""
    if 300 <= answer.status < 400 and (there := answer.headers.get("location")):
        return f"it redirects to {there[:200]}: if that is its address, start with --server"
    if answer.status == 400:
        return "it answers 400: if it is the server, its FL_ALLOWED_HOSTS lacks this address"
    return f"it answers {answer.status}"


def why_another_file(status: int, headers: Mapping[str, str], sink: Sink) -> str:
    """Why a body cannot be the file that the sink expects; empty if it can."""
    kind, length = headers.get("content-type", "").lower(), headers.get("content-length")
    if kind.startswith(("text/", "application/json", "application/xhtml", "application/xml", "application/problem")):
        return f"it sends {kind[:80]} instead of a model"
    if status == 206:
        given = headers.get("content-range", "")
        if not given.startswith(f"bytes {sink.offset}-"):
            return f"it sends another part than asked for: {headers.get('content-range')!r}"
        return "" if given.endswith((f"/{sink.num_bytes}", "/*")) else f"it sends a part of another file: {given!r}"
    if length is None or codings.named(headers):
        return "" if kind.startswith("application/octet-stream") else "it sends something without type and length"
    return "" if length == str(sink.num_bytes) else f"it sends {length[:20]} bytes for a model of {sink.num_bytes}"


def who_answered(answer: Answer, call: str, host: str) -> str:
    """A guess at who answered in the server's place, what helps, and the evidence. host: the server's."""
    seen = [f"status {answer.status}", f"asked: {_shown(host)}"]
    seen += [f"{name}: {_shown(text)}" for name in SHOWN if (text := answer.headers.get(name.lower()))]
    if there := answer.headers.get("location"):
        seen.append(f"Location: {_shown(there)}")
    who = _who(answer.status, call, _shown(host))
    return f"it looks like {who} ({', '.join(seen)}). Nothing is lost; the agent repeats the call."


def _who(status: int, call: str, host: str) -> str:
    method = call.partition(" ")[0]
    if status == 407:
        return "a proxy that needs a name and password: set them in HTTPS_PROXY or HTTP_PROXY"
    if status in (401, 511) or 200 <= status < 400:
        return "a sign-in page of the network or a proxy: sign in from this machine, or ask for access to the server"
    if status == 403:
        return "a firewall or filter that forbids the call: ask for access to the server's address"
    if status == 400:
        return f"a server whose FL_ALLOWED_HOSTS lacks {host}, or a proxy that does not understand the call"
    if status in NO_METHOD:
        return f"a proxy that blocks {method}: ask for {method} to be allowed for the server's address"
    if status == TOO_LARGE:
        return "a proxy that refuses large requests: ask for a higher limit"
    if status in (404, 410):
        return "a proxy or another web server that does not know the address: check --server"
    if status in (408, 425, 429):
        return "a proxy that limits calls"
    return "a proxy that does not reach the server" if status >= 500 else "a proxy or another web server"


def _shown(text: str) -> str:
    kept = "".join(sign if sign.isprintable() and sign.isascii() else "?" for sign in text[: MOST_CHARACTERS + 1])
    return kept if len(kept) <= MOST_CHARACTERS else f"{kept[: MOST_CHARACTERS - 1]}…"
