"""Alerts: rules find what somebody should know, once a cause, and tell it on the page, to a webhook and by e-mail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from federation import database, events, mail
from federation.errors import Conflict, Invalid
from federation.fl import measures
from federation.fl.early_stop import By
from federation.lifecycle import ACTIVE, ENDED, LIVE, RoundStatus, SessionStatus
from federation.models import (
    Alert,
    AlertRule,
    Client,
    Delivery,
    GlobalModel,
    Metric,
    Participation,
    Round,
    ServerEvent,
    TrainingSession,
)
from federation.services import waiting
from federation.services.models import divergence

log = logging.getLogger(__name__)

RECENT = timedelta(days=1)  # what is longer ago is not told any more
PAUSES = (10, 60, 300, 1800, 7200)  # seconds before the second try, the third, …; after the last it is given up
CLAIM = timedelta(seconds=60)  # that one try may take; a worker that dies in it loses it
MOST = 100  # new alerts of one rule at a time
MINUTES = (1, 7 * 24 * 60)
FACTORS = (1.1, 1000.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found. `cause` is the same as long as it is the same thing."""

    cause: str
    sentence: str
    session: TrainingSession | None = None
    client: Client | None = None


# ---- rules


def save_rule(rule: AlertRule, *, by: str) -> AlertRule:
    """Make or change a rule. Raises Invalid naming every field that cannot be."""
    _check(rule)
    kind = ServerEvent.Kind.RULE_CREATED if rule.pk is None else ServerEvent.Kind.RULE_CHANGED
    with transaction.atomic():
        rule.created_by = rule.created_by or by
        rule.save()
        events.record_server(kind, rule=rule.kind, enabled=rule.enabled, by=by)
    return rule


def _check(rule: AlertRule) -> None:
    errors = []
    if rule.kind not in AlertRule.Kind.values:
        errors.append(("kind", f"There is no rule {rule.kind!r}: use one of {', '.join(AlertRule.Kind.values)}."))
    if not MINUTES[0] <= rule.minutes <= MINUTES[1]:
        errors.append(("minutes", f"minutes is {rule.minutes}: choose {MINUTES[0]} to {MINUTES[1]}."))
    if not FACTORS[0] <= rule.factor <= FACTORS[1]:  # also where it is not a number
        errors.append(("factor", f"factor is {rule.factor:g}: choose {FACTORS[0]:g} to {FACTORS[1]:g}."))
    try:
        rule.webhook_url = mail.check_url(rule.webhook_url) if rule.webhook_url else ""
    except ValueError as error:
        errors.append(("webhook_url", f"This address cannot be: {error}."))
    try:
        rule.emails = ", ".join(mail.check_addresses(rule.emails))
    except ValidationError:
        errors.append(("emails", "One of these is no e-mail address. Separate several by commas."))
    if errors:
        raise Invalid(*errors)


@transaction.atomic
def delete_rule(rule: AlertRule, *, by: str) -> None:
    """Remove a rule and what it found."""
    events.record_server(ServerEvent.Kind.RULE_DELETED, rule=rule.kind, by=by)
    rule.delete()


def try_out(rule: AlertRule) -> list[str]:
    """Send a test by every way that the rule has. Returns where it went. Raises Conflict with what failed."""
    went, failed = [], []
    for channel in _channels(rule):
        try:
            _send(rule, channel, "This is a test of an alert rule. Nothing is wrong.")
            went.append(_place(rule, channel))
        except mail.NotSent as error:
            failed.append(str(error))
    if failed:
        raise Conflict(" ".join(failed))
    return went


# ---- finding


def evaluate(*, now: datetime) -> int:
    """Raise what the rules find and did not tell yet. Returns how many alerts are new."""
    return sum(_look(rule, now) for rule in AlertRule.objects.filter(enabled=True))


def _look(rule: AlertRule, now: datetime) -> int:
    """How many alerts a rule raises. A rule that fails stops no other."""
    try:
        return _raise(rule, now)
    except Exception as error:
        if database.is_away(error):
            raise
        log.exception("alert rule %s cannot be evaluated", rule.pk)
        return 0


def _raise(rule: AlertRule, now: datetime) -> int:
    found = {finding.cause: finding for finding in FINDERS[AlertRule.Kind(rule.kind)](rule, now)}
    known = Alert.objects.filter(rule=rule, cause__in=found).values_list("cause", flat=True)
    for cause in known:
        del found[cause]
    return sum(_tell(rule, finding, now) for finding in list(found.values())[:MOST])


