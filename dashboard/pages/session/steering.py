"""What operators do with a session and its open round. Each act is confirmed where something is lost by it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.kit import formats, parameters, responses
from dashboard.kit.parameters import Parameters
from dashboard.kit.signin import Request
from dashboard.pages.session import questions
from dashboard.pages.session.forms import MoreForm
from dashboard.pages.session.views import get
from federation.errors import Conflict, Invalid
from federation.lifecycle import LIVE
from federation.models import Participation, TrainingSession
from federation.services import rounds, sessions

CHANGED = ("session-changed", "round-changed", "log-changed")


def _page(session_id: int) -> str:
    return reverse("session", args=[session_id])


def _act(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    return responses.act(back=_page)(view)


def _did(request: HttpRequest, session: TrainingSession, sentence: str, icon: str, tone: str = "idle") -> HttpResponse:
    responses.advance(session)
    return responses.done(request, sentence, to=_page(session.pk), icon=icon, tone=tone, changed=CHANGED)


@require_POST
@_act
def start(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    sessions.start(session, by=request.user, now=timezone.now())
    return _did(request, session, f"{session.name} is running.", "play", "run")


@require_POST
@_act
def pause(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    sessions.pause(session, by=request.user)
    rest = "The open round goes on; no new one opens" if session.active_round() else "No round opens"
    return _did(request, session, f"{session.name} is paused. {rest} until you resume.", "pause")


@require_POST
@_act
def resume(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    sessions.resume(session, by=request.user, now=timezone.now())
    return _did(request, session, f"{session.name} goes on.", "play", "run")


@require_http_methods(["GET", "POST"])
@_act
def cancel(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    if request.method == "POST":
        sessions.cancel(session, by=request.user, now=timezone.now())
        return _did(request, session, f"{session.name} is cancelled. Its models and curves are kept.", "stop")
    if session.has_ended:
        raise Conflict(f"{session.name} is {session.status} already.")
    return _confirm(request, session, questions.cancelling(session))


@require_http_methods(["GET", "POST"])
@_act
def delete(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    if request.method == "POST":
        sessions.delete(session, by=request.user)
        sentence = f"{session.name} is deleted."
        return responses.done(request, sentence, to=reverse("sessions"), icon="check", leave=True)
    if session.status in LIVE:
        raise Conflict(f"{session.name} is {session.status}. Cancel it before deleting it.")
    sessions.refuse_where_kept(session)
    return _confirm(request, session, questions.deleting(session))


@require_http_methods(["GET", "POST"])
@_act
def more(request: Request, session_id: int) -> HttpResponse:
    """More rounds: of this session while it goes on, of a new one from its last model once it has ended."""
    session = get(session_id)
    form = MoreForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            return _trained_further(request, session, form.cleaned_data["rounds"])
        except Invalid as refusal:
            form.add_error("rounds", str(refusal))
    last = session.last_model()
    if last is None:
        raise Conflict(f"{session.name} has no model yet to go on from.")
    template = "sessions/_more.html" if request.htmx else "sessions/more.html"
    context = {"session": session, "last_model": last, "form": form}
    return render(request, template, context, status=422 if request.method == "POST" else 200)


def _trained_further(request: Request, session: TrainingSession, number: int) -> HttpResponse:
    if not session.has_ended:
        sessions.add_rounds(session, number, by=request.user)
        return _did(request, session, f"{session.name} now has {session.rounds} rounds.", "plus", "run")
    further = sessions.go_on(session, rounds_=number, by=request.user, now=timezone.now())
    responses.advance(further)
    sentence = f"{further.name} goes on from the last model of {session.name}."
    return responses.done(request, sentence, to=_page(further.pk), icon="play", tone="run", leave=True)


@require_POST
@_act
def again(request: Request, session_id: int) -> HttpResponse:
    """The same once more, as a new session."""
    session = sessions.again(get(session_id), by=request.user, now=timezone.now())
    responses.advance(session)
    sentence = f"{session.name} is launched."
    return responses.done(request, sentence, to=_page(session.pk), icon="play", tone="run", leave=True)


@require_http_methods(["GET", "POST"])
@_act
def finish(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    if request.method == "POST":
        rounds.finish(session, by=request.user.get_username(), now=timezone.now())
        return _did(request, session, "The round is closed; its updates become a model.", "flag", "run")
    return _confirm(request, session, questions.finishing(session))


@require_POST
@_act
def extend(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    seconds = _required(parameters.form(request), "seconds")
    rounds.extend(session, seconds=seconds, by=request.user.get_username())
    return _did(request, session, f"The deadline moved by {formats.span(seconds)}.", "clock-plus", "run")


@require_http_methods(["GET", "POST"])
@_act
def skip(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    if request.method == "POST":
        seat_id = _required(parameters.form(request), "participation")
        rounds.skip(session, seat_id, by=request.user.get_username())
        client = get_object_or_404(Participation.objects.select_related("client"), pk=seat_id).client
        return _did(request, session, f"{client.name} is skipped in this round. It is asked again in the next.", "skip")
    return _confirm(request, session, questions.skipping(session, _required(parameters.of(request), "participation")))


def _required(asked: Parameters, name: str) -> int:
    number = asked.whole(name)
    if number is None:
        raise Invalid((name, f"{name} must be a whole number."))
    return number


def _confirm(request: Request, session: TrainingSession, about: dict[str, object]) -> HttpResponse:
    return responses.ask(request, about | {"back": _page(session.pk)})
