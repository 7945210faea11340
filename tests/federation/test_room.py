"""The disk's reserve."""

import pytest

from federation import storage
from federation.errors import StorageFull
from federation.storage import room


def test_what_is_free_is_asked_again_after_a_moment_only(monkeypatch):
    now, free = [1.0], [room.SPARE_BYTES + 100]
    monkeypatch.setattr(room, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(room.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(room, "free_bytes", lambda: free[0])
    monkeypatch.setattr(room, "_look", room.Look())
    storage.require_room(100)
    with pytest.raises(StorageFull):
        storage.require_room(101)
    free[0] = room.SPARE_BYTES
    storage.require_room(100)
    now[0] += 0.02
    with pytest.raises(StorageFull):
        storage.require_room(1)
