"""Alerts: what was found, and the rules that find it."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.kit import formats, parameters, responses
from dashboard.kit.frame import following
from dashboard.kit.signin import Request, caller
from dashboard.pages.alerts.forms import KINDS, RuleForm
from federation import access
from federation.access import Act
from federation.errors import Conflict, Invalid
from federation.models import Alert, AlertRule
from federation.services import alerts

PER_PAGE = 30
CHANGED = ("alerts-changed", "overview-changed")


def _index(*_: object, **__: object) -> str:
    return reverse("alerts")


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "alerts/page.html", _lists(request) | following("alerts"))


@require_GET
def count(request: HttpRequest) -> HttpResponse:
    """How many are open, beside the page's name in the sidebar."""
    return render(request, "_alert_count.html", {"open_alerts": Alert.objects.filter(acknowledged_at=None).count()})


@require_GET
def parts(request: HttpRequest) -> HttpResponse:
    return render(request, "alerts/_parts.html", _lists(request))


def _lists(request: HttpRequest) -> dict[str, Any]:
    show = parameters.of(request).choice("show", ("all",))
    found = Alert.objects.select_related("rule", "session", "client").prefetch_related("deliveries")
    if not show:
        found = found.filter(acknowledged_at=None)
    return {
        "show": show,
        "page": Paginator(found, PER_PAGE).get_page(parameters.of(request).page()),
        "open": Alert.objects.filter(acknowledged_at=None).count(),
        "rules": [(rule, KINDS[AlertRule.Kind(rule.kind)]) for rule in AlertRule.objects.all()],
        "kinds": KINDS,
        "query": f"show={show}",
    }


def act_of_rule(request: HttpRequest, rule_id: int | None = None) -> Act:
    """Only staff may handle a rule that has or gets a webhook, because it makes this server call an address."""
    given = parameters.form(request).text("webhook_url", longest=1000)
    has_one = rule_id is not None and AlertRule.objects.filter(pk=rule_id).exclude(webhook_url="").exists()
    return Act.SET_WEBHOOKS if given or has_one else Act.MANAGE_ALERTS


@require_http_methods(["GET", "POST"])
def edit(request: Request, rule_id: int | None = None) -> HttpResponse:
    """Make a rule, of the kind that is asked for if any, or change one."""
    kind = parameters.of(request).choice("kind", AlertRule.Kind.values)
    new = AlertRule(kind=kind) if kind else AlertRule()
    rule = new if rule_id is None else get_object_or_404(AlertRule, pk=rule_id)
    form = RuleForm(request.POST if request.method == "POST" else None, instance=rule)
    if not access.allowed(caller(request), Act.SET_WEBHOOKS):
        del form.fields["webhook_url"]
    if request.method == "POST" and form.is_valid():
        try:
            alerts.save_rule(form.instance, by=request.user.get_username())
        except Invalid as refusal:
            for field, sentence in refusal.errors:
                form.add_error(field, sentence)
        else:
            return responses.done(request, "The rule is kept.", to=_index(), icon="check", changed=CHANGED)
    template = "alerts/_rule.html" if request.htmx else "alerts/rule.html"
    status = 422 if form.errors and not request.htmx else 200
    frame = {} if request.htmx else following("alerts")
    return render(request, template, {"form": form, "rule": rule} | frame, status=status)


@require_POST
@responses.act(back=_index)
def test(request: Request, rule_id: int) -> HttpResponse:
    rule = get_object_or_404(AlertRule, pk=rule_id)
    went = alerts.try_out(rule)
    if not went:
        raise Conflict("This rule tells the page alone: give it a webhook or an e-mail address to try.")
    return responses.done(request, f"A test went to {formats.listed(went)}.", to=_index(), icon="check")


@require_http_methods(["GET", "POST"])
@responses.act(back=_index)
def delete(request: Request, rule_id: int) -> HttpResponse:
    rule = get_object_or_404(AlertRule, pk=rule_id)
    if request.method == "POST":
        alerts.delete_rule(rule, by=request.user.get_username())
        return responses.done(request, "The rule is deleted.", to=_index(), icon="check", changed=CHANGED)
    count = rule.alerts.count()
    context = {
        "title": f"Delete the rule “{KINDS[AlertRule.Kind(rule.kind)]}”?",
        "lead": "This is lost for good:",
        "lost": [f"the rule, with {formats.count(count, 'alert')} that it raised"],
        "kept": "Kept: what the alerts were about. You can also switch the rule off instead.",
        "stay": "Keep it",
        "act": "Delete the rule",
        "action": reverse("rule_delete", args=[rule.pk]),
        "back": _index(),
    }
    return responses.ask(request, context)


@require_POST
@responses.act(back=_index)
def acknowledge(request: Request) -> HttpResponse:
    """One alert, or with `all` every open one."""
    form = parameters.form(request)
    open_ones = Alert.objects.filter(acknowledged_at=None).values_list("pk", flat=True)
    ids = open_ones if form.has("all") else form.wholes("alert")[:1]
    count = alerts.acknowledge(ids, by=request.user.get_username(), now=timezone.now())
    if not count:
        raise Conflict("This alert is not open any more.")
    sentence = f"{formats.count(count, 'alert')} acknowledged."
    return responses.done(request, sentence, to=_index(), icon="check", changed=CHANGED)
