"""Parts of sentences that several rooms use."""

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, times
from federation.fl import measures
from federation.lifecycle import WorkKind

Payload = Mapping[str, Any]
Say = Callable[[Payload], SafeString]
Sayings = Mapping[str, tuple[str, str, Say]]  # by kind of event: icon, tone and sentence


def bold(text: object) -> SafeString:
    return format_html("<strong>{}</strong>", text)


def client(p: Payload) -> SafeString:
    return bold((p.get("client") or {}).get("name") or "A client")


def round_(p: Payload) -> SafeString:
    if "work" in p:
        return bold(formats.capital(which(p)))
    attempt = p.get("attempt") or 1
    again = f", try {attempt}" if attempt > 1 else ""
    return bold(f"Round {p.get('round', '?')}{again}")


WORKS: Mapping[str, str] = {WorkKind.EVALUATE: "the evaluation", WorkKind.INITIALISE: "the initialisation"}


def which(p: Payload) -> str:
    """'round 3', or 'the evaluation'."""
    if "work" not in p:
        return f"round {p.get('round', '?')}"
    return WORKS.get(p["work"]) or f"{p['work']} {p.get('round', '?')}"


def by(p: Payload) -> SafeString:
    return bold(p.get("by") or "A script")


def reason(p: Payload) -> str:
    """': the reason.', or a full stop."""
    given = str(p.get("reason") or "").strip()
    return f": {given.rstrip('.')}." if given else "."


MOST_RESULTS = 4


def results(metrics: object, words: Mapping[str, str]) -> str:
    """'loss 0.446, own accuracy 0.858': the leading measure of each prefix. words: what stands before its name."""
    told = sorted(_numbers(metrics), key=measures.rank)
    leading = [next((name for name in told if measures.split(name)[0] == prefix), None) for prefix in words]
    return ", ".join(
        _result(metrics, name, word) for name, word in zip(leading, words.values(), strict=True) if name is not None
    )


def all_results(metrics: object) -> str:
    """'accuracy 0.858, loss 0.446': the first measures of a model."""
    told = sorted(_numbers(metrics), key=measures.rank)
    return ", ".join(_result(metrics, name) for name in told[:MOST_RESULTS])


def _numbers(metrics: object) -> dict[str, float]:
    found = metrics.items() if isinstance(metrics, dict) else ()
    return {str(name): value for name, value in found if isinstance(value, int | float)}


def _result(metrics: object, name: str, word: str = "") -> str:
    return f"{word}{measures.of(measures.split(name)[1]).phrase} {formats.metric(_numbers(metrics)[name])}"


def moment(text: object) -> SafeString | str:
    found = parse_datetime(text) if isinstance(text, str) else None
    return times.clock(found) if found else "later"
