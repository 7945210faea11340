"""Clients: they enrol, are seen, leave, are disabled and removed."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Max, Q
from django.utils import timezone

from federation import events, lookalikes, tags, tokens
from federation.compiled import Select
from federation.errors import Conflict, Forbidden, Invalid, Unauthorized
from federation.models import Client, ClientLog, Invitation, ServerEvent
from federation.services import info as infos
from federation.services import instances, rounds, seats, standing
from federation.services.info import Info
from federation.services.instances import Instance

log = logging.getLogger(__name__)
NAME_LENGTH = 64
NAME_SIGNS = " .@+-_"  # besides letters, their marks and digits
TOKEN = re.compile(r"[0-9a-f]{64}")
TOUCH = timedelta(seconds=10)  # "last seen" is written at most this often
DATA = ("label_histogram", "data_fingerprint")  # beside num_examples, what of an agent's info is of its data
MOST_ALIKE = 5  # similar names that are reported
MOST_CHANGES = 20  # workloads that are named
LOG_LINES = 300  # kept of what an agent sends
LOG_TEXT = 500  # characters of a line that are kept
LOG_CHARACTERS = 60_000  # of all lines together
NOTED = 240  # entries in the server's log that one client may cause
NOTED_WITHIN = timedelta(hours=1)
ENROL_TRIES = 10  # each time one of those who enrol at the same moment gets through


class Change(TypedDict, total=False):
    """Something that an agent told otherwise before."""

    what: str  # num_examples (with before and after), data (as many, but others) or workload (with its name)
    name: str
    before: int
    after: int


def enroll(
    *, join_code: str, name: str, info: Mapping[str, Any], token: str | None, now: datetime
) -> tuple[Client, str]:
    """Let an agent in. Returns the client and its token, which is kept only as a hash.

    The same code, name and token again is the same client: an agent that lost the answer just asks again.
    Raises Forbidden for a code that is unknown, used up, expired or revoked, Conflict for a name that is
    taken, Invalid for a name or token that cannot be. A refusal uses nothing up.

    A code that was made to let one client in again (`invitations.reissue`) gives that client a new token.
    """
    name = _normal(name)
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


def _normal(name: str) -> str:
    """A name in its stored form: NFC, single spaces, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def _is_valid(name: str) -> bool:
    """Whether a name is valid: letters, marks and digits of any script, no control characters or direction marks."""
    kinds = [unicodedata.category(sign)[0] for sign in name]
    fit = all(kind in "LMN" or sign in NAME_SIGNS for kind, sign in zip(kinds, name, strict=True))
    return 1 <= len(name) <= NAME_LENGTH and fit and (kinds[0] in "LN" or name[0] == "_")


def _check(name: str, token: str | None) -> None:
    errors = []
    if not _is_valid(name):
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
    told = _understood(name, info)
    client = Client.objects.create(
        name=name,
        token_hash=tokens.digest(token),
        ordinal=(Client.objects.aggregate(last=Max("ordinal"))["last"] or 0) + 1,
        info=infos.kept(told),
        num_examples=told.num_examples,
        invitation=invitation,
        enrolled_at=now,
        last_seen=now,
        announced_online=True,
    )
    looks: dict[str, Any] = {"looks_like": alike} if alike else {}
    events.record_server(ServerEvent.Kind.CLIENT_ENROLLED, client=events.reference(client), **looks)
    return client


def _alike(name: str) -> list[str]:
    """Names that look like this one. Raises Conflict if one differs from it only in case."""
    names = list(Client.objects.enrolled().values_list("name", flat=True))
    if name.casefold() in {other.casefold() for other in names}:  # databases fold only the case of ASCII
        raise Conflict(_taken(name))
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


@transaction.atomic
def tell(client: Client, info: Mapping[str, Any], *, now: datetime) -> list[Change]:
    """Keep what an agent says of its machine and data. Logs and returns what of its data or workloads changed."""
    told = _understood(client.name, info)
    changes = _changes(infos.of(client.info), told)
    client.info, client.num_examples = infos.kept(told), told.num_examples
    fields = ["info", "num_examples"]
    if changes:
        client.changes, client.changed_at = changes, now
        fields += ["changes", "changed_at"]
        _note(client, ServerEvent.Kind.CLIENT_CHANGED, now=now, changes=changes)
    client.save(update_fields=fields)
    return changes


