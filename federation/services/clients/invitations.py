"""Invitations: join codes with a number of uses and an end; a reissue is one that lets a known client in again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from federation import events, tokens
from federation.errors import Conflict, Invalid
from federation.models import Client, Invitation, ServerEvent
from federation.services.people import name_of

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAX_USES = 10_000
MAX_SECONDS = 366 * 86_400
REISSUE_SECONDS = 86_400


@transaction.atomic
def create(*, uses: int, expires_in_seconds: int | None, by: User | None, now: datetime) -> tuple[Invitation, str]:
    """Make an invitation. The join code is returned this once and kept only as a hash.

    expires_in_seconds: None for a code that does not expire.
    """
    invitation, code = _make(uses=uses, expires_in_seconds=expires_in_seconds, by=by, now=now)
    events.record_server(ServerEvent.Kind.INVITATION_CREATED, hint=invitation.hint, uses=uses, by=name_of(by))
    return invitation, code


@transaction.atomic
def reissue(
    client: Client, *, expires_in_seconds: int | None = REISSUE_SECONDS, by: User | None, now: datetime
) -> tuple[Invitation, str]:
    """Make a code that lets one client in again, with a new token and all of its history.

    Its present token stays good until the code is used; an earlier code of this kind is revoked.
    Raises Conflict for a client that was removed.
    """
    if client.removed_at is not None:
        raise Conflict(f"{client.name} was removed. Invite it as a new client.")
    client.reissues.filter(revoked_at=None, used=0).update(revoked_at=now)
    invitation, code = _make(uses=1, expires_in_seconds=expires_in_seconds, by=by, now=now, client=client)
    reference = events.reference(client)
    events.record_server(ServerEvent.Kind.CLIENT_REISSUED, client=reference, hint=invitation.hint, by=name_of(by))
    return invitation, code


def _make(
    *, uses: int, expires_in_seconds: int | None, by: User | None, now: datetime, client: Client | None = None
) -> tuple[Invitation, str]:
    errors = []
    if not 1 <= uses <= MAX_USES:
        errors.append(("uses", f"uses is {uses}: choose 1 to {MAX_USES}."))
    if expires_in_seconds is not None and not 1 <= expires_in_seconds <= MAX_SECONDS:
        errors.append(("expires_in_seconds", f"expires_in_seconds is {expires_in_seconds}: choose 1 to {MAX_SECONDS}."))
    if errors:
        raise Invalid(*errors)
    code = tokens.join_code()
    expires_at = None if expires_in_seconds is None else now + timedelta(seconds=expires_in_seconds)
    invitation = Invitation.objects.create(
        code_hash=tokens.digest(code),
        hint=code[:4],
        uses=uses,
        expires_at=expires_at,
        created_at=now,
        created_by=by,
        client=client,
    )
    return invitation, code


@transaction.atomic
def revoke(invitation: Invitation, *, now: datetime, by: str = "") -> None:
    """Let nobody else join by this code. Clients that joined by it stay."""
    if not Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=now):
        raise Conflict(f"The invitation {invitation} was revoked before.")
    events.record_server(ServerEvent.Kind.INVITATION_REVOKED, hint=invitation.hint, by=by)
