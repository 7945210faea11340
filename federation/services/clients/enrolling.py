"""Clients enrol by a join code, or join again with a new token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q

from federation import events, lookalikes, tokens
from federation.errors import Conflict, Forbidden, Invalid
from federation.fl import names
from federation.models import Client, Invitation, ServerEvent
from federation.services import info as infos
from federation.services.clients import catalogues
from federation.services.clients.telling import tell, understood

TOKEN = re.compile(r"[0-9a-f]{64}")


MOST_ALIKE = 5  # similar names that are reported


ENROL_TRIES = 10  # each time one of those who enrol at the same moment gets through


def enroll(
    *, join_code: str, name: str, info: Mapping[str, Any], token: str | None, now: datetime
) -> tuple[Client, str]:
    """Let an agent in. Returns the client and its token, which is kept only as a hash.

    The same code, name and token again is the same client: an agent that lost the answer just asks again.
    Raises Forbidden for a code that is unknown, used up, expired or revoked, Conflict for a name that is
    taken, Invalid for a name or token that cannot be. A refusal uses nothing up.

    A code that was made to let one client in again (`invitations.reissue`) gives that client a new token.
    """
    name = names.normal(name)
    _check(name, token)
    invitation = Invitation.objects.filter(code_hash=tokens.digest(tokens.normal_code(join_code))).first()
    if invitation is None:
        raise Forbidden("This join code is not known here. Ask whoever invited you for the code, letter by letter.")
    if token is not None and (known := _again(invitation, name, token)):
        return known, token
    token = token or tokens.client_token()
    if invitation.client_id is not None:
        return _join_anew(invitation, name, info, token, now), token
    for _ in range(ENROL_TRIES):
        try:
            return _create(invitation, name, info, token, now), token
        except IntegrityError:  # somebody enrolled between the checks and the insert: look again
            continue
    raise Conflict("Too many clients are enrolling at this moment. Try again.")


def _check(name: str, token: str | None) -> None:
    errors = []
    if not names.is_valid(name):
        errors.append(("name", f"{name!r} is not a valid name. Use 1 to 64 letters, digits, spaces or . _ @ + -."))
    if token is not None and not TOKEN.fullmatch(token):
        errors.append(("token", "An agent's own token is 32 random bytes as 64 lower-case hexadecimal digits."))
    if errors:
        raise Invalid(*errors)


def _again(invitation: Invitation, name: str, token: str) -> Client | None:
    return Client.objects.enrolled().filter(invitation=invitation, name=name, token_hash=tokens.digest(token)).first()


@transaction.atomic
def _create(invitation: Invitation, name: str, info: Mapping[str, Any], token: str, now: datetime) -> Client:
    alike = _alike(name)
    _refuse_known(token)
    _use(invitation, now)
    told, catalogue = understood(name, info)
    client = Client.objects.create(
        name=name,
        name_key=lookalikes.key(name),
        token_hash=tokens.digest(token),
        ordinal=(Client.objects.aggregate(last=Max("ordinal"))["last"] or 0) + 1,
        info=infos.kept(told),
        kinds=told.kinds,
        understands=told.understands,
        num_examples=told.num_examples,
        invitation=invitation,
        enrolled_at=now,
        last_seen=now,
        announced_online=True,
    )
    catalogues.keep(client, told, catalogue)
    looks: dict[str, Any] = {"looks_like": alike} if alike else {}
    events.record_server(ServerEvent.Kind.CLIENT_ENROLLED, client=events.reference(client), **looks)
    return client


def _alike(name: str) -> list[str]:
    """Names that look like this one. Raises Conflict if one differs from it only in case."""
    if Client.objects.enrolled().filter(name_key=lookalikes.key(name)).exists():
        raise Conflict(_taken(name))
    names = Client.objects.enrolled().values_list("name", flat=True)
    return lookalikes.of(name, names)[:MOST_ALIKE]


@transaction.atomic
def _join_anew(invitation: Invitation, name: str, info: Mapping[str, Any], token: str, now: datetime) -> Client:
    """Let a client in again whose token was lost. From now on the old one is not good any more; all else stays."""
    client = Client.objects.select_for_update(of=("self",)).get(reissues=invitation)
    if client.removed_at is not None:
        raise Forbidden(f"{client.name} was removed, so that this join code lets nobody in. Ask for a new invitation.")
    if name.casefold() != client.name.casefold():
        raise Conflict(f"This join code lets in {client.name} alone: start the agent with --name {client.name!r}.")
    _refuse_known(token)
    _use(invitation, now)
    client.old_token_hash, client.token_hash = client.token_hash, tokens.digest(token)
    client.invitation, client.last_seen, client.announced_online = invitation, now, True
    client.instance, client.instance_since = "", None  # whoever acted for it is out
    fields = ["old_token_hash", "token_hash", "invitation", "last_seen", "announced_online"]
    client.save(update_fields=[*fields, "instance", "instance_since"])
    events.record_server(ServerEvent.Kind.CLIENT_ENROLLED, client=events.reference(client), again=True)
    tell(client, info, now=now)
    return client


def _refuse_known(token: str) -> None:
    hashed = tokens.digest(token)
    if Client.objects.filter(Q(token_hash=hashed) | Q(old_token_hash=hashed)).exists():
        raise Conflict("This token belongs to a client already; an agent needs one of its own.")


def _use(invitation: Invitation, now: datetime) -> None:
    """Count a use. Raises Forbidden where none is left."""
    open_now = Q(used__lt=F("uses")) & Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now))
    if not Invitation.objects.filter(open_now, pk=invitation.pk).update(used=F("used") + 1):
        raise Forbidden(_why_closed(invitation, now))


def _taken(name: str) -> str:
    return (
        f"The name {name} is taken. Choose another, or start the agent with the state folder it had. "
        f"If that is lost, ask an administrator for a code: *New token* on the client's page makes one."
    )


def _why_closed(invitation: Invitation, now: datetime) -> str:
    if invitation.revoked_at is not None:
        return "This join code was revoked. Ask for a new one."
    if invitation.expires_at is not None and invitation.expires_at <= now:
        return "This join code has expired. Ask for a new one."
    return f"This join code is used up: it let in {invitation.uses} already. Ask for a new one."
