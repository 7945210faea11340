"""Events of a session's rounds."""

from collections.abc import Iterable

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, protection
from dashboard.kit.event_sentences import parts, selections
from dashboard.kit.event_sentences.parts import Payload, Sayings
from federation.models import Event

K = Event.Kind


def _opened(p: Payload) -> SafeString:
    clients = formats.count(len(p.get("clients") or ()), "client")
    by, needed = parts.moment(p.get("deadline")), p.get("quorum", "?")
    learnt = ", as learnt from the rounds before" if p.get("learnt") else ""
    chosen = selections.of_round(p.get("selection"))
    return format_html(
        "{} opened for {}; {} must report by {}{}.{}", parts.round_(p), clients, needed, by, learnt, chosen
    )


def _aggregated(p: Payload) -> SafeString:
    took = formats.duration(float(p.get("aggregation_seconds") or 0))
    updates = formats.count(p.get("updates") or 0, "update")
    return format_html(
        "{} aggregated {} in {}{}.{}{}",
        parts.round_(p),
        updates,
        took,
        _of_late(p.get("late")),
        _of_clipped(p.get("clipped")),
        _of_suspected(p.get("suspected")),
    )


def _of_clipped(clipped: Iterable[Payload] | None) -> str:
    """' carl: its norm of 3e+06 was clipped to 100.'"""
    return "".join(f" {one['client']['name']}: {protection.of_flags(one.get('flags'))}" for one in clipped or ())


def _of_suspected(suspected: Iterable[Payload] | None) -> str:
    """' carl: Its updates point away from the others since round 4 (cosine −0.8).'"""
    return "".join(f" {one['client']['name']}: {protection.suspected(one.get('flags'))}" for one in suspected or ())


def _of_late(late: Iterable[Payload] | None) -> str:
    """', that of anna of round 2 among them'."""
    names = [f"{(p.get('client') or {}).get('name')} of round {p.get('round')}" for p in late or ()]
    return f", late ones of {formats.listed(names)} among them" if names else ""


def _round_completed(p: Payload) -> SafeString:
    updates = formats.count(p.get("updates") or 0, "update")
    return format_html(
        "{} is completed with {} after {}.", parts.round_(p), updates, formats.duration(float(p.get("seconds") or 0))
    )


def _round_failed(p: Payload) -> SafeString:
    rest = " It opens again." if p.get("retried") else " It is skipped." if p.get("skipped") else ""
    return format_html("{} failed{}{}", parts.round_(p), parts.reason(p), rest)


def _round_cancelled(p: Payload) -> SafeString:
    return format_html("{} was cancelled with its session.", parts.round_(p))


def _extended(p: Payload) -> SafeString:
    by = formats.span(int(p.get("seconds") or 0))
    return format_html("{} extended {} by {}, to {}.", parts.by(p), parts.which(p), by, parts.moment(p.get("deadline")))


def _reopened(p: Payload) -> SafeString:
    names = formats.listed([str(client.get("name")) for client in p.get("clients") or ()])
    if not names:
        return format_html("{} collects again.", parts.round_(p))
    return format_html(
        "{} collects again: {} must send again by {}.", parts.round_(p), names, parts.moment(p.get("deadline"))
    )


def _finished(p: Payload) -> SafeString:
    what = "results" if "work" in p else "updates"
    return format_html("{} finished {} with the {} that were in.", parts.by(p), parts.which(p), what)


def _postponed(p: Payload) -> SafeString:
    return format_html(
        "{} has no update yet. It waits for one until {}.", parts.round_(p), parts.moment(p.get("deadline"))
    )


SAYINGS: Sayings = {
    K.ROUND_OPENED: ("offered", "run", _opened),
    K.ROUND_AGGREGATED: ("layers", "run", _aggregated),
    K.ROUND_COMPLETED: ("check-circle", "ok", _round_completed),
    K.ROUND_FAILED: ("x-circle", "bad", _round_failed),
    K.ROUND_CANCELLED: ("stop", "idle", _round_cancelled),
    K.ROUND_EXTENDED: ("clock-plus", "idle", _extended),
    K.ROUND_REOPENED: ("offered", "wait", _reopened),
    K.ROUND_POSTPONED: ("clock-plus", "wait", _postponed),
    K.ROUND_FINISHED: ("flag", "idle", _finished),
}
