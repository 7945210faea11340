"""One form for a new session: filled in sensibly, checked as one types, launched or kept as a draft."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.kit import client_states, formats, label_counts, parameters, responses
from dashboard.kit.frame import follow_live, following
from dashboard.kit.signin import Request
from dashboard.pages.new_session import estimate, initial, presets, privacy_estimate, starting_models, wanted
from dashboard.pages.new_session.forms import NewSessionForm
from federation import catalogue, schedules
from federation.fl.options import OptionError
from federation.fl.workloads.declaration import Declaration
from federation.lifecycle import Schedule as Schedules
from federation.lifecycle import WorkKind
from federation.models import Client, GlobalModel, ModelUpload, TrainingSession
from federation.schedules import Crowd, Schedule
from federation.services import rounds, sessions, waiting
from federation.services.models import uploads
from federation.services.rounds import deadlines
from federation.session_settings import Spec

LOOKED_AT = 3  # past sessions that a time for a round is learnt from
MOST_NAMED = 30  # clients that are listed as taking part
MOST_COUNTED = 12  # clients whose labels are shown


@require_http_methods(["GET", "POST"])
def page(request: Request) -> HttpResponse:
    frame = following("sessions")
    if request.method == "GET":
        return _show(
            request,
            NewSessionForm(initial=_asked_for(request)),
            frame | {"chosen": _chosen(request)},
        )
    form = NewSessionForm(request.POST, initial=initial.initial_of(presets.default_spec()))
    if not form.is_valid():
        return _show(request, form, frame, status=422)
    if parameters.form(request).has("draft"):
        draft = sessions.create(form.spec, by=request.user, now=timezone.now(), initial_model=form.upload)
        to = reverse("session", args=[draft.pk])
        return responses.done(
            request, f"{draft.name} is kept as a draft.", to=to, icon="draft", tone="idle", leave=True
        )
    session = launched(form.spec, by=request.user, initial_model=form.upload)
    to = reverse("session", args=[session.pk])
    return responses.done(request, f"{session.name} is launched.", to=to, icon="play", tone="run", leave=True)


def launched(spec: Spec, *, by: User, initial_model: ModelUpload | None = None) -> TrainingSession:
    """A new session that runs. initial_model: it begins with this file."""
    now = timezone.now()
    with transaction.atomic():
        session = sessions.create(spec, by=by, now=now, initial_model=initial_model)
        sessions.start(session, by=by, now=now)
        responses.advance(session)
    return session


def _asked_for(request: HttpRequest) -> dict[str, Any]:
    """The form's first values: a preset's; ?from=ID: that session's; ?start=ID:VERSION: from that model on;

    ?workload=NAME: of this workload.
    """
    address = parameters.of(request)
    source, start = address.whole("from"), address.text("start")
    if source is not None:
        trained = TrainingSession.objects.filter(kind=WorkKind.TRAIN)
        session = get_object_or_404(trained.select_related("start_from", "initial_model"), pk=source)
        return initial.another(session)
    if start:
        pair = starting_models.pair(start) or starting_models.NOWHERE
        model = get_object_or_404(
            GlobalModel.objects.select_related("session__start_from"), session=pair[0], version=pair[1]
        )
        return initial.initial_of(sessions.further(model))
    usual = presets.PRESETS[_chosen(request) or presets.FIRST].spec()
    return initial.initial_of(_of_workload(request) or usual)


def _of_workload(request: HttpRequest) -> Spec | None:
    """The usual settings for the workload that is asked for. None: none is, or one that nobody has."""
    name = parameters.of(request).text("workload")
    return initial.of_workload(presets.default_spec(), name) if name else None


def _chosen(request: HttpRequest) -> str:
    """The name of the preset that fills the form; empty: something else does."""
    address = parameters.of(request)
    if address.whole("from") is not None or address.text("start") or _of_workload(request):
        return ""
    return address.choice("preset", presets.PRESETS, presets.FIRST)


def _show(request: HttpRequest, form: NewSessionForm, frame: dict[str, object], status: int = 200) -> HttpResponse:
    spec = form.typed_or_initial()
    who = _who(spec)
    context = {
        "form": form,
        "uploads": uploads.listed(),
        "begun_with": str(form["initial_model"].value() or ""),
        "suggestion": _suggestion(spec.workload),
        "presets": presets.PRESETS.values(),
        "past": TrainingSession.objects.filter(kind=WorkKind.TRAIN).order_by("-pk")[: starting_models.PAST],
        "source": str(parameters.of(request).whole("from") or ""),
        **_estimates(spec, who),
        **who,
    }
    return render(request, "sessions/new.html", context | frame, status=status)


def _suggestion(workload: str) -> str:
    """The time for a round that the newest session of this workload, among those that tell one, would suggest."""
    known = TrainingSession.objects.filter(workload=workload, started_at__isnull=False).order_by("-pk")[:LOOKED_AT]
    for session in known:
        if found := deadlines.suggested(session):
            why = formats.learnt(found.as_json())
            return (
                f"The rounds of {session.name} suggest {formats.span(found.seconds)} for a round of {workload}: {why}."
            )
    return ""


@require_POST
def check(request: HttpRequest) -> JsonResponse:
    """What cannot be, by field: the same answer that launching would give."""
    form = NewSessionForm(request.POST)
    errors = {} if form.is_valid() else {name: " ".join(map(str, said)) for name, said in form.errors.items()}
    return JsonResponse({"errors": errors})


@require_GET
def who(request: HttpRequest) -> HttpResponse:
    """Who would take part in the first round, as things are."""
    return render(request, "sessions/_who.html", _who(NewSessionForm(request.GET).typed_or_initial()))


@require_POST
def estimated(request: HttpRequest) -> HttpResponse:
    """What the session would cost, as it is typed now."""
    spec = NewSessionForm(request.POST).typed_or_initial()
    return render(request, "sessions/_estimate.html", _estimates(spec, _who(spec)))


def _estimates(spec: Spec, who: Mapping[str, object]) -> dict[str, object]:
    """What it would cost in time and bytes, and in privacy."""
    asked, online = int(str(who["asked"])), int(str(who["online"]))
    planned = privacy_estimate.of(spec, online=online, asked=asked)
    return {"estimate": estimate.of(spec, asked), "planned": planned}


def _who(spec: Spec) -> dict[str, object]:
    """spec: as it is typed now, whether it is allowed or not."""
    follow, now = follow_live(), timezone.now()
    session = wanted.session(spec)
    pool = rounds.pool(now, spec.workload).of(session)
    clients = [one for one in Client.objects.enrolled().filter(enabled=True) if may_be_asked(session, one)]
    if told := spec.told:
        clients = _having(told, clients)
    schedule = _schedule(spec)
    asked, needed = schedule.asked(Crowd(pool.online, len(pool.free))), schedule.needed
    return {
        "follow": follow,
        "places": client_states.places(clients[:MOST_NAMED], now=now),
        "unnamed": max(0, len(clients) - MOST_NAMED),
        "enrolled": len(clients),
        "of_sites": spec.is_of_sites,
        "have": _have(spec, len(clients)),
        "tags": session.client_tags,
        "online": pool.online,
        "left_out": waiting.named(pool.left_out),
        "asked": asked,
        "needed": needed,
        "drawn": asked < pool.online,
        "busy": pool.online - len(pool.free),
        "missing": max(0, needed - asked),
        "never": needed > len(clients) > 0,
        "labels": label_counts.of(_with_info(pool.clients), spec.workload, is_ahead=True, most=MOST_COUNTED),
        "workload": spec.workload,
    }


def _with_info(clients: Sequence[Client]) -> list[Client]:
    """The same, with what their agents told."""
    return list(Client.objects.filter(pk__in=[client.pk for client in clients]).order_by("ordinal"))


def _have(spec: Spec, clients: int) -> str:
    """What those may be asked for, behind their number."""
    if spec.is_of_sites:
        return "has this workload" if clients == 1 else "have this workload"
    return "is enrolled" if clients == 1 else "are enrolled"


def _having(told: Declaration, clients: Sequence[Client]) -> list[Client]:
    """Those that told a workload that only sites have, in this version."""
    found = catalogue.find(told.name, told.version)
    have = {one.client_id for one in found.clients} if found else set()
    return [client for client in clients if client.pk in have]


def _schedule(spec: Spec) -> Schedule:
    """The schedule that is typed now. What is not allowed gets its default."""
    size = spec.cohort_size if spec.cohort_size and spec.cohort_size > 0 else None
    usable = replace(spec, cohort_size=size, quorum=max(1, spec.quorum))
    try:
        return schedules.of(usable)
    except OptionError:
        return schedules.of(replace(usable, schedule=Schedules.SYNCHRONOUS.value, schedule_options={}))


def may_be_asked(session: TrainingSession, client: Client) -> bool:
    return not session.client_tags or bool(set(session.client_tags).intersection(client.tags))
