"""What operators do with a session and its open round. Each act is confirmed where something is lost by it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from dashboard import board
from dashboard.forms import MoreForm
from dashboard.kit import formats, parameters, responses
from dashboard.kit.parameters import Parameters
from dashboard.kit.signin import Request
from dashboard.views.sessions import get
from federation.errors import Conflict, Invalid
from federation.lifecycle import LIVE, OPEN, SessionStatus
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


# ---- the session


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
    return _confirm(request, session, _lost_by_cancelling(session))


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
    return _confirm(request, session, _lost_by_deleting(session))


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


# ---- the open round


@require_http_methods(["GET", "POST"])
@_act
def finish(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    if request.method == "POST":
        rounds.finish(session, by=request.user.get_username(), now=timezone.now())
        return _did(request, session, "The round is closed; its updates become a model.", "flag", "run")
    return _confirm(request, session, _lost_by_finishing(session))


@require_POST
@_act
def extend(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    seconds = _number(parameters.form(request), "seconds")
    rounds.extend(session, seconds=seconds, by=request.user.get_username())
    return _did(request, session, f"The deadline moved by {formats.span(seconds)}.", "clock-plus", "run")


@require_http_methods(["GET", "POST"])
@_act
def skip(request: Request, session_id: int) -> HttpResponse:
    session = get(session_id)
    if request.method == "POST":
        seat_id = _number(parameters.form(request), "participation")
        rounds.skip(session, seat_id, by=request.user.get_username())
        client = get_object_or_404(Participation.objects.select_related("client"), pk=seat_id).client
        return _did(request, session, f"{client.name} is skipped in this round. It is asked again in the next.", "skip")
    return _confirm(request, session, _lost_by_skipping(session, _number(parameters.of(request), "participation")))


def _number(asked: Parameters, name: str) -> int:
    number = asked.whole(name)
    if number is None:
        raise Invalid((name, f"{name} must be a whole number."))
    return number


# ---- what is lost and what is kept


def _confirm(request: Request, session: TrainingSession, about: dict[str, object]) -> HttpResponse:
    return responses.ask(request, about | {"back": _page(session.pk)})


def _lost_by_cancelling(session: TrainingSession) -> dict[str, object]:
    at, lost = board.of(session, now=timezone.now()), []
    if at.is_active and at.round is not None:
        if at.reported:
            have = "has" if at.reported == 1 else "have"
            lost.append(f"{formats.count(at.reported, 'update')} of round {at.round.number} that {have} arrived")
        names = [lane.client.name for lane in at.all_lanes if lane.is_open]
        if names:
            lost.append(f"what {formats.listed(names)} did in round {at.round.number} so far")
    last = session.last_model()
    kept = f"models v0 to v{last.version}, " if last and last.version else "the initial model, " if last else ""
    again = f" A new session can start from v{last.version}." if last else ""
    return {
        "title": f"Cancel {session.name}?",
        "lead": "It stops at once, and this is lost:" if lost else "It stops at once. Nothing is lost by it.",
        "lost": lost,
        "kept": f"Kept: {kept}every curve and the event log. A cancelled session cannot be resumed.{again}",
        "stay": "Keep it running" if session.status == SessionStatus.RUNNING else "Keep it",
        "act": "Cancel the session",
        "action": reverse("session_cancel", args=[session.pk]),
    }


def _lost_by_deleting(session: TrainingSession) -> dict[str, object]:
    counts = {
        "model": session.models.count(),
        "round": session.round_set.count(),
        "point": session.metric_points.count(),
    }
    numbers = [formats.count(number, noun) for noun, number in counts.items() if number]
    lost = [f"{formats.listed(numbers)}, with the files that no other session uses"] if numbers else []
    lost.append("the event log and the settings")
    return {
        "title": f"Delete {session.name}?",
        "lead": "This is lost for good:",
        "lost": lost,
        "kept": "Kept: the clients, and sessions that went on from its models.",
        "stay": "Keep it",
        "act": "Delete the session",
        "action": reverse("session_delete", args=[session.pk]),
    }


def _lost_by_finishing(session: TrainingSession) -> dict[str, object]:
    at = board.of(session, now=timezone.now())
    if not at.is_collecting or at.round is None:
        raise Conflict("No round is open any more, so there is nothing to finish.")
    if at.missing:
        raise Conflict(rounds.not_yet(session, at.missing))
    coming = [lane for lane in at.all_lanes if lane.is_open]
    becomes = "becomes" if at.reported == 1 else "become"
    lead = f"{formats.count(at.reported, 'update')} {becomes} the next model."
    return {
        "title": f"Finish round {at.round.number} now?",
        "lead": f"{lead} What these do now does not count in it:" if coming else f"{lead} Nothing is lost by it.",
        "lost": [f"{lane.client.name} {board.doing(lane)}" for lane in coming],
        "kept": f"What they send later {board.late_effect(session)}." if coming else "",
        "stay": "Keep waiting",
        "act": "Finish the round",
        "action": reverse("round_finish", args=[session.pk]),
    }


def _lost_by_skipping(session: TrainingSession, seat_id: int) -> dict[str, object]:
    at = board.of(session, now=timezone.now())
    lane = next((lane for lane in at.all_lanes if lane.seat.pk == seat_id and lane.seat.status in OPEN), None)
    if lane is None or not at.is_collecting:
        raise Conflict("This seat is not open any more, so there is nothing to skip.")
    return {
        "title": f"Skip {lane.client.name} in this round?",
        "lead": board.skip_effect(at, lane),
        "lost": [],
        "kept": f"{lane.client.name} is asked again in the next round.",
        "stay": "Wait for it",
        "act": "Skip it",
        "action": reverse("round_skip", args=[session.pk]),
        "fields": {"participation": seat_id},
    }
