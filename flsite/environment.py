"""Readers for settings from the environment that refuse nonsense instead of guessing."""

import grp
import os
import re
import secrets
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")
LOCATION = re.compile(r"/(?:[\w.~-]+/)+", re.ASCII)


def text(name: str, default: str = "") -> str:
    """The variable's value, or the content of the file that NAME_FILE names: a secret that no environment shows."""
    value, file = os.environ.get(name, "").strip(), os.environ.get(f"{name}_FILE", "").strip()
    if value and file:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: use one of them.")
    return (_content(f"{name}_FILE", Path(file).expanduser()) if file else value) or default


def _content(name: str, file: Path) -> str:
    try:
        value = file.read_text().strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ImproperlyConfigured(f"{name}: the file {file} cannot be read: {reason}.") from error
    if not value:
        raise ImproperlyConfigured(f"{name}: the file {file} is empty.")
    return value


def flag(name: str, default: bool) -> bool:
    value = text(name, str(int(default)))
    if value not in ("0", "1"):
        raise ImproperlyConfigured(f"{name}={value!r}: use 0 or 1.")
    return value == "1"


def whole(name: str, default: int, *, minimum: int, maximum: int) -> int:
    value = text(name, str(default))
    if not value.isdecimal() or len(value) > 18 or not minimum <= int(value) <= maximum:
        raise ImproperlyConfigured(f"{name}={value!r}: use a whole number from {minimum} to {maximum}.")
    return int(value)


def fitting(name: str, default: str, pattern: str, allowed: str) -> str:
    """A word that fits a pattern; allowed: what the refusal of any other says."""
    value = text(name, default)
    if not re.fullmatch(pattern, value):
        raise ImproperlyConfigured(f"{name}={value!r}: use {allowed}.")
    return value


def names(name: str, default: list[str]) -> list[str]:
    """A comma-separated list."""
    return [part.strip() for part in text(name).split(",") if part.strip()] or default


@dataclass(frozen=True, slots=True)
class Hosts:
    """Hosts by name, and networks of addresses."""

    names: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]


def hosts(name: str) -> Hosts:
    """A comma-separated list of host names, addresses and networks (10.0.0.0/8)."""
    known, networks = set(), []
    for part in names(name, []):
        try:
            networks.append(ip_network(part.strip("[]")))
        except ValueError:
            if not HOST.fullmatch(part):
                raise ImproperlyConfigured(
                    f"{name}: {part!r} is not valid. Use host names, addresses, or networks such as 10.0.0.0/8."
                ) from None
            known.add(part.lower().rstrip("."))
    return Hosts(frozenset(known), tuple(networks))


def url(name: str, *schemes: str) -> str:
    """A URL of one of these schemes, or an empty string where the variable is not set."""
    value = text(name)
    if value and value.partition("://")[0] not in schemes:
        raise ImproperlyConfigured(f"{name} must begin with {' or '.join(f'{s}://' for s in schemes)}.")
    return value


def location(name: str) -> str:
    """A path of a web server's location, e.g. /protected/, or an empty string where the variable is not set."""
    value = text(name)
    if value and not LOCATION.fullmatch(value):
        raise ImproperlyConfigured(f"{name}={value!r}: use a path that begins and ends with /, as /protected/.")
    return value


def email(url: str) -> dict[str, Any]:
    """Django's e-mail settings for smtp://name:password@host:587 (STARTTLS where a name is given) or smtps://."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps"):
        backend = {"memory": "locmem", "console": "console"}.get(parts.scheme, "dummy")
        return {"EMAIL_BACKEND": f"django.core.mail.backends.{backend}.EmailBackend"}
    secure = parts.scheme == "smtps"
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname or "localhost",
        "EMAIL_PORT": parts.port or (465 if secure else 587 if parts.username else 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": secure,
        "EMAIL_USE_TLS": not secure and bool(parts.username),
    }


def folder(name: str, default: Path) -> Path:
    """A folder that exists (it is made) and can be written."""
    path = Path(text(name) or default).expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: the folder {path} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ImproperlyConfigured(f"{name}: no permission to write in {path}.")
    return path


def existing_folder(name: str) -> Path | None:
    """A folder that is there, or None if the variable is not set."""
    value = text(name)
    if not value:
        return None
    path = Path(value).expanduser().absolute()
    if not path.is_dir() or not os.access(path, os.R_OK | os.X_OK):
        raise ImproperlyConfigured(f"{name}={value!r}: use an existing folder that the server's user can read.")
    return path


def group(name: str) -> int | None:
    """The id of a group that may own this process's files, or None if the variable is not set."""
    value = text(name)
    if not value:
        return None
    try:
        found = grp.getgrnam(value).gr_gid
    except KeyError:
        raise ImproperlyConfigured(f"{name}={value!r}: this machine has no such group.") from None
    if os.geteuid() != 0 and found not in (os.getegid(), *os.getgroups()):
        raise ImproperlyConfigured(f"{name}={value!r}: the server's user is not in this group.")
    return found


def kept_secret(path: Path) -> str:
    """A random secret that is made once and kept in a file that only its owner can read."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text() or _written(os.open(path, os.O_WRONLY))
    return _written(handle)


def _written(handle: int) -> str:
    secret = secrets.token_urlsafe(50)
    with os.fdopen(handle, "w") as file:
        file.write(secret)
    return secret