@transaction.atomic
def _tell(rule: AlertRule, finding: Finding, now: datetime) -> bool:
    """Put an alert on the page and queue its deliveries. False if another worker did so just now."""
    about = {"sentence": finding.sentence, "session": finding.session, "client": finding.client, "raised_at": now}
    alert, is_new = Alert.objects.get_or_create(rule=rule, cause=finding.cause, defaults=about)
    if is_new:
        Delivery.objects.bulk_create(Delivery(alert=alert, channel=c, next_at=now) for c in _channels(rule))
        events.record_server(ServerEvent.Kind.ALERT_RAISED, alert=str(alert.pk), sentence=finding.sentence)
    return is_new


def _since(rule: AlertRule, now: datetime) -> datetime:
    return max(rule.created_at, now - RECENT)


def _diverged(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """A client's loss that is no number, or a model that cannot be evaluated or is far worse than the best before."""
    bad = Metric.objects.filter(divergence.should_be_finite(), participation=OuterRef("pk"), value=None)
    seats = Participation.objects.filter(Exists(bad), round__opened_at__gte=_since(rule, now))
    named = seats.annotate(curve=Subquery(bad.order_by("pk").values("name")[:1]))
    for seat in named.select_related("client", "round__session").order_by("pk")[:MOST]:
        session = seat.round.session
        what = measures.of(measures.split(seat.curve)[1]).phrase
        where = f"in round {seat.round.number} of {session.name}"
        sentence = f"The {what} of {seat.client.name} is not a number {where}."
        yield Finding(f"seat:{seat.pk}:nan", sentence, session, seat.client)
    failed = GlobalModel.objects.exclude(evaluation_error="").exclude(version=0, parent__isnull=False)
    for model in failed.filter(evaluated_at__gte=_since(rule, now)).select_related("session").order_by("pk")[:MOST]:
        sentence = f"{model} of {model.session.name} could not be evaluated. {model.evaluation_error}"
        yield Finding(f"model:{model.pk}:evaluation", sentence, model.session)
    yield from _unmeasured(rule, now)
    for session in TrainingSession.objects.filter(Q(status__in=LIVE) | Q(ended_at__gte=_since(rule, now))):
        yield from _worse(rule, session, now)


def _unmeasured(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """Models that the server should have measured before the next round, for the early stop of their session."""
    late = GlobalModel.objects.filter(evaluated_at=None, version__gt=0, created_at__gte=_since(rule, now))
    late = late.filter(session__early_stop__measured_by=By.SERVER, session__status__in=LIVE)
    for model in late.filter(rounds_from__isnull=False).distinct().select_related("session").order_by("pk")[:MOST]:
        sentence = f"{model} of {model.session.name} is not measured yet. The session continued without it."
        yield Finding(f"model:{model.pk}:unmeasured", sentence, model.session)


def _worse(rule: AlertRule, session: TrainingSession, now: datetime) -> Iterator[Finding]:
    models = GlobalModel.objects.filter(session=session).order_by("version")
    known = list(models.only("version", "metrics", "federated_metrics", "created_at"))
    for fall in divergence.falls(session, known, rule.factor):
        if fall.model.created_at >= _since(rule, now):
            yield Finding(f"session:{session.pk}:diverged", fall.sentence(session, rule.factor), session)
            return


def _silent(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    quiet = now - timedelta(minutes=rule.minutes)
    known = rule.created_at - timedelta(minutes=rule.minutes)  # whoever was silent before is not told
    for client in Client.objects.enrolled().filter(enabled=True, last_seen__lte=quiet, last_seen__gte=known):
        assert client.last_seen is not None
        sentence = f"{client.name} is silent for {_minutes(rule)}."
        yield Finding(f"client:{client.pk}:{client.last_seen:%Y%m%dT%H%M%S}", sentence, client=client)


def _minutes(rule: AlertRule) -> str:
    return "1 minute" if rule.minutes == 1 else f"{rule.minutes} minutes"


def _failed(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    rows = Round.objects.filter(status=RoundStatus.FAILED, closed_at__gte=_since(rule, now)).select_related("session")
    for round_ in rows:
        sentence = f"{str(round_).capitalize()} of {round_.session.name} failed: {round_.reason}"
        yield Finding(f"round:{round_.pk}:failed", sentence, round_.session)


def _waits(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    """An open round, or a session without one, that waits for too long."""
    since = now - timedelta(minutes=rule.minutes)
    rounds = Round.objects.filter(status=RoundStatus.COLLECTING, opened_at__lte=since).select_related("session")
    for round_ in rounds:
        why = _why(round_.session, now)
        sentence = f"{str(round_).capitalize()} of {round_.session.name} waits for {_minutes(rule)}. {why}"
        yield Finding(f"round:{round_.pk}:waits", sentence.strip(), round_.session)
    idle = TrainingSession.objects.filter(status=SessionStatus.RUNNING, idle_since__lte=since)
    for session in idle.exclude(round__status__among=ACTIVE):
        sentence = f"{session.name} opens no round for {_minutes(rule)}. {_why(session, now)}"
        yield Finding(f"session:{session.pk}:idle:{session.idle_since:%Y%m%dT%H%M%S}", sentence.strip(), session)


def _why(session: TrainingSession, now: datetime) -> str:
    return next((reason["detail"] for reason in waiting.reasons(session, now=now)), "")


def _done(rule: AlertRule, now: datetime) -> Iterator[Finding]:
    for session in TrainingSession.objects.filter(status__in=ENDED, ended_at__gte=_since(rule, now)):
        rest = f": {session.reason}" if session.reason else "."
        yield Finding(f"session:{session.pk}:done", f"{session.name} is {session.status}{rest}", session)


FINDERS: dict[AlertRule.Kind, Callable[[AlertRule, datetime], Iterable[Finding]]] = {
    AlertRule.Kind.LOSS_DIVERGED: _diverged,
    AlertRule.Kind.CLIENT_SILENT: _silent,
    AlertRule.Kind.ROUND_FAILED: _failed,
    AlertRule.Kind.ROUND_WAITS: _waits,
    AlertRule.Kind.SESSION_DONE: _done,
}


# ---- telling


def due(*, now: datetime) -> list[int]:
    """The deliveries whose turn it is."""
    rows = Delivery.objects.filter(status=Delivery.Status.WAITING, next_at__lte=now)
    return list(rows.values_list("pk", flat=True)[:MOST])


def deliver(delivery_id: int, *, now: datetime) -> bool:
    """Try one delivery. Called by several at once, one of them sends. True if it arrived."""
    mine = Delivery.objects.filter(pk=delivery_id, status=Delivery.Status.WAITING, next_at__lte=now)
    if not mine.update(next_at=now + CLAIM):
        return False
    delivery = Delivery.objects.select_related("alert__rule").get(pk=delivery_id)
    try:
        _send(delivery.alert.rule, delivery.channel, delivery.alert.sentence)
    except mail.NotSent as error:
        _again(delivery, str(error), now)
        return False
    Delivery.objects.filter(pk=delivery_id).update(status=Delivery.Status.SENT, tries=delivery.tries + 1, error="")
    return True


def _again(delivery: Delivery, reason: str, now: datetime) -> None:
    fields: dict[str, Any] = {"tries": delivery.tries + 1, "error": reason}
    if delivery.tries < len(PAUSES):
        fields["next_at"] = now + timedelta(seconds=PAUSES[delivery.tries])
    else:
        fields["status"] = Delivery.Status.FAILED
    Delivery.objects.filter(pk=delivery.pk).update(**fields)


def _channels(rule: AlertRule) -> list[str]:
    ways = {Delivery.Channel.WEBHOOK: rule.webhook_url, Delivery.Channel.EMAIL: rule.emails}
    return [channel for channel, where in ways.items() if where]


def _send(rule: AlertRule, channel: str, text: str) -> None:
    if channel == Delivery.Channel.WEBHOOK:
        mail.webhook(rule.webhook_url, text)
    else:
        mail.email(mail.check_addresses(rule.emails), f"Control room: {text}", text)


def _place(rule: AlertRule, channel: str) -> str:
    return "the webhook" if channel == Delivery.Channel.WEBHOOK else rule.emails


@transaction.atomic
def acknowledge(alerts: Iterable[int], *, by: str, now: datetime) -> int:
    """Take alerts off the list of what is open. Returns how many were."""
    fields = {"acknowledged_at": now, "acknowledged_by": by}
    count = Alert.objects.filter(pk__in=list(alerts), acknowledged_at=None).update(**fields)
    if count:
        events.record_server(ServerEvent.Kind.ALERT_ACKNOWLEDGED, count=count, by=by)
    return count
