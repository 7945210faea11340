"""Secrets that are shown once: client tokens, join codes and API keys. The database keeps their SHA-256."""

import secrets
from hashlib import sha256

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # 32 letters that nobody mistakes for another: 5 bits each


def digest(secret: str) -> str:
    """What is stored. A plain hash suffices: every secret is random and long enough that guessing is hopeless."""
    return sha256(secret.encode()).hexdigest()


def client_token() -> str:
    return secrets.token_hex(32)


def api_key() -> str:
    return f"flk_{secrets.token_urlsafe(32)}"


def join_code() -> str:
    """Sixteen letters in four groups, 80 bits: short enough to read out, long enough not to be guessed."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(16))
    return "-".join(letters[i : i + 4] for i in range(0, 16, 4))


def normal_code(code: str) -> str:
    """A join code as it was made, however it was typed."""
    letters = "".join(code.upper().split()).replace("-", "")
    return "-".join(letters[i : i + 4] for i in range(0, len(letters), 4))
