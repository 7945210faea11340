"""Who seems to stand between this agent and its server, in words for the site's owner."""

from __future__ import annotations

from clientagent.connection import Answer

MOST_CHARACTERS = 80  # of a header that is shown
SHOWN = ("Server", "Via")
NO_METHOD = (405, 501)  # the method is not let through
TOO_LARGE = 413
NO_PATCH = (
    "A proxy on the way does not let PATCH through, so that an update cannot be sent in parts. A small one is sent "
    "whole; a larger one is kept and sent once PATCH is allowed for the server's address."
)


def words(answer: Answer, call: str, host: str) -> str:
    """A guess at who answered, what helps, and what it rests on. host: that was asked."""
    seen = [f"status {answer.status}", f"asked: {_shown(host)}"]
    seen += [f"{name}: {_shown(text)}" for name in SHOWN if (text := answer.headers.get(name.lower()))]
    if there := answer.headers.get("location"):
        seen.append(f"Location: {_shown(there)}")
    who = _who(answer.status, call, _shown(host))
    return f"it looks like {who} ({', '.join(seen)}). Nothing is lost; the call is made again."


def _who(status: int, call: str, host: str) -> str:
    method = call.partition(" ")[0]
    if status == 407:
        return "a proxy that wants a name and password: set them in HTTPS_PROXY or HTTP_PROXY"
    if status in (401, 511) or 200 <= status < 400:
        return "a sign-in page of the network or of a proxy: sign in from this machine, or have the server let through"
    if status == 403:
        return "a firewall or filter that forbids the call: have the server's address let through"
    if status == 400:
        return f"a server whose FL_ALLOWED_HOSTS lacks {host}, or a proxy that cannot read the call"
    if status in NO_METHOD:
        return f"a proxy that does not let {method} through: have {method} allowed for the server's address"
    if status == TOO_LARGE:
        return "a proxy that takes no request as large: have its limit raised"
    if status in (404, 410):
        return "a proxy or another web server that does not know the address: see whether --server is right"
    if status in (408, 425, 429):
        return "a proxy that wants fewer or shorter calls"
    return "a proxy that does not reach the server" if status >= 500 else "a proxy or another web server"


def _shown(text: str) -> str:
    kept = "".join(sign if sign.isprintable() and sign.isascii() else "?" for sign in text[: MOST_CHARACTERS + 1])
    return kept if len(kept) <= MOST_CHARACTERS else f"{kept[: MOST_CHARACTERS - 1]}…"