def _understood(name: str, info: Mapping[str, Any]) -> Info:
    """The valid members of an agent's info. The log names the others; they are no reason to refuse an agent."""
    told, wrong = infos.checked(info)
    if wrong:
        log.warning("%s: left out of its info, because their values are invalid: %s", name, ", ".join(wrong))
    return told


def _changes(before: Info, after: Info) -> list[Change]:
    """What both tell of and tell differently. The other members are of the machine."""
    found = []
    had, has = before.num_examples, after.num_examples
    if had is not None and has is not None and had != has:
        found.append(Change(what="num_examples", before=had, after=has))
    elif any(_differ(getattr(before, name), getattr(after, name)) for name in DATA):
        found.append(Change(what="data"))
    old, new = before.workloads or {}, after.workloads or {}
    names = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    found += [Change(what="workload", name=name) for name in names[:MOST_CHANGES]]
    return found


def _differ(before: object, after: object) -> bool:
    """Whether both were reported and differ."""
    return bool(before and after and before != after)


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
        instances.hold(client, instance, now=now)
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
    """Note that a client was heard of, at most every ten seconds; say so in the log if it had been away."""
    due = client.last_seen is None or now - client.last_seen >= min(TOUCH, settings.FL_ONLINE / 3)
    if not due and client.announced_online:
        return
    client.last_seen = now
    with transaction.atomic():
        # A held poll may outlive its client's removal: that one is not heard of any more.
        Client.objects.enrolled().filter(pk=client.pk).update(last_seen=now)
        if Client.objects.enrolled().filter(pk=client.pk, announced_online=False).update(announced_online=True):
            client.came_back = _note(client, ServerEvent.Kind.CLIENT_ONLINE, now=now)
    client.announced_online = True


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
    seats.drop_open(client, reason="The client left.")
    _note(client, ServerEvent.Kind.CLIENT_LEFT, now=now or timezone.now())


def _note(client: Client, kind: ServerEvent.Kind, *, now: datetime, **payload: Any) -> bool:
    """Log what a client did, at most NOTED times in NOTED_WITHIN. False if it was not logged."""
    window = Q(noted_since__gt=now - NOTED_WITHIN, noted_since__lte=now)
    row = Client.objects.filter(pk=client.pk)
    within = row.filter(window, noted__lt=NOTED).update(noted=F("noted") + 1)
    if not (within or row.exclude(window).update(noted=1, noted_since=now)):
        return False
    events.record_server(kind, client=events.reference(client), **payload)
    return True


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
        rounds.withdraw(client, reason="The client was disabled.")
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
    rounds.withdraw(client, reason="The client was removed.")
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


@transaction.atomic
def add_to_log(client: Client, lines: Iterable[tuple[datetime, str]]) -> None:
    """Keep the tail of what an agent tells of itself. Whatever it sends, a client's log stays small and printable."""
    ClientLog.objects.get_or_create(client=client)
    log = ClientLog.objects.select_for_update().get(client=client)
    fresh = [[time.isoformat(), _printable(text)] for time, text in lines]
    log.lines = _tail([*log.lines, *fresh][-LOG_LINES:])
    log.updated_at = timezone.now()
    log.save(update_fields=["lines", "updated_at"])


def _tail(lines: list[list[str]]) -> list[list[str]]:
    """As many of the last lines as LOG_CHARACTERS allows."""
    room = LOG_CHARACTERS
    for number, (_, text) in enumerate(reversed(lines)):
        room -= len(text)
        if room < 0:
            return lines[-number:]
    return lines


def _printable(text: str) -> str:
    shown = "".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in text[: LOG_TEXT + 1])
    return shown if len(shown) <= LOG_TEXT else f"{shown[: LOG_TEXT - 1]}…"
