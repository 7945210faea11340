"""Ends of sentences that follow a word without a space: a template that is broken into lines would put one there."""

from django import template
from django.template.defaultfilters import truncatechars
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.templatetags import ui
from federation.lifecycle import Origin
from federation.models import Alert, AlertRule, Delivery, GlobalModel

register = template.Library()
WAITS = (AlertRule.Kind.CLIENT_SILENT, AlertRule.Kind.ROUND_WAITS)


@register.simple_tag
def made_from(model: GlobalModel) -> SafeString:
    """Made from v3 of another session, from a seed, or elsewhere."""
    if model.parent is None:
        return _without_parent(model)
    elsewhere = model.parent.session_id != model.session_id
    origin = f" of {model.parent.session.name}" if elsewhere else ""
    address = reverse("model", args=[model.parent.pk])
    return format_html('made from <a href="{}">v{}{}</a>', address, model.parent.version, origin)


def _without_parent(model: GlobalModel) -> SafeString:
    if model.origin == Origin.UPLOAD:
        upload = model.session.initial_model
        return format_html("{}", f"uploaded file {upload}" if upload else "an uploaded file, deleted since")
    if model.origin == Origin.SITE:
        return SafeString("sent by a client")
    return format_html("made from the seed {}", model.session.seed)


@register.filter
def limit(rule: AlertRule) -> str:
    """When a rule speaks, after its title: ", 10 minutes"."""
    if rule.kind in WAITS:
        return f", {ui.count(rule.minutes, 'minute')}"
    if rule.kind == AlertRule.Kind.LOSS_DIVERGED:
        return f", over {rule.factor} times the best"
    return ""


@register.filter
def followed(alert: Alert) -> str:
    """What became of an alert, after its time: ", acknowledged by vera, email sent"."""
    by = [f"acknowledged by {alert.acknowledged_by or 'a script'}"] if alert.acknowledged_at else []
    ways = [f"{way.get_channel_display().lower()} {outcome(way)}" for way in alert.deliveries.all()]
    return "".join(f", {one}" for one in by + ways)


def outcome(way: Delivery) -> str:
    if way.status == Delivery.Status.SENT:
        return "sent"
    if way.status == Delivery.Status.FAILED:
        return f"given up: {way.error}"
    return f"tried {ui.count(way.tries, 'time')}: {way.error}" if way.error else "on its way"


@register.simple_tag
def caption(model: GlobalModel, value: float | None) -> str:
    """A model in a lineage: "v3, 0.912 · best"."""
    measured = "" if value is None else f", {ui.metric(value)}"
    tags = [f" · {truncatechars(tag.name, 11)}" for tag in model.tags.all()[:1]]
    return "".join([f"v{model.version}{measured}", *tags])


@register.simple_tag
def standing(behind: int, turn: int) -> str:
    """How old the version is that a client works on, after its number: ", 2 versions behind; its turn 3"."""
    age = f", {ui.count(behind, 'version')} behind" if behind else ", the newest"
    return f"{age}; its turn {turn}" if turn > 1 else age
