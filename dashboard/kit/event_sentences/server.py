"""Events of the server itself: alerts and their rules, the worker, the disk and the clock."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.kit.event_sentences import parts
from dashboard.kit.event_sentences.parts import Payload, Say, Sayings
from federation.models import ServerEvent

S = ServerEvent.Kind


def _raised(p: Payload) -> SafeString:
    return format_html("{}", p.get("sentence") or "An alert was raised.")


def _acknowledged(p: Payload) -> SafeString:
    return format_html("{} acknowledged {}.", parts.by(p), formats.count(p.get("count") or 1, "alert"))


def _rule(verb: str) -> Say:
    return lambda p: format_html(
        "{} {} the alert rule {}.", parts.by(p), verb, str(p.get("rule", "")).replace("_", " ")
    )


def _silent(p: Payload) -> SafeString:
    return format_html(
        "The worker is silent since {}: rounds neither open nor close.", parts.moment(p.get("last_tick"))
    )


def _jumped(p: Payload) -> SafeString:
    seconds = float(p.get("seconds") or 0)
    to = "forward" if seconds > 0 else "back"
    moved = formats.span(round(abs(seconds)))
    return format_html("The server's clock was set {} by {}. Deadlines moved with it.", to, moved)


def _plain(sentence: str) -> Say:
    return lambda p: format_html("{}", sentence)


SAYINGS: Sayings = {
    S.ALERT_RAISED: ("alerts", "bad", _raised),
    S.ALERT_ACKNOWLEDGED: ("check", "idle", _acknowledged),
    S.RULE_CREATED: ("plus", "idle", _rule("made")),
    S.RULE_CHANGED: ("draft", "idle", _rule("changed")),
    S.RULE_DELETED: ("ban", "idle", _rule("deleted")),
    S.WORKER_SILENT: ("warning", "bad", _silent),
    S.WORKER_RECOVERED: ("check-circle", "ok", _plain("The worker is at work again.")),
    S.STORAGE_LOW: (
        "disk",
        "bad",
        _plain("The server's disk is full. Make room; the sessions go on by themselves."),
    ),
    S.STORAGE_RECOVERED: ("disk", "ok", _plain("The server's disk has room again.")),
    S.CLOCK_JUMPED: ("clock", "wait", _jumped),
}
