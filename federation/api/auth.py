"""Who is calling: a client by its token, an operator by an API key or a signed-in browser."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, parse_cookie
from django.utils import timezone
from ninja.security import HttpBearer, SessionAuth

from federation import tokens
from federation.api.seen import seen
from federation.errors import Forbidden, Unauthorized
from federation.models import Client
from federation.services import apikeys, clients, instances
from federation.services.standing import Agent, Browser, Principal, Script

KEY_PREFIX = "flk_"


def client_of(token: str, instance: str | None = None) -> Client:
    """The client behind a token. Raises Unauthorized, or Forbidden for an API key or a disabled client.

    instance: the header FL-Agent-Instance, where the caller sends one. Raises HeldElsewhere.
    """
    if token.startswith(KEY_PREFIX) and apikeys.user_of(token):
        raise Forbidden("This is for client agents; an API key cannot act as a client.")
    who = instances.parse(instance) if instance else None
    client = clients.authenticate(token, now=timezone.now(), instance=who)
    seen.note(token, ("client", client.pk))
    return client


def client_in(headers: dict[str, str]) -> Client:
    """The client that sent these headers. Raises as `client_of` does."""
    token = bearer(headers)
    if token is None:
        raise Unauthorized("This needs the header Authorization: Bearer <client token>.")
    return client_of(token, headers.get(instances.HEADER.lower()))


def operator_of(key: str) -> User:
    """The user behind an API key. Raises Unauthorized, or Forbidden for a client's token."""
    user = apikeys.user_of(key)
    if user is None:
        if not key.startswith(KEY_PREFIX) and client_of(key):
            raise Forbidden("This is for operators; a client's token does not open it.")
        raise Unauthorized("This API key is not known here, or was revoked.")
    seen.note(key, ("user", user.pk))
    return user


def bearer(headers: dict[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def session_key(headers: dict[str, str]) -> str | None:
    return parse_cookie(headers.get("cookie", "")).get(settings.SESSION_COOKIE_NAME)


def browser_user(headers: dict[str, str]) -> User | None:
    """The signed-in user of a request that did not pass Django's middleware."""
    request = HttpRequest()
    request.session = SessionStore(session_key(headers))
    user = get_user(request)
    if isinstance(user, AnonymousUser):
        return None
    seen.note(session_key(headers) or "", ("user", user.pk))
    return user


def look_at(headers: dict[str, str]) -> None:
    """Look whether a request comes from anybody known, before its body is read. Raises Unauthorized or Forbidden."""
    token = bearer(headers)
    if token is None:
        if browser_user(headers) is None:
            raise Unauthorized("This needs a valid token in the header Authorization: Bearer <token>.")
    elif token.startswith(KEY_PREFIX):
        operator_of(token)
    else:
        client_of(token)


def principal_of(headers: dict[str, str], client: Client | None = None) -> Principal:
    """Whom to ask about whether a caller, who was let in already, may go on."""
    if client is not None:
        return Agent(client.pk, client.token_hash)
    token = bearer(headers)
    return Script(tokens.digest(token)) if token else Browser(session_key(headers) or "")


class ClientAuth(HttpBearer):
    """For agents. `request.auth` is the client."""

    def authenticate(self, request: HttpRequest, token: str) -> Client:
        return client_of(token, request.headers.get(instances.HEADER))


class KeyAuth(HttpBearer):
    """For operators' scripts. `request.auth` is the user."""

    def authenticate(self, request: HttpRequest, token: str) -> User:
        return operator_of(token)


class BrowserAuth(SessionAuth):
    """For signed-in browsers; checks the CSRF token of unsafe methods."""

    def __call__(self, request: HttpRequest) -> Any:
        # Who is not signed in lacks a token (401); its CSRF token (403) does not matter.
        return super().__call__(request) if request.user.is_authenticated else None

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        return request.user
