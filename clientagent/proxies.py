"""The proxy that the environment names for a server, and how to sign in to it."""

from __future__ import annotations

import base64
import ipaddress
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_for(url: SplitResult) -> SplitResult | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for this server. Never for the own machine."""
    host = url.hostname or ""
    address = getproxies().get(url.scheme)
    if not address or is_loopback(host) or proxy_bypass(host):
        return None
    return urlsplit(address if "//" in address else f"http://{address}")


def sign_in(proxy: SplitResult) -> dict[str, str]:
    """The header with the proxy's name and password, if its address has them."""
    if not proxy.username:
        return {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
