"""Weight files, kept under their SHA-256. A file is complete from the moment it has its name."""

from federation.storage import seals, spare
from federation.storage.arriving import room_for
from federation.storage.files import delete, put, set_aside, stored
from federation.storage.locking import deleting, keeping
from federation.storage.places import exists, local, num_bytes, path
from federation.storage.room import (
    free_bytes,
    has_room_again,
    is_full,
    is_nearly_full,
    refusing_when_full,
    require_room,
)
from federation.storage.unfinished import (
    lies_at,
    model_upload_path,
    remove_abandoned,
    scratch,
    scratch_path,
    sweep,
    sweep_uploads,
    upload_path,
)
from federation.storage.wholeness import Check, digest_of, is_sound, is_whole, was_whole

__all__ = [
    "Check",
    "delete",
    "deleting",
    "digest_of",
    "exists",
    "free_bytes",
    "has_room_again",
    "is_full",
    "is_nearly_full",
    "is_sound",
    "is_whole",
    "keeping",
    "lies_at",
    "local",
    "model_upload_path",
    "num_bytes",
    "path",
    "put",
    "refusing_when_full",
    "remove_abandoned",
    "require_room",
    "room_for",
    "scratch",
    "scratch_path",
    "seals",
    "set_aside",
    "spare",
    "stored",
    "sweep",
    "sweep_uploads",
    "upload_path",
    "was_whole",
]
