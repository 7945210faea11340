"""Calls to addresses that people typed: never into a private network, unless FL_WEBHOOK_HOSTS lists the host.

A name is resolved once, and the address that was checked is the one that is called, even if the name changes its
address in between. Redirects are not followed, and only the status of the answer is read.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from threading import Timer
from urllib.parse import SplitResult

from django.conf import settings

log = logging.getLogger(__name__)
Address = IPv4Address | IPv6Address

SECONDS = 5.0  # for one step: to connect, or to answer
SECONDS_IN_ALL = 10.0
TRANSLATED = tuple(ip_network(n) for n in ("64:ff9b::/96", "64:ff9b:1::/48"))  # NAT64: the last 32 bits are IPv4
COMPATIBLE = ip_network("::/96")  # an old way to write IPv4 in IPv6


class NotReached(Exception):
    """Why a call failed, in words that reveal nothing about the other side."""


def host_is_listed(host: str) -> bool:
    """Whether FL_WEBHOOK_HOSTS names this host."""
    return host.lower().rstrip(".") in settings.FL_WEBHOOK_HOSTS.names


def may_be_called(address: Address) -> bool:
    """Whether it is in the public internet, or in a network of FL_WEBHOOK_HOSTS."""
    meant = _meant(address)
    listed = any(one in network for one in (address, meant) for network in settings.FL_WEBHOOK_HOSTS.networks)
    return listed or _is_public(meant)


def _is_public(address: Address) -> bool:
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    if address.teredo:
        return address.teredo[1]
    if address in COMPATIBLE or any(address in network for network in TRANSLATED):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def check_host(host: str) -> None:
    """Raises ValueError, with what to do, for a host whose spelling shows that it is private."""
    if host_is_listed(host):
        return
    name = host.lower().rstrip(".")
    try:
        public = may_be_called(ip_address(name))
    except ValueError:
        public = name != "localhost" and not name.endswith(".localhost")
    if not public:
        raise ValueError(_forbidden(host))


def _forbidden(host: str) -> str:
    return f"{host} is in a private network. To allow it, list it in the setting FL_WEBHOOK_HOSTS"


def _addresses(host: str, port: int) -> list[Address]:
    """Where a host may be called. Raises NotReached."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotReached(f"{host} did not accept the call: its name is unknown") from error
    addresses = [ip_address(str(info[4][0]).partition("%")[0]) for info in found]
    called = [one for one in dict.fromkeys(addresses) if host_is_listed(host) or may_be_called(one)]
    if not called:
        raise NotReached(_forbidden(host))
    return called


def post(url: SplitResult, body: str) -> int:
    """POST JSON; returns the status of the answer. Raises NotReached."""
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    addresses = _addresses(host, port)
    connection = _Pinned(host, port, addresses) if url.scheme == "http" else _PinnedTls(host, port, addresses)
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    headers = {"Content-Type": "application/json", "Connection": "close"}
    try:
        connection.connect()
        with _ended_in_time(connection):
            connection.request("POST", target, body, headers)
            return connection.getresponse().status
    except (OSError, HTTPException, ValueError) as error:
        log.info("POST to %s failed: %r", host, error)
        raise NotReached(f"{host} did not accept the call: {_why(error)}") from error
    finally:
        connection.close()


def _why(error: Exception) -> str:
    """A cause in our own words: those of the other side could reveal what is there."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is invalid"
    if isinstance(error, ssl.SSLError):
        return "its TLS is invalid"
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "it refused the connection"
    if isinstance(error, OSError):
        return "it is unreachable, or closed the connection"
    return "its HTTP is invalid"


class _Pinned(HTTPConnection):
    """A connection to addresses that were checked, whatever the name resolves to now."""

    def __init__(self, host: str, port: int, addresses: list[Address]) -> None:
        super().__init__(host, port, timeout=SECONDS)
        self._addresses = addresses

    def connect(self) -> None:
        self.sock = _connected(self._addresses, self.port)


class _PinnedTls(HTTPSConnection):
    """The same by TLS, with the host's certificate."""

    def __init__(self, host: str, port: int, addresses: list[Address]) -> None:
        self._secured = ssl.create_default_context()
        super().__init__(host, port, timeout=SECONDS, context=self._secured)
        self._addresses = addresses

    def connect(self) -> None:
        self.sock = self._secured.wrap_socket(_connected(self._addresses, self.port), server_hostname=self.host)


def _connected(addresses: list[Address], port: int) -> socket.socket:
    """A connection to the first of at most four that accepts one."""
    failed: OSError = ConnectionRefusedError()
    for address in addresses[:4]:
        try:
            return socket.create_connection((str(address), port), timeout=SECONDS)
        except OSError as error:
            failed = error
    raise failed


@contextmanager
def _ended_in_time(connection: HTTPConnection) -> Iterator[None]:
    """Cut the connection after SECONDS_IN_ALL, even if the other side keeps sending."""
    sock, late = connection.sock, []

    def cut() -> None:
        late.append(True)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(SECONDS_IN_ALL, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException) as error:
        raise TimeoutError if late else error from None
    finally:
        timer.cancel()
