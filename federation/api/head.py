"""What a request that did not pass Django's middleware says before its body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, parse_cookie


@dataclass(frozen=True, slots=True)
class Head:
    """headers: by their names in lower case. peer: the address that the request comes from; empty if unknown."""

    headers: dict[str, str]
    peer: str = ""

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Head:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        peer = scope.get("client")
        return cls(headers, peer[0] if peer else "")

    def as_request(self, method: str = "GET") -> HttpRequest:
        """The same for Django's functions."""
        request = HttpRequest()
        request.method, request.COOKIES = method, parse_cookie(self.headers.get("cookie", ""))
        request.META = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        request.META["REMOTE_ADDR"] = self.peer
        return request
