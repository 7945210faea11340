"""Events of one client's part in a round: its work, its reports and its update."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, protection
from dashboard.kit.event_sentences import parts, selections
from dashboard.kit.event_sentences.parts import Payload, Sayings
from federation.lifecycle import WorkKind
from federation.models import Event

K = Event.Kind


def _training(p: Payload) -> SafeString:
    return format_html("{} took the work of {}.", parts.client(p), parts.which(p))


def _dropped(p: Payload) -> SafeString:
    return format_html("{} was dropped from {}{}", parts.client(p), parts.which(p), parts.reason(p))


def _gave_up(p: Payload) -> SafeString:
    return format_html("{} gave up {}{}", parts.client(p), parts.which(p), parts.reason(p))


def _skipped(p: Payload) -> SafeString:
    return format_html("{} skipped {} in {}.", parts.by(p), parts.client(p), parts.which(p))


def _received(p: Payload) -> SafeString:
    if p.get("work") == WorkKind.INITIALISE:
        return format_html("{} sent the first model.", parts.client(p))
    odd = protection.of_flags(p.get("flags"))
    return _reported(p, parts.results(p.get("metrics"), {"train_": "", "val_": "own "}), f" {odd}" if odd else "")


def _measured(p: Payload) -> SafeString:
    return _reported(p, parts.all_results(p.get("metrics")))


def _reported(p: Payload, results: str, odd: str = "") -> SafeString:
    examples = formats.count(p.get("num_examples") or 0, "example")
    rest = f", {results}" if results else ""
    return format_html("{} reported: {}{}.{}", parts.client(p), examples, rest, odd)


def _rejected(p: Payload) -> SafeString:
    return format_html("{} sent an update that was rejected{}", parts.client(p), parts.reason(p))


def _late(p: Payload) -> SafeString:
    if p.get("superseded"):
        return format_html(
            "{} sent another update of round {}. It is kept and does not count: the first one does.",
            parts.client(p),
            p.get("round", "?"),
        )
    if p.get("accepted"):
        number = p.get("counted_in")
        then = f"round {number}" if number else "the next round"
        return format_html("{} reported for round {}. It counts in {}.", parts.client(p), p.get("round", "?"), then)
    then = "counts in the next round" if p.get("counts") else "does not count"
    return format_html(
        "{} sent its update of round {} too late. It is kept and {}.", parts.client(p), p.get("round", "?"), then
    )


def _metrics(p: Payload) -> SafeString:
    points = p.get("points") or ()
    if not points:
        return format_html("{} is {} in {}.", parts.client(p), p.get("phase", "at work"), parts.which(p))
    names = formats.listed(sorted({str(point.get("name")) for point in points}))
    return format_html("{} sent {} of {}.", parts.client(p), formats.count(len(points), "point"), names)


def _left_out(p: Payload) -> SafeString:
    kept = [formats.count(int(p.get(name) or 0), what) for name, what in QUOTAS]
    return format_html(
        "{} exceeded a quota in round {}: {} and {} a round, {} a session. The rest is left out; its work continues.",
        parts.client(p),
        p.get("round", "?"),
        *kept,
    )


QUOTAS = (("seat_points", "point"), ("seat_measures", "measure"), ("session_points", "point"))


def _joined(p: Payload) -> SafeString:
    turn = int(p.get("turn") or 1)
    again = f": its turn {turn}" if turn > 1 else ""
    why = f" ({said})" if (said := selections.of_one(p.get("why"))) else ""
    return format_html("{} joined round {}{}{}.", parts.client(p), p.get("round", "?"), again, why)


SAYINGS: Sayings = {
    K.SEAT_INVITED: ("offered", "idle", _joined),
    K.SEAT_TRAINING: ("training", "run", _training),
    K.SEAT_DROPPED: ("unlink", "idle", _dropped),
    K.SEAT_FAILED: ("x-circle", "bad", _gave_up),
    K.SEAT_SKIPPED: ("skip", "idle", _skipped),
    K.UPDATE_RECEIVED: ("check", "ok", _received),
    K.RESULT_RECEIVED: ("check", "ok", _measured),
    K.UPDATE_REJECTED: ("ban", "bad", _rejected),
    K.UPDATE_LATE: ("late", "wait", _late),
    K.METRICS_REPORTED: ("sessions", "idle", _metrics),
    K.METRICS_LEFT_OUT: ("sessions", "wait", _left_out),
}
