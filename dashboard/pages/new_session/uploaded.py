"""Files of weights that are here, on the form for a new session: listed, and deleted."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from dashboard.kit import parameters, responses
from dashboard.kit.signin import Request
from federation.models import ModelUpload
from federation.services import retention
from federation.services.models import uploads


def _form(*_: object) -> str:
    return reverse("session_new")


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """The list alone. The address says which file is chosen."""
    begun_with = parameters.of(request).text("initial_model")
    return render(request, "sessions/_uploads.html", {"uploads": uploads.listed(), "begun_with": begun_with})


@require_http_methods(["GET", "POST"])
@responses.act(back=_form)
def delete(request: Request, upload_id: int) -> HttpResponse:
    upload = get_object_or_404(ModelUpload, pk=upload_id)
    if request.method == "GET":
        return responses.ask(request, _lost(upload))
    if digest := uploads.delete(upload):
        retention.delete_unused([digest])
    sentence = f"The uploaded file {upload} is deleted."
    return responses.done(request, sentence, to=_form(), icon="x", tone="idle", changed=("uploads-changed",))


def _lost(upload: ModelUpload) -> dict[str, object]:
    return {
        "title": f"Delete the uploaded file {upload}?",
        "lead": "No further session can begin with it.",
        "lost": [],
        "kept": "Kept: the sessions that began with it, and their models.",
        "stay": "Keep it",
        "act": "Delete it",
        "action": reverse("upload_delete", args=[upload.pk]),
        "back": _form(),
    }
