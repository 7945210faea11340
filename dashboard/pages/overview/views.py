"""The first page, and the first start of a new installation."""

from datetime import datetime

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dashboard.kit import client_states, parameters, responses
from dashboard.kit.frame import follow_live, following
from dashboard.kit.signin import Request
from dashboard.pages.clients import invitations
from dashboard.pages.new_session import presets, wanted
from dashboard.pages.overview import attention, happened, running, server
from dashboard.pages.workloads import catalogue
from federation.catalogue import of_sites
from federation.errors import Conflict
from federation.lifecycle import WorkKind
from federation.models import Client, GlobalModel, TrainingSession
from federation.services import rounds, sessions
from federation.session_settings import Spec

FIRST_CLIENTS = 2  # as many a first session needs
MOST_CLIENTS = 12  # that the overview names
MOST_OF_SITES = 3  # workloads of sites that a first start offers
FOUND = 200  # sessions and clients that the palette knows by name


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    frame = following("overview")
    if not TrainingSession.objects.exists():
        return render(request, "overview/first_run.html", _first_run() | frame)
    return render(request, "overview/page.html", _overview() | frame)


@require_GET
def training(request: HttpRequest) -> HttpResponse:
    """The address of the proof of concept: the newest session, or the form for the first one."""
    newest = TrainingSession.objects.filter(kind=WorkKind.TRAIN).order_by("-pk").first()
    return redirect("session", newest.pk) if newest else redirect("session_new")


@require_GET
def parts(request: HttpRequest) -> HttpResponse:
    """What changes on the overview, as one fragment; a first start that is over becomes the overview."""
    if not parameters.of(request).has("first"):
        return render(request, "overview/_parts.html", _overview())
    if TrainingSession.objects.exists():
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return render(request, "overview/_first_steps.html", _first_run() | {"oob": True})


def _overview() -> dict[str, object]:
    follow, now = follow_live(), timezone.now()
    at_work, state, recent = running.live(now), server.state(now), running.recent()
    places = client_states.places(list(Client.objects.enrolled()[:MOST_CLIENTS]), now=now)
    return {
        "follow": follow,
        "attention": attention.items(at_work, state, now=now),
        "running": at_work,
        "results": recent,
        "comparable": [one for one in recent if one.session.kind == WorkKind.TRAIN],
        "happened": happened.newest(),
        "places": places,
        "tally": client_states.tally(now),
        "server": state,
    }


def _first_run() -> dict[str, object]:
    now, spec = timezone.now(), presets.default_spec()
    able = _able(spec, now)
    return {
        "places": client_states.places(list(Client.objects.enrolled()[:MOST_CLIENTS]), now=now),
        "online": Client.objects.online(now).count(),
        "able": able,
        "needed": FIRST_CLIENTS,
        "can_launch": able >= FIRST_CLIENTS,
        "invitations": invitations.open_now(now),
        "spec": spec,
        "of_sites": list({one.name: one for one in of_sites()}.values())[:MOST_OF_SITES],
    }


def _able(spec: Spec, now: datetime) -> int:
    """How many of the clients that are online a session could ask."""
    return rounds.pool(now, spec.workload).of(wanted.session(spec)).online


@require_POST
@responses.act(back=lambda: reverse("overview"))
def launch(request: Request) -> HttpResponse:
    """The first session, with settings that are good as they are."""
    now, spec = timezone.now(), presets.default_spec()
    able = _able(spec, now)
    if able < FIRST_CLIENTS:
        found = f"{able} {'is' if able == 1 else 'are'} online"
        raise Conflict(f"{FIRST_CLIENTS} clients that train {spec.workload} are needed and {found}.")
    session = sessions.create(spec, by=request.user, now=now)
    sessions.start(session, by=request.user, now=now)
    responses.advance(session)
    to = reverse("session", args=[session.pk])
    return responses.done(request, f"{session.name} is launched.", to=to, icon="play", tone="run", leave=True)


@require_GET
def find(request: HttpRequest) -> JsonResponse:
    """Sessions, clients, tagged models and workloads by name, for the palette."""
    now = timezone.now()
    found = [
        {"name": session.name, "icon": "sessions", "hint": f"session, {session.status}", "go": session_url(session.pk)}
        for session in TrainingSession.objects.only("name", "status")[:FOUND]
    ]
    found += [
        {
            "name": place.client.name,
            "icon": "clients",
            "hint": f"client, {place.state}",
            "go": reverse("client", args=[place.client.pk]),
        }
        for place in client_states.places(list(Client.objects.enrolled()[:FOUND]), now=now)
    ]
    tagged = GlobalModel.objects.kept().select_related("session").prefetch_related("tags").order_by("-pk")
    found += [
        {
            "name": f"{model.session.name}, v{model.version}",
            "icon": "models",
            "hint": f"model, {', '.join(tag.name for tag in model.tags.all())}",
            "go": reverse("model", args=[model.pk]),
        }
        for model in tagged[:FOUND]
    ]
    found += [
        {"name": name, "icon": "workload", "hint": "workload", "go": reverse("workload", args=[name])}
        for name in catalogue.names()[:FOUND]
    ]
    return JsonResponse({"found": found})


def session_url(pk: int) -> str:
    return reverse("session", args=[pk])
