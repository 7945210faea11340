"""Parts of sentences that several rooms use."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, times

Payload = Mapping[str, Any]
Say = Callable[[Payload], SafeString]
Sayings = Mapping[str, tuple[str, str, Say]]  # by kind of event: icon, tone and sentence


def bold(text: object) -> SafeString:
    return format_html("<strong>{}</strong>", text)


def client(p: Payload) -> SafeString:
    return bold((p.get("client") or {}).get("name") or "A client")


def round_(p: Payload) -> SafeString:
    attempt = p.get("attempt") or 1
    again = f", try {attempt}" if attempt > 1 else ""
    return bold(f"Round {p.get('round', '?')}{again}")


def by(p: Payload) -> SafeString:
    return bold(p.get("by") or "A script")


def reason(p: Payload) -> str:
    """': the reason.', or a full stop."""
    given = str(p.get("reason") or "").strip()
    return f": {given.rstrip('.')}." if given else "."


def results(metrics: Mapping[str, Any] | None, names: Mapping[str, str]) -> str:
    """'accuracy 0.858, loss 0.446', of those that are there."""
    found = [
        f"{word} {formats.metric(value)}"
        for name, word in names.items()
        if isinstance(value := (metrics or {}).get(name), int | float)
    ]
    return ", ".join(found)


def moment(text: object) -> SafeString | str:
    found = parse_datetime(text) if isinstance(text, str) else None
    return times.clock(found) if found else "later"
