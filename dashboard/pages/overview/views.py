"""The first page, and the first start of a new installation."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from dashboard.kit import client_states, parameters, responses
from dashboard.kit.frame import follow_live, following
from dashboard.kit.signin import Request
from dashboard.pages.clients import invitations
from dashboard.pages.new_session import presets
from dashboard.pages.overview import attention, happened, running, server
from dashboard.pages.workloads import catalogue
from federation.errors import Conflict
from federation.lifecycle import WorkKind
from federation.models import Client, GlobalModel, TrainingSession
from federation.services import sessions

FIRST_CLIENTS = 2  # as many a first session needs
MOST_CLIENTS = 12  # that the overview names
FOUND = 200  # sessions and clients that the palette knows by name


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    frame = following("overview")
    if not TrainingSession.objects.exists():
        return render(request, "overview/first_run.html", _first_run() | frame)
    return render(request, "overview/page.html", _overview() | frame)


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
    now = timezone.now()
    places = client_states.places(list(Client.objects.enrolled()[:MOST_CLIENTS]), now=now)
    online = sum(place.state in ("online", "busy") for place in places)
    return {
        "places": places,
        "online": online,
        "needed": FIRST_CLIENTS,
        "can_launch": online >= FIRST_CLIENTS,
        "invitations": invitations.open_now(now),
        "spec": presets.default_spec(),
    }


@require_POST
@responses.act(back=lambda: reverse("overview"))
def launch(request: Request) -> HttpResponse:
    """The first session, with settings that are good as they are."""
    now = timezone.now()
    online = Client.objects.online(now).count()
    if online < FIRST_CLIENTS:
        raise Conflict(f"{FIRST_CLIENTS} clients are needed and {online} {'is' if online == 1 else 'are'} online.")
    session = sessions.create(presets.default_spec(), by=request.user, now=now)
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
