"""What people do with clients: enable, disable, remove and tag them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from federation import events, reasons, tags, tokens
from federation.models import Client, ServerEvent
from federation.services import rounds


@transaction.atomic
def set_enabled(client: Client, enabled: bool, *, by: str) -> None:
    """Enable or disable a client. Disabling withdraws for good everything that is in no model yet.

    Its token stays valid for later.
    """
    if not Client.objects.filter(pk=client.pk, enabled=not enabled).update(enabled=enabled):
        client.refresh_from_db(fields=["enabled"])
        return
    client.enabled = enabled
    if not enabled:
        rounds.withdraw(client, reason=reasons.DISABLED)
    kind = ServerEvent.Kind.CLIENT_ENABLED if enabled else ServerEvent.Kind.CLIENT_DISABLED
    events.record_server(kind, client=events.reference(client), by=by)


@transaction.atomic
def remove(client: Client, *, by: str, now: datetime) -> None:
    """Forget a client's token and free its name. The rounds it took part in keep it by name."""
    was_enabled = Client.objects.filter(pk=client.pk, enabled=True).update(enabled=False)
    gone = {"removed_at": now, "token_hash": tokens.digest(tokens.client_token())}
    away = {"last_seen": None, "announced_online": False}
    removed = Client.objects.filter(pk=client.pk, removed_at=None).update(**gone, **away)
    client.enabled = False
    rounds.withdraw(client, reason=reasons.REMOVED)
    if was_enabled:
        events.record_server(ServerEvent.Kind.CLIENT_DISABLED, client=events.reference(client), by=by)
    if removed:
        events.record_server(ServerEvent.Kind.CLIENT_LEFT, client=events.reference(client), removed=True, by=by)


@transaction.atomic
def set_tags(client: Client, given: Iterable[str], *, by: str) -> None:
    """Put a client into groups. Raises Invalid for a tag that cannot be."""
    wanted = tags.check(given, field="tags")
    if wanted == client.tags:
        return
    Client.objects.filter(pk=client.pk).update(tags=wanted)
    client.tags = wanted
    events.record_server(ServerEvent.Kind.CLIENT_TAGGED, client=events.reference(client), tags=wanted, by=by)
