"""Clients: who they are, what they do, who may join."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.kit import client_states, formats, parameters, responses
from dashboard.kit.frame import follow_live, following
from dashboard.kit.signin import Request
from dashboard.pages.clients import client_list, invitations, meant
from dashboard.pages.clients.forms import InviteForm
from federation.errors import Conflict, Invalid
from federation.lifecycle import ACTIVE, OPEN, WorkKind
from federation.models import Client, Invitation
from federation.services import clients
from federation.services.clients import influence
from federation.services.clients import invitations as codes
from federation.services.info import MOST_COUNT

PER_PAGE = 50
MOST_SESSIONS = 3  # whose models are listed before a client is disabled
STATES = {"": "All", "busy": "Busy", "online": "Online", "away": "Away", "disabled": "Disabled"}
CHANGED = ("clients-changed", "round-changed", "overview-changed")


def _index(*_: object, **__: object) -> str:
    return reverse("clients")


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    frame = following("clients")
    context = _rows(request) | {"invitations": invitations.open_now(timezone.now())}
    return render(request, "clients/page.html", context | frame)


@require_GET
def rows(request: HttpRequest) -> HttpResponse:
    return render(request, "clients/_table.html", _rows(request) | {"oob": True})


@require_GET
def open_invitations(request: HttpRequest) -> HttpResponse:
    return render(request, "clients/_invitations.html", {"invitations": invitations.open_now(timezone.now())})


def _rows(request: HttpRequest) -> dict[str, Any]:
    follow = follow_live()
    now, address = timezone.now(), parameters.of(request)
    query, state, sort = address.text("q"), address.choice("state", STATES), address.choice("sort", client_list.SORTS)
    found = client_list.ordered(client_list.matching(query).filter(client_states.in_state(state, now)), sort)
    part = Paginator(found, PER_PAGE).get_page(address.page())
    tally = client_states.tally(now)
    examples = Client.objects.enrolled().aggregate(
        sum=Sum("num_examples", filter=Q(num_examples__range=(0, MOST_COUNT)))
    )["sum"]
    return {
        "follow": follow,
        "page": part,
        "places": client_list.with_numbers(list(part), now=now),
        "judged": client_list.JUDGED,
        "tally": tally,
        "examples": examples,
        "states": STATES,
        "state": state,
        "query": query,
        "sorts": client_list.SORTS,
        "sort": sort,
        "pager_query": urlencode({"q": query, "state": state, "sort": sort}),
    }


# ---- invitations


@require_http_methods(["GET", "POST"])
def invite(request: Request) -> HttpResponse:
    """Make a join code. It is shown in this answer and never again."""
    wanted = {"workload": parameters.of(request).text("workload")}
    form = InviteForm(request.POST if request.method == "POST" else None, initial=wanted)
    if request.method == "POST" and form.is_valid():
        try:
            return _invited(request, form)
        except Invalid as refusal:
            for field, sentence in refusal.errors:
                form.add_error("uses" if field == "uses" else "expires", sentence)
    template = "clients/_invite.html" if request.htmx else "clients/invite.html"
    status = 422 if request.method == "POST" and not request.htmx else 200
    return render(request, template, {"form": form} | ({} if request.htmx else following("clients")), status=status)


def _invited(request: Request, form: InviteForm) -> HttpResponse:
    invitation, code = codes.create(
        uses=form.cleaned_data["uses"],
        expires_in_seconds=form.expires_in_seconds,
        by=request.user,
        now=timezone.now(),
    )
    context = {
        "invitation": invitation,
        "commands": invitations.commands(request, code, meant.of(form.cleaned_data["workload"]), invitation.uses),
        "insecure": invitations.is_insecure(request),
    }
    template = "clients/_invited.html" if request.htmx else "clients/invited.html"
    if request.htmx.target == "invite-panel":
        template = "overview/_invited.html"
    response = render(request, template, context | ({} if request.htmx else following("clients")))
    response["Cache-Control"] = "no-store"
    response["HX-Trigger"] = "invitations-changed"
    return response


@require_http_methods(["GET", "POST"])
@responses.act(back=_index)
def revoke(request: Request, invitation_id: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation, pk=invitation_id)
    if request.method == "GET":
        return responses.ask(request, _lost_by_revoking(invitation))
    codes.revoke(invitation, now=timezone.now(), by=request.user.get_username())
    sentence = f"The invitation {invitation.hint} is revoked. Clients that joined by it stay."
    changed = ("invitations-changed", "overview-changed")
    return responses.done(request, sentence, to=_index(), icon="ban", tone="idle", changed=changed)


def _lost_by_revoking(invitation: Invitation) -> dict[str, object]:
    left = formats.count(invitation.uses_left, "use")
    return {
        "title": f"Revoke the invitation {invitation}?",
        "lead": f"Nobody can join by it any more. {left} of it {'is' if invitation.uses_left == 1 else 'are'} lost.",
        "lost": [],
        "kept": "Kept: the clients that joined by it.",
        "stay": "Keep it open",
        "act": "Revoke it",
        "action": reverse("invitation_revoke", args=[invitation.pk]),
        "back": _index(),
    }


# ---- one client


@require_POST
@responses.act(back=_index)
def enable(request: Request, client_id: int) -> HttpResponse:
    client = _client(client_id)
    clients.set_enabled(client, True, by=request.user.get_username())
    responses.advance_all()
    sentence = f"{client.name} is enabled and takes part again as soon as it is online."
    return responses.done(request, sentence, to=_index(), icon="check", tone="ok", changed=CHANGED)


@require_http_methods(["GET", "POST"])
@responses.act(back=_index)
def disable(request: Request, client_id: int) -> HttpResponse:
    client = _client(client_id)
    if request.method == "POST":
        clients.set_enabled(client, False, by=request.user.get_username())
        responses.advance_all()
        sentence = f"{client.name} is disabled. Its token stays good for later."
        return responses.done(request, sentence, to=_index(), icon="minus-circle", tone="idle", changed=CHANGED)
    if not client.enabled:
        raise Conflict(f"{client.name} is disabled already.")
    kept = "Kept: its token, its name and all it took part in. You can enable it again at any time."
    return _confirm(request, client, "Disable", "It takes part in no round until it is enabled again.", kept)


@require_http_methods(["GET", "POST"])
@responses.act(back=_index)
def remove(request: Request, client_id: int) -> HttpResponse:
    client = _client(client_id)
    if request.method == "POST":
        clients.remove(client, by=request.user.get_username(), now=timezone.now())
        responses.advance_all()
        sentence = f"{client.name} is removed. It can only come back by a new invitation."
        on_its_page = parameters.standing_on(request) == reverse("client", args=[client_id])
        return responses.done(
            request, sentence, to=_index(), icon="ban", tone="idle", changed=CHANGED, leave=on_its_page
        )
    rounds = client.seats.filter(round__kind=WorkKind.TRAIN).count()
    kept = f"Kept: the {formats.count(rounds, 'round')} it took part in, under the name {client.name}."
    lost = [
        "its token: it can only come back by a new invitation, as another client",
        *([f"its place in the groups {', '.join(client.tags)}"] if client.tags else []),
    ]
    return _confirm(request, client, "Remove", "This is lost for good:", kept, lost)


def _client(client_id: int) -> Client:
    return get_object_or_404(Client.objects.enrolled(), pk=client_id)


def _confirm(
    request: Request, client: Client, verb: str, lead: str, kept: str, lost: list[str] | None = None
) -> HttpResponse:
    seat = client.seats.filter(status__among=OPEN, round__status__among=ACTIVE).select_related("round__session").first()
    mine = [f"what it did in {seat.round.label} of {seat.round.session.name} so far"] if seat else []
    about: dict[str, object] = {
        "influence": influence.of(client, most=MOST_SESSIONS),
        "title": f"{verb} {client.name}?",
        "lead": lead,
        "lost": [*(lost or []), *mine],
        "kept": kept,
        "stay": f"Keep {formats.shortened(client.name)}",
        "act": f"{verb} it",
        "action": reverse(f"client_{verb.lower()}", args=[client.pk]),
        "back": _index(),
    }
    return responses.ask(request, about)
