"""Events of clients and of the invitations by which they join."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.kit.event_sentences import parts
from dashboard.kit.event_sentences.parts import Payload, Say, Sayings
from federation.models import ServerEvent

S = ServerEvent.Kind


def _of_client(rest: str) -> Say:
    return lambda p: format_html("{} {}.", parts.client(p), rest)


def _left(p: Payload) -> SafeString:
    if p.get("removed"):
        return format_html("{} removed {}.", parts.by(p), parts.client(p))
    return format_html("{} left.", parts.client(p))


def _switched(verb: str) -> Say:
    return lambda p: format_html("{} {} {}.", parts.by(p), verb, parts.client(p))


def _client_tagged(p: Payload) -> SafeString:
    tags = ", ".join(map(str, p.get("tags") or ())) or "no group"
    return format_html("{} put {} into {}.", parts.by(p), parts.client(p), tags)


def _enrolled(p: Payload) -> SafeString:
    if p.get("again"):
        return format_html("{} joined again with a new token. The old one is no longer valid.", parts.client(p))
    alike = p.get("looks_like")
    if isinstance(alike, list) and alike:
        names = formats.listed([str(name) for name in alike])
        return format_html(
            "{} joined. Its name looks like that of {}. Check which client is which.", parts.client(p), names
        )
    return format_html("{} joined.", parts.client(p))


def _reissued(p: Payload) -> SafeString:
    hint = p.get("hint", "")
    return format_html(
        "{} made the code {} that lets {} in again with a new token.", parts.by(p), hint, parts.client(p)
    )


def _client_changed(p: Payload) -> SafeString:
    return format_html("{} {}.", parts.client(p), changes(p.get("changes")))


def changes(found: Iterable[Mapping[str, Any]] | None) -> str:
    """What of a client's data or workloads changed: 'has other data: 80 examples instead of 100'."""
    known = [one for one in found if isinstance(one, dict)] if isinstance(found, list | tuple) else []
    said = [_change(one) for one in known if one.get("what") != "workload"]
    sources = [str(one.get("name")) for one in known if one.get("what") == "workload"]
    if sources:
        said.append(f"has another source of {'the workload' if len(sources) == 1 else 'the workloads'} ")
        said[-1] += formats.listed(sources)
    return " and ".join(said) or "has changed"


def _change(change: Mapping[str, Any]) -> str:
    before, after = change.get("before"), change.get("after")
    if isinstance(before, int) and isinstance(after, int):
        return f"has other data: {formats.count(after, 'example')} instead of {formats.number(before)}"
    return "has other data, though as many examples"


def _invited(p: Payload) -> SafeString:
    uses = formats.count(p.get("uses") or 1, "client")
    return format_html("{} made the invitation {} for {}.", parts.by(p), p.get("hint", ""), uses)


def _revoked(p: Payload) -> SafeString:
    return format_html("{} revoked the invitation {}.", parts.by(p), p.get("hint", ""))


SAYINGS: Sayings = {
    S.CLIENT_ENROLLED: ("plus", "ok", _enrolled),
    S.CLIENT_ONLINE: ("dot", "ok", _of_client("is online")),
    S.CLIENT_OFFLINE: ("away", "wait", _of_client("went silent")),
    S.CLIENT_LEFT: ("away", "idle", _left),
    S.CLIENT_ENABLED: ("check", "ok", _switched("enabled")),
    S.CLIENT_DISABLED: ("minus-circle", "idle", _switched("disabled")),
    S.CLIENT_REISSUED: ("refresh", "idle", _reissued),
    S.CLIENT_CHANGED: ("warning", "wait", _client_changed),
    S.CLIENT_TAGGED: ("clients", "idle", _client_tagged),
    S.INVITATION_CREATED: ("plus", "idle", _invited),
    S.INVITATION_REVOKED: ("ban", "idle", _revoked),
}
