"""Invitations: join codes with a number of uses and an end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import transaction

from federation import events, tokens
from federation.errors import Conflict, Invalid
from federation.models import Invitation, ServerEvent

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAX_USES = 10_000
MAX_SECONDS = 366 * 86_400


@transaction.atomic
def create(*, uses: int, expires_in_seconds: int | None, by: User | None, now: datetime) -> tuple[Invitation, str]:
    """Make an invitation. The join code is returned this once and kept only as a hash.

    expires_in_seconds: None for a code that does not expire.
    """
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
        code_hash=tokens.digest(code), hint=code[:4], uses=uses, expires_at=expires_at, created_at=now, created_by=by
    )
    name = by.get_username() if by else ""
    events.record_server(ServerEvent.Kind.INVITATION_CREATED, hint=invitation.hint, uses=uses, by=name)
    return invitation, code


@transaction.atomic
def revoke(invitation: Invitation, *, now: datetime, by: str = "") -> None:
    """Let nobody else join by this code. Clients that joined by it stay."""
    if not Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=now):
        raise Conflict(f"The invitation {invitation} was revoked before.")
    events.record_server(ServerEvent.Kind.INVITATION_REVOKED, hint=invitation.hint, by=by)
