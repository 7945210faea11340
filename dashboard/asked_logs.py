"""The logs over HTTP: for a page whose way to the server lets no websocket through, which asks every few seconds.

What it says is what the websocket says, at most one message at a time. `more` tells that the log has still more.
"""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from dashboard.kit import parameters
from federation.feed import SERVER_LOG, read
from federation.models import Server, TrainingSession


def of_session(request: HttpRequest, session_id: int) -> HttpResponse:
    session = get_object_or_404(TrainingSession.objects.only("last_seq"), pk=session_id)
    return _answer(request, session.pk, session.last_seq)


def of_server(request: HttpRequest) -> HttpResponse:
    last = Server.objects.values_list("last_seq", flat=True).filter(pk=1).first() or 0
    return _answer(request, SERVER_LOG, last)


def _answer(request: HttpRequest, log_id: int, last: int) -> HttpResponse:
    """What follows the event that the browser saw last. last: the log's end, read before."""
    batch = read(log_id, parameters.of(request).whole("after") or 0)
    more = "true" if batch and batch.last < last else "false"
    text = f'{{"more": {more}, {batch.text.removeprefix("{")}' if batch else '{"more": false, "events": []}'
    return HttpResponse(text, content_type="application/json", headers={"Cache-Control": "no-store"})
