"""Who calls, and who is there: tokens are looked up, clients seen, silent, or gone."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from federation import events, reasons, tokens
from federation.compiled import Select
from federation.errors import Unauthorized
from federation.models import Client, ServerEvent
from federation.services import seats, standing
from federation.services.clients import one_agent
from federation.services.clients.hearing import heard, write
from federation.services.clients.noting import note
from federation.services.clients.one_agent import Instance

TOUCH = timedelta(seconds=10)  # "last seen" is written at most this often


_instance = ("instance", "instance_host", "instance_pid", "instance_since", "instance_start")


_with_token = Select(  # what every call needs; the rest is fetched where somebody asks for it after all
    lambda token_hash: (
        Client.objects.enrolled()
        .filter(token_hash=token_hash)
        .only("name", "num_examples", "token_hash", "enabled", "last_seen", "announced_online", *_instance)
        .order_by()
    ),
    str,
)


def authenticate(token: str, *, now: datetime, instance: Instance | None = None) -> Client:
    """The client a token belongs to, noted as seen.

    Raises Unauthorized, Forbidden for a disabled client, HeldElsewhere while another agent acts for it.
    """
    client = find(token)
    if instance is not None:
        one_agent.hold(client, instance, now=now)
    touch(client, now=now)
    return client


def find(token: str) -> Client:
    """The client with this token. It is not marked as seen: the agent may still be refused.

    Raises Unauthorized, or Forbidden for a disabled client.
    """
    client = _with_token.first(tokens.digest(token))
    if client is None:
        raise Unauthorized(_why_unknown(token))
    standing.refuse_disabled(client)
    return client


def _why_unknown(token: str) -> str:
    replaced = Client.objects.enrolled().filter(old_token_hash=tokens.digest(token)).first()
    if replaced is None:
        return "This token is not known here. If the client was removed, it must be invited again."
    return f"This token of {replaced.name} was replaced: an agent joined by a code that was issued to replace it."


def touch(client: Client, *, now: datetime) -> None:
    """Note that a client was heard of, at most every ten seconds; say so in the log if it had been away.

    A server process writes it a few seconds later (`hearing`), unless the client had been away.
    """
    due = client.last_seen is None or now - client.last_seen >= min(TOUCH, settings.FL_ONLINE / 3)
    if not due and client.announced_online:
        return
    client.last_seen = now
    kept = client.announced_online and heard.note(client.pk, now)
    if not kept and not write([(now, client.pk)]):
        _come_back(client, now=now)
    client.announced_online = True


def _come_back(client: Client, *, now: datetime) -> None:
    with transaction.atomic():
        Client.objects.enrolled().filter(pk=client.pk).update(last_seen=now)
        if Client.objects.enrolled().filter(pk=client.pk, announced_online=False).update(announced_online=True):
            client.came_back = note(client, ServerEvent.Kind.CLIENT_ONLINE, now=now)


def announce_offline(*, now: datetime) -> None:
    """Log the clients that went silent since the last call."""
    silent = Q(last_seen=None) | Q(last_seen__lte=now - settings.FL_ONLINE)
    for client in Client.objects.enrolled().filter(silent, announced_online=True):
        with transaction.atomic():
            if Client.objects.filter(silent, pk=client.pk, announced_online=True).update(announced_online=False):
                events.record_server(ServerEvent.Kind.CLIENT_OFFLINE, client=events.reference(client))


@transaction.atomic
def leave(client: Client, *, now: datetime | None = None) -> None:
    """A client says goodbye: it is offline until its next call, and its open seats are dropped."""
    Client.objects.filter(pk=client.pk).update(last_seen=None, announced_online=False, instance="", instance_since=None)
    seats.drop_open(client, reason=reasons.LEFT)
    note(client, ServerEvent.Kind.CLIENT_LEFT, now=now or timezone.now())
