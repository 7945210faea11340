"""A server over HTTPS: its certificate is checked."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clientagent import connection
from clientagent.api import Api
from clientagent.errors import Dropped
from clientagent.link import Link
from tests.clientagent.fake_server import FakeServer, cut, plainly


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fl.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(encoding, form, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(encoding))
    return path


@pytest.fixture
def secure(server: FakeServer, certificate: Path, said: list[str]) -> Iterator[Api]:
    server.secure(certificate)
    connection._tls.cache_clear()
    api = Api(server.url.replace("http:", "https:"), server.enrolled(), Link(said.append))
    yield api
    api.close()
    connection._tls.cache_clear()


def test_a_server_with_a_trusted_certificate_is_spoken_to(secure: Api, server, certificate: Path, said, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    seat = server.offer()
    server.script("GET", "/work", plainly, cut)
    assert secure.work(0) == secure.work(0) == seat.work
    assert said == []


def test_a_certificate_that_is_not_trusted_is_named(secure: Api, server: FakeServer, said: list[str], until):
    stop = threading.Event()
    secure.stop = stop
    thread = threading.Thread(target=lambda: pytest.raises(Dropped, secure.work, 0), daemon=True)
    thread.start()
    until(lambda: said)
    stop.set()
    thread.join(5)
    assert "its certificate is not trusted: self-signed certificate" in said[0]
    assert server.seen == []


def test_certificates_are_checked_by_default():
    assert connection._tls().verify_mode == ssl.CERT_REQUIRED and connection._tls().check_hostname
