"""nginx itself reads the configuration of the stack, plain and with a certificate."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT
from tests.images import standins
from tests.images.container import Container, Mount

NAMES = {"certificate": "-out", "certificate_key": "-keyout"}  # in /run/secrets, and openssl's option for each


@pytest.fixture
def secrets(tmp_path: Path) -> list[Mount]:
    """A certificate and its key, as Compose mounts them."""
    files = {name: tmp_path / name for name in NAMES}
    where = [word for name, option in NAMES.items() for word in (option, str(files[name]))]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=fl.example.org", *where]
    subprocess.run(command, check=True, capture_output=True)
    for file in files.values():
        file.chmod(0o644)  # or another user could not read the key
    return [Mount(file, f"/run/secrets/{name}") for name, file in files.items()]


def said(tmp_path: Path, listen: str, secrets: list[Mount]) -> str:
    (tmp_path / "hosts").write_text("127.0.0.1 web\n")
    root, parts = standins.root(tmp_path / "root", "nginx")
    (root / "run/secrets").mkdir(parents=True)
    of_stack = {"nginx.conf": "nginx.conf", listen: "listen.conf"}
    mounts = [Mount(ROOT / "deploy/nginx" / name, f"/etc/nginx/{there}") for name, there in of_stack.items()]
    container = Container(
        root, [], standins.USERS["nginx"], {"PATH": standins.PATH}, mounts=[*parts, *mounts, *secrets],
        temporary=["/tmp", "/bodies"], hosts=tmp_path / "hosts",
    )  # fmt: skip
    return container.run(["nginx", "-t", "-c", "/etc/nginx/nginx.conf"]).stderr


@pytest.mark.parametrize("listen", ["plain.conf", "tls.conf"])
def test_nginx_finds_no_fault(tmp_path: Path, secrets: list[Mount], listen: str):
    assert "test is successful" in said(tmp_path, listen, secrets)


def test_it_would_find_one(tmp_path: Path):
    assert "cannot load certificate" in said(tmp_path, "tls.conf", [])
