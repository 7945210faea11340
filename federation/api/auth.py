"""Who is calling: a client by its token, an operator by an API key or a signed-in browser."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, parse_cookie
from django.utils import timezone
from ninja.security import HttpBearer, SessionAuth
from ninja.utils import check_csrf

from federation import access, tokens
from federation.access import Act
from federation.api.head import Head
from federation.api.seen import seen
from federation.errors import Forbidden, Refused, Unauthorized
from federation.models import ApiKey, Client
from federation.passwords import WrongTooOften
from federation.services import apikeys, clients, people, signins
from federation.services.clients import one_agent
from federation.services.standing import Agent, Browser, Principal, Script

KEY_PREFIX = "flk_"


Sender = Head | HttpRequest  # of a raw request, or of one that passed Django


def client_of(token: str, sender: Sender, instance: str | None = None) -> Client:
    """The client behind a token. Raises Unauthorized, or Forbidden for an API key or a disabled client.

    instance: the header FL-Agent-Instance, where the caller sends one. Raises HeldElsewhere.
    An invalid API key is counted as `operator_of` counts it.
    """
    if token.startswith(KEY_PREFIX):
        with _counting(sender):
            _known(token)
        raise Forbidden("This is for client agents; an API key cannot act as a client.")
    who = one_agent.parse(instance) if instance else None
    client = clients.authenticate(token, now=timezone.now(), instance=who)
    seen.note(token, ("client", client.pk))
    return client


def client_in(head: Head) -> Client:
    """The client that sent this. Raises as `client_of` does."""
    token = bearer(head.headers)
    if token is None:
        raise Unauthorized("This needs the header Authorization: Bearer <client token>.")
    return client_of(token, head, head.headers.get(one_agent.HEADER.lower()))


def operator_of(secret: str, sender: Sender, act: Act = Act.SEE) -> User:
    """The user behind an API key.

    Raises Unauthorized, or WrongTooOften after too many invalid keys from the sender's address; Forbidden for a
    client's token and for what the user may not do.
    """
    with _counting(sender):
        key = _known(secret, sender)
    seen.note(secret, ("user", key.user.pk))
    caller = people.caller(key.user, key)
    if not access.allowed(caller, act):
        raise Forbidden(access.refusal(caller, act))
    return key.user


def _known(secret: str, sender: Sender | None = None) -> ApiKey:
    """The API key with this secret. sender: if given, a client's token is looked up too, and refused as one."""
    key = apikeys.find(secret, now=timezone.now())
    if key is not None:
        return key
    if sender is not None and not secret.startswith(KEY_PREFIX) and client_of(secret, sender):
        raise Forbidden("This is for operators; a client's token does not open it.")
    raise Unauthorized("This API key is not known here, or was revoked.")


@contextmanager
def _counting(sender: Sender) -> Iterator[None]:
    """Count an invalid API key by its sender's address: every door to the server does so here."""
    try:
        yield
    except Unauthorized as refusal:
        request = sender.as_request() if isinstance(sender, Head) else sender
        left = signins.note_wrong_key(request, now=timezone.now())
        if left is None:
            raise
        after = {"Retry-After": str(math.ceil(left.total_seconds()))}
        raise WrongTooOften(f"{refusal} Too many such keys came from this address.", headers=after) from None


def bearer(headers: dict[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def session_key(headers: dict[str, str]) -> str | None:
    """The key of a browser's session, if it is one that can have been given out."""
    key = parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME, "")
    return key if key.isalnum() else None


def browser_user(headers: dict[str, str]) -> User | None:
    """The signed-in user of a request that did not pass Django's middleware."""
    request = HttpRequest()
    request.session = SessionStore(session_key(headers))
    user = get_user(request)
    if isinstance(user, AnonymousUser):
        return None
    seen.note(session_key(headers) or "", ("user", user.pk))
    return user


def operator_in(head: Head, act: Act, *, is_safe: bool = False) -> User:
    """The user behind a raw request: by an API key, or by a signed-in browser with its CSRF token.

    is_safe: it changes nothing, so that a browser needs no CSRF token. Raises as `operator_of` does.
    """
    token = bearer(head.headers)
    if token is not None:
        return operator_of(token, head, act)
    user = browser_user(head.headers)
    if user is None:
        raise Unauthorized("This needs the header Authorization: Bearer <API key>, or a signed-in browser.")
    if not is_safe and check_csrf(head.as_request("POST")) is not None:
        raise Forbidden("The browser sent no valid CSRF token. Load the page again.")
    caller = people.caller(user)
    if not access.allowed(caller, act):
        raise Forbidden(access.refusal(caller, act))
    return user


def look_at(head: Head, *, must: bool) -> None:
    """Look whether a request comes from anybody known, before its body is read. Raises as `operator_of` does.

    must: nobody looks after this where it refuses. Otherwise the route counts an invalid API key.
    """
    token = bearer(head.headers)
    if token is None:
        if browser_user(head.headers) is None:
            raise Unauthorized("This needs a valid token in the header Authorization: Bearer <token>.")
    elif not token.startswith(KEY_PREFIX):
        seen.note(token, ("client", clients.find(token).pk))
    elif must:
        operator_of(token, head)
    else:
        seen.note(token, ("user", _known(token).user.pk))


def is_operator(head: Head) -> bool:
    """Whether a person or a person's script asks, who may see everything."""
    token = bearer(head.headers)
    if token is None:
        return session_key(head.headers) is not None and browser_user(head.headers) is not None
    return is_key(token, head)


def is_key(secret: str, sender: Sender) -> bool:
    """Whether this is a valid API key. An invalid one is counted."""
    try:
        operator_of(secret, sender)
    except Refused:
        return False
    return True


def principal_of(headers: dict[str, str], client: Client | None = None) -> Principal:
    """Whom to ask about whether a caller, who was let in already, may go on."""
    if client is not None:
        return Agent(client.pk, client.token_hash)
    token = bearer(headers)
    return Script(tokens.digest(token)) if token else Browser(session_key(headers) or "")


class ClientAuth(HttpBearer):
    """For agents. `request.auth` is the client."""

    def authenticate(self, request: HttpRequest, token: str) -> Client:
        return client_of(token, request, request.headers.get(one_agent.HEADER))


class KeyAuth(HttpBearer):
    """For operators' scripts that do one kind of act. `request.auth` is the user."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        self.act = act

    def authenticate(self, request: HttpRequest, token: str) -> User:
        return operator_of(token, request, self.act)


class BrowserAuth(SessionAuth):
    """For signed-in browsers that do one kind of act; checks the CSRF token of unsafe methods."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        self.act = act

    def __call__(self, request: HttpRequest) -> Any:
        # Who is not signed in lacks a token (401); its CSRF token (403) does not matter.
        return super().__call__(request) if request.user.is_authenticated else None

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        user = request.user
        assert isinstance(user, User)
        caller = people.caller(user)
        if not access.allowed(caller, self.act):
            raise Forbidden(access.refusal(caller, self.act))
        entered = signins.entered_at(request.session)
        if self.act in access.ADMINISTRATIVE and not access.is_recent(entered, timezone.now()):
            raise Forbidden(f"To {access.WORDS[self.act]}, sign in again: the password was entered too long ago.")
        return user


def operators(act: Act) -> list[KeyAuth | BrowserAuth]:
    """For `auth=`: API keys and signed-in browsers of whoever may do this."""
    return [KeyAuth(act), BrowserAuth(act)]
