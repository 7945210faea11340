"""One client: what it is, does and did, and what it tells of itself."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.kit import client_states, evaluations, event_sentences, parameters, responses
from dashboard.kit.frame import follow_live, following
from dashboard.kit.signin import Request
from dashboard.pages.clients import client_history, client_list, invitations
from federation import tags
from federation.fl import measures
from federation.models import Client, ClientLog, Participation
from federation.services import clients
from federation.services.clients import influence
from federation.services.clients import invitations as codes

PER_PAGE = 25
MOST_SESSIONS = 10  # whose models contain its updates
RECENT = 200  # rounds that the median times are of, and in which suspicion is looked for


@require_GET
def page(request: HttpRequest, client_id: int) -> HttpResponse:
    client = known(client_id)
    frame = following("clients")
    now = timezone.now()
    overlay = client_history.overlay(client, now=now)
    names = sorted({name for one in overlay["series"] for name in one["y"]}, key=_usual)
    context = {
        "overlay": overlay,
        "measures": names,
        "axes": client_history.AXES,
        "axis": parameters.of(request).choice("x", client_history.AXES, "round"),
        "metric": parameters.of(request).choice("metric", names),
        **_log(client),
    }
    return render(request, "clients/client.html", _parts(request, client) | context | frame)


def _usual(name: str) -> tuple[int, int, str]:
    return measures.rank(name.replace(" ", "_"), ("val_", "train_"))


@require_GET
def parts(request: HttpRequest, client_id: int) -> HttpResponse:
    return render(request, "clients/_parts.html", _parts(request, known(client_id)))


def _parts(request: HttpRequest, client: Client) -> dict[str, Any]:
    follow, now = follow_live(), timezone.now()
    (place,) = client_list.with_numbers([client], now=now)
    seat = client_history.open_seat(client)
    address = parameters.of(request)
    trained, evaluated = client_history.num_turns(client)
    page = _paged(client_history.turns(client), trained).get_page(address.page())
    measured = _paged(evaluations.seats_of(client), evaluated).get_page(
        address.clamped("evaluations", least=1, most=parameters.MOST_PAGE)
    )
    recent = list(client_history.turns(client)[:RECENT])
    return {
        "follow": follow,
        "client": client,
        "place": place,
        "judged": client_list.JUDGED,
        "page": page,
        "query": f"evaluations={measured.number}",
        "turns": client_history.described(list(page)),
        "evaluations": measured,
        "evaluations_query": f"page={page.number}",
        "results": [evaluations.result(seat) for seat in measured],
        "times": client_history.times(recent),
        "seat": seat,
        "suspicion": client_history.suspicion(recent),
        "act": client_states.act(seat, now) if seat else "",
        "changes": event_sentences.changes(client.changes),
        "influence": influence.of(client, most=MOST_SESSIONS),
    }


def _paged(seats: QuerySet[Participation], count: int) -> Paginator[Participation]:
    """Pages of so many seats, which need not be counted again."""
    paginator = Paginator(seats, PER_PAGE)
    paginator.count = count
    return paginator


@require_http_methods(["GET", "POST"])
@responses.act(back=lambda client_id: reverse("client", args=[client_id]))
def reissue(request: Request, client_id: int) -> HttpResponse:
    """Replace a token that was lost or told: asks first, then shows the code, in this answer and never again."""
    client = get(client_id)
    context: dict[str, Any] = {"client": client} | ({} if request.htmx else following("clients"))
    if request.method == "GET":
        return render(request, "clients/_reissue.html" if request.htmx else "clients/reissue.html", context)
    invitation, code = codes.reissue(client, by=request.user, now=timezone.now())
    context |= {
        "invitation": invitation,
        "command": invitations.command(request, code, client.name)["text"],
        "insecure": invitations.is_insecure(request),
    }
    response = render(request, "clients/_reissued.html" if request.htmx else "clients/reissued.html", context)
    response["Cache-Control"] = "no-store"
    response["HX-Trigger"] = "invitations-changed"
    return response


@require_GET
def log(request: HttpRequest, client_id: int) -> HttpResponse:
    return render(request, "clients/_log.html", _log(known(client_id)))


def _log(client: Client) -> dict[str, Any]:
    kept = ClientLog.objects.filter(client=client).first()
    lines = kept.lines if kept and isinstance(kept.lines, list) else []
    return {"client": client, "log": kept, "log_lines": [found for line in lines if (found := _log_line(line))]}


def _log_line(line: object) -> tuple[datetime, str] | None:
    """A stored line, [time, text]. None for anything else."""
    match line:
        case [str(time), str(text)]:
            with suppress(ValueError):
                if moment := parse_datetime(time):
                    return moment, text
    return None


@require_POST
@responses.act(back=lambda client_id: reverse("client", args=[client_id]))
def retag(request: Request, client_id: int) -> HttpResponse:
    """Put it into groups, as typed: gpu, hospital."""
    client = get(client_id)
    clients.set_tags(
        client, tags.split(parameters.form(request).text("tags", longest=2000)), by=request.user.get_username()
    )
    responses.advance_all()
    said = ", ".join(client.tags) or "none"
    to = reverse("client", args=[client.pk])
    return responses.done(request, f"Tags of {client.name}: {said}.", to=to, icon="check", changed=("clients-changed",))


def known(client_id: int) -> Client:
    """A client, even a removed one: its page stays, for the rounds that it took part in."""
    return get_object_or_404(Client, pk=client_id)


def get(client_id: int) -> Client:
    return get_object_or_404(Client.objects.enrolled(), pk=client_id)
