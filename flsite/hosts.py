"""The host names that the server answers to, and the refusal of any other."""

from __future__ import annotations

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from federation.errors import Refused

LONGEST_SHOWN = 100  # characters


class UnknownHost(Refused):
    status = 400
    title = "Not a name of this server"

    def __init__(self, host: str) -> None:
        shown = host if len(host) <= LONGEST_SHOWN else f"{host[:LONGEST_SHOWN]}…"
        super().__init__(
            f"This server does not answer to the host {shown!r}. To allow it, add the name to the setting "
            "FL_ALLOWED_HOSTS."
        )


def check(host: str) -> None:
    """Raises UnknownHost."""
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        raise UnknownHost(host)
