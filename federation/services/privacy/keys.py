"""The secret of a private session, in the database alone: no page, log, answer or backup has it."""

from __future__ import annotations

from federation.fl.privacy import noise
from federation.models import NoiseKey, TrainingSession


def key(session: TrainingSession) -> bytes:
    """Made with the session; made anew where a restored backup left it out, so that older models cannot be repeated."""
    found, _ = NoiseKey.objects.get_or_create(session=session, defaults={"key": noise.new_key().hex()})
    return bytes.fromhex(found.key)


def selection_seed(session: TrainingSession) -> int:
    """What the clients of its rounds are drawn by. Of a private session nobody can foretell it, as is claimed."""
    if session.privacy == "none":
        return session.seed
    return int.from_bytes(noise.derived(key(session), b"selection")[:8], "big")
