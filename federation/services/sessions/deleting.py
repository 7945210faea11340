"""A session is removed with everything that only it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from federation import events
from federation.errors import Conflict
from federation.lifecycle import LIVE
from federation.models import GlobalModel, Participation, ServerEvent, TrainingSession
from federation.services import retention

if TYPE_CHECKING:
    from django.contrib.auth.models import User
from federation.services.people import name_of


def delete(session: TrainingSession, *, by: User | None = None) -> None:
    """Remove a session that does not go on, with its rounds, curves, events and the files nobody else needs.

    Raises Conflict while it goes on, or while one of its models carries a tag.
    """
    with transaction.atomic():
        if not TrainingSession.objects.filter(pk=session.pk).exclude(status__in=LIVE).exists():
            raise Conflict(f"{session.name} is {session.status}. Cancel it before deleting it.")
        refuse_where_kept(session)
        digests = _files(session)
        which = {"session": {"id": str(session.pk)}, "name": session.name}
        events.record_server(ServerEvent.Kind.SESSION_DELETED, **which, by=name_of(by))
        session.delete()
    retention.delete_unused(digests)


def refuse_where_kept(session: TrainingSession) -> None:
    kept = GlobalModel.objects.kept().filter(session=session).prefetch_related("tags").first()
    if kept is not None:
        tag = kept.tags.all()[0]
        raise Conflict(
            f"Model {kept} of {session.name} carries the tag {tag}. Take it off before deleting the session."
        )


def _files(session: TrainingSession) -> set[str]:
    made = GlobalModel.objects.filter(session=session).values_list("digest", "slots_digest")
    sent = Participation.objects.filter(round__session=session).values_list("digest", flat=True)
    return {digest for pair in made for digest in pair if digest} | {digest for digest in sent if digest}
