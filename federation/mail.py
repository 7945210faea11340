"""Sends a sentence to a webhook or by e-mail. Every call ends within seconds, with a reason where it failed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from smtplib import SMTPException
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.validators import validate_email

from federation import outbound

MAX_URL = 500


class NotSent(Exception):
    """Why somebody was not told."""


def check_url(url: str) -> str:
    """An address that a webhook may have. Raises ValueError with what is allowed."""
    allowed = "use http://HOST/… or https://HOST/…, without a name and password"
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise ValueError(allowed)
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url.strip():
        raise ValueError(f"{allowed}, up to {MAX_URL} characters of plain ASCII")
    _ = parts.port  # raises ValueError where it is no number
    outbound.check_host(parts.hostname)
    return url.strip()


def check_addresses(text: str) -> list[str]:
    """E-mail addresses separated by commas. Raises ValidationError naming what is none."""
    found = [address.strip() for address in text.split(",") if address.strip()]
    for address in found:
        validate_email(address)
    return found


def webhook(url: str, text: str) -> None:
    """POST `{"text": …}`, which Slack, Mattermost and many others take. Redirects are not followed. Raises NotSent."""
    parts = urlsplit(url)
    try:
        status = outbound.post(urlsplit(check_url(url)), json.dumps({"text": text}))
    except (outbound.NotReached, ValueError) as error:
        raise NotSent(f"{error}.") from error
    if not 200 <= status < 300:
        raise NotSent(f"{parts.hostname} answered with status {status}.")


def email(addresses: Sequence[str], subject: str, text: str) -> None:
    """Send by Django's e-mail backend. Raises NotSent."""
    if not settings.FL_EMAIL_IS_SET_UP:
        raise NotSent("E-mail is not set up on this server: set FL_EMAIL_URL.")
    try:
        EmailMessage(" ".join(subject.split())[:150], text, to=list(addresses)).send()
    except (OSError, SMTPException) as error:
        raise NotSent(f"The mail server did not take it: {error}") from error
