"""Who seems to stand between this agent and its server, explained to the site's owner."""

from __future__ import annotations

from clientagent.connection import Answer

MOST_CHARACTERS = 80  # of a header that is shown
SHOWN = ("Server", "Via")
NO_METHOD = (405, 501)  # the method is blocked
TOO_LARGE = 413
NO_PATCH = (
    "A proxy on the way blocks PATCH, so updates cannot be sent in parts. A small update is sent whole; a larger one "
    "is kept until the proxy allows PATCH for the server's address."
)


def words(answer: Answer, call: str, host: str) -> str:
    """A guess at who answered, what helps, and the evidence. host: the server's."""
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
        return "a sign-in page of the network or a proxy: sign in from this machine, or have the server allowed"
    if status == 403:
        return "a firewall or filter that forbids the call: have the server's address allowed"
    if status == 400:
        return f"a server whose FL_ALLOWED_HOSTS lacks {host}, or a proxy that does not understand the call"
    if status in NO_METHOD:
        return f"a proxy that blocks {method}: have {method} allowed for the server's address"
    if status == TOO_LARGE:
        return "a proxy that refuses large requests: have its limit raised"
    if status in (404, 410):
        return "a proxy or another web server that does not know the address: check --server"
    if status in (408, 425, 429):
        return "a proxy that limits calls"
    return "a proxy that does not reach the server" if status >= 500 else "a proxy or another web server"


def _shown(text: str) -> str:
    kept = "".join(sign if sign.isprintable() and sign.isascii() else "?" for sign in text[: MOST_CHARACTERS + 1])
    return kept if len(kept) <= MOST_CHARACTERS else f"{kept[: MOST_CHARACTERS - 1]}…"
