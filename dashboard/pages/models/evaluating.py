"""Have a model measured: by which sites, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from dashboard.kit import parameters, responses
from dashboard.kit.signin import Request
from dashboard.pages.models import sites
from dashboard.pages.models.views import get
from federation.errors import Invalid
from federation.models import Client, GlobalModel
from federation.services import sessions


def _page(model_id: int) -> str:
    return reverse("model", args=[model_id])


@require_http_methods(["GET", "POST"])
@responses.act(back=_page)
def evaluate(request: Request, model_id: int) -> HttpResponse:
    """Ask which sites are to measure a model, and have them do it."""
    model = get(model_id)
    if request.method != "POST":
        return _ask(request, model)
    chosen = parameters.form(request).wholes("clients")
    if not chosen:
        return _ask(request, model, error="Choose at least one site.", chosen=chosen)
    clients = list(Client.objects.enrolled().filter(pk__in=chosen))
    try:
        session = sessions.evaluate(model, clients, by=request.user, now=timezone.now())
    except Invalid as refusal:
        return _ask(request, model, error=str(refusal), chosen=chosen)
    responses.advance(session)
    to = reverse("session", args=[session.pk])
    sentence = f"v{model.version} of {model.session.name} is being measured."
    return responses.done(request, sentence, to=to, icon="play", tone="run", leave=True)


def _ask(request: Request, model: GlobalModel, *, error: str = "", chosen: Sequence[int] | None = None) -> HttpResponse:
    """chosen: who was ticked before; None: those who can do it now."""
    found = sites.of(model, now=timezone.now())
    able = [site for site in found if not site.why]
    ticked = {site.client.pk for site in able if site.is_here} if chosen is None else set(chosen)
    context = {
        "model": model,
        "able": [(site, site.client.pk in ticked) for site in able],
        "unable": [site for site in found if site.why],
        "error": error,
    }
    template = "models/_evaluate.html" if request.htmx else "models/evaluate.html"
    return render(request, template, context, status=422 if error else 200)
