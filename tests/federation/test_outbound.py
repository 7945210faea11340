"""Where the server calls for people, and where it does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from federation import mail, outbound
from flsite import environment
from flsite.environment import Hosts

NOWHERE = Hosts(frozenset(), ())
PRIVATE = [
    "127.0.0.1", "127.8.9.10", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1",
    "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "2002:a00:1::",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "::127.0.0.1", "2001:db8::1",
]  # fmt: skip
PUBLIC = ["93.184.215.14", "8.8.8.8", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:808:808"]


@pytest.fixture(autouse=True)
def nothing_is_listed(settings: Any) -> None:
    settings.FL_WEBHOOK_HOSTS = NOWHERE


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, int]]]:
    """Lets a name stand for these addresses; what was then called comes back."""

    def named(*addresses: str) -> list[tuple[str, int]]:
        called: list[tuple[str, int]] = []
        answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 80)) for one in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)

        def connect(address: tuple[str, int], timeout: float) -> socket.socket:
            called.append(address)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "create_connection", connect)
        return called

    return named


@pytest.mark.parametrize("address", PRIVATE)
def test_no_private_network_is_called(address: str, named: Callable[..., list[tuple[str, int]]]) -> None:
    assert not outbound.may_be_called(ip_address(address))
    called = named(address)
    with pytest.raises(mail.NotSent, match=r"private network\. To allow it, list it in the setting FL_WEBHOOK_HOSTS"):
        mail.webhook("http://hook.example.org/", "hello")
    assert called == []


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str, named: Callable[..., list[tuple[str, int]]]) -> None:
    called = named(address)
    with pytest.raises(mail.NotSent, match="hook.example.org did not accept the call: it refused the connection"):
        mail.webhook("http://hook.example.org:8443/x", "hello")
    assert called == [(address, 8443)]


@given(st.ip_addresses())
def test_what_is_not_public_is_not_called_however_it_is_written(address: Any) -> None:
    if not address.is_global and outbound._meant(address) == address:
        assert not outbound.may_be_called(address)
    if address.version == 4:
        mapped = ip_address(f"::ffff:{address}")
        assert outbound.may_be_called(mapped) == outbound.may_be_called(address)


def test_of_several_addresses_only_the_public_ones_are_called(named: Callable[..., list[tuple[str, int]]]) -> None:
    called = named("10.0.0.1", "8.8.8.8", "127.0.0.1")
    with pytest.raises(mail.NotSent):
        mail.webhook("http://hook.example.org/", "hello")
    assert called == [("8.8.8.8", 80)]


def test_a_name_is_looked_up_once_so_that_it_cannot_change_in_between(
    named: Callable[..., list[tuple[str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    called, answers = named("8.8.8.8"), iter(["8.8.8.8", "127.0.0.1", "127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (next(answers), 80))])
    with pytest.raises(mail.NotSent):
        mail.webhook("https://hook.example.org/", "hello")
    assert called == [("8.8.8.8", 443)]


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "127.1", "localhost:1", "LOCALHOST.", "a.localhost", "[::1]", "0"]
)
def test_odd_spellings_of_this_machine_reach_nothing(host: str) -> None:
    with pytest.raises(mail.NotSent, match="private network|unknown"):
        mail.webhook(f"http://{host}/", "hello")


@pytest.mark.parametrize("listed", ["127.0.0.0/8", "127.0.0.1", "localhost", "LocalHost."])
def test_what_is_listed_is_called(listed: str, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_WEBHOOK_HOSTS", f"hooks.internal, {listed}")
    settings.FL_WEBHOOK_HOSTS = environment.hosts("FL_WEBHOOK_HOSTS")
    with answering(b"HTTP/1.1 204 No Content\r\n\r\n") as port:
        host = "localhost" if "ost" in listed else "127.0.0.1"
        assert outbound.post(urlsplit(f"http://{host}:{port}/"), "{}") == 204


@pytest.mark.parametrize("listed", ["http://x/", "a b", "10.0.0.1/8", "*"])
def test_a_setting_that_names_no_host_is_refused(listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FL_WEBHOOK_HOSTS", listed)
    with pytest.raises(ImproperlyConfigured, match="FL_WEBHOOK_HOSTS"):
        environment.hosts("FL_WEBHOOK_HOSTS")


def test_what_answers_is_not_told(settings: Any) -> None:
    settings.FL_WEBHOOK_HOSTS = Hosts(frozenset(), (ip_network("127.0.0.1"),))
    with answering(b"SSH-2.0-OpenSSH_9.2 secret\r\n") as port, pytest.raises(mail.NotSent) as refused:
        mail.webhook(f"http://127.0.0.1:{port}/", "hello")
    assert str(refused.value) == "127.0.0.1 did not accept the call: its HTTP is invalid."
    with answering(b"SSH-2.0-OpenSSH_9.2 secret\r\n") as port, pytest.raises(mail.NotSent, match="TLS") as refused:
        mail.webhook(f"https://127.0.0.1:{port}/", "hello")
    assert "secret" not in str(refused.value)
    with (
        answering(b"HTTP/1.1 500 secret words\r\nX-Secret: 1\r\n\r\nsecret") as port,
        pytest.raises(mail.NotSent) as refused,
    ):
        mail.webhook(f"http://127.0.0.1:{port}/", "hello")
    assert str(refused.value) == "127.0.0.1 answered with status 500."


@pytest.mark.parametrize("drop", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_who_drips_is_cut(drop: bytes, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.FL_WEBHOOK_HOSTS = Hosts(frozenset(), (ip_network("127.0.0.1"),))
    monkeypatch.setattr(outbound, "SECONDS_IN_ALL", 0.3)
    with answering(drop, times=10_000) as port, pytest.raises(mail.NotSent, match="did not answer in time"):
        mail.webhook(f"http://127.0.0.1:{port}/", "hello")


@contextmanager
def answering(answer: bytes, times: int = 1) -> Iterator[int]:
    """A server on this machine that says this to the first who calls, so many times."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                for _ in range(times):
                    try:
                        connection.sendall(answer)
                    except OSError:
                        return
                    if times > 1:
                        time.sleep(0.02)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)
