"""What people say of a model: tags and a note."""

from __future__ import annotations

from django.db import transaction

from federation import events, tags
from federation.errors import Conflict, Invalid
from federation.models import GlobalModel, ModelTag, ServerEvent

MAX_NOTE = 4000  # characters


@transaction.atomic
def tag(model: GlobalModel, name: str, *, by: str) -> None:
    """Put a tag on a model; its file is then kept for good.

    `production` moves: the model of the same workload that had it loses it. Raises Invalid for a word that cannot
    be, Conflict where the model carries it already.
    """
    (name,) = tags.check([name], field="tag") or [""]
    if not name:
        raise Invalid(("tag", "A tag needs a word, such as candidate or production."))
    if model.tags.filter(name=name).exists():
        raise Conflict(f"{_described(model)} carries the tag {name} already.")
    if model.tags.count() >= tags.MOST:
        raise Invalid(("tag", f"{_described(model)} carries {tags.MOST} tags; that is as many as there may be."))
    workload = model.session.workload
    before = None
    if name == ModelTag.PRODUCTION:
        held = ModelTag.objects.filter(workload=workload, name=name).select_related("model__session").first()
        before = _reference(held.model) if held else None
        ModelTag.objects.filter(workload=workload, name=name).delete()
    ModelTag.objects.create(model=model, name=name, workload=workload, added_by=by)
    events.record_server(ServerEvent.Kind.MODEL_TAGGED, model=_reference(model), tag=name, instead_of=before, by=by)


@transaction.atomic
def untag(model: GlobalModel, name: str, *, by: str) -> None:
    """Take a tag off. Raises Conflict where the model does not carry it."""
    if not model.tags.filter(name=name).delete()[0]:
        raise Conflict(f"{_described(model)} does not carry the tag {name}.")
    events.record_server(ServerEvent.Kind.MODEL_UNTAGGED, model=_reference(model), tag=name, by=by)


@transaction.atomic
def note(model: GlobalModel, text: str, *, by: str) -> None:
    """Write what is to be known of a model; an empty text takes the note away."""
    text = text.strip()
    if len(text) > MAX_NOTE:
        raise Invalid(("note", f"The note has {len(text)} characters: use up to {MAX_NOTE}."))
    if GlobalModel.objects.filter(pk=model.pk).exclude(note=text).update(note=text):
        model.note = text
        events.record_server(ServerEvent.Kind.MODEL_NOTED, model=_reference(model), by=by)


def _described(model: GlobalModel) -> str:
    return f"Model {model} of {model.session.name}"


def _reference(model: GlobalModel) -> dict[str, str | int]:
    """How a payload names a model."""
    return {"id": str(model.pk), "version": model.version, "session": str(model.session_id), "of": model.session.name}
