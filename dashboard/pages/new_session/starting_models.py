"""The models that a new session can start from, as a form names them."""

from __future__ import annotations

from django.db.models import Exists, OuterRef

from dashboard.kit import formats, results
from federation import parsing
from federation.lifecycle import Outcome
from federation.models import GlobalModel, Round, TrainingSession
from federation.services.models import choosing

NOWHERE = (0, 0)  # no session has this number
FILE = "file"  # instead of a model: a file that somebody uploads
PAST = 20  # sessions whose models are offered to start from


def pair(text: str) -> tuple[int, int] | None:
    """'7:3' as (session 7, version 3); None for other text."""
    session, version = map(parsing.whole, text.partition(":")[::2])
    return None if session is None or version is None else (session, version)


def offered(chosen: str) -> list[tuple[str, str]]:
    """The last and the best model of recent sessions, and the one that is chosen already."""
    made = Round.objects.filter(session=OuterRef("pk"), outcome=Outcome.MODEL)
    recent = list(TrainingSession.objects.filter(Exists(made)).order_by("-pk")[:PAST])
    pairs: dict[str, str] = {}
    models = results.models_of(recent)
    for session in recent:
        best = choosing.best(models[session.pk], choosing.ordered(session))
        for model in (*models[session.pk][:1], best):
            if model is not None and model.version:
                pairs.setdefault(_key(model), _label(model, session, best=model is best))
    if chosen not in ("", FILE, *pairs):
        start = pair(chosen) or NOWHERE
        found = GlobalModel.objects.select_related("session").filter(session=start[0], version=start[1]).first()
        pairs[chosen] = _label(found, found.session, best=False) if found else f"v{start[1]}, session {start[0]}"
    return list(pairs.items())


def _key(model: GlobalModel) -> str:
    return f"{model.session_id}:{model.version}"


def _label(model: GlobalModel, session: TrainingSession, *, best: bool) -> str:
    measure, value = results.leading(model, choosing.ordered(session))
    result = f", {measure.phrase} {formats.metric(value)}" if measure else ""
    return f"{session.name}, v{model.version}{' (best)' if best else ''}{result}"
