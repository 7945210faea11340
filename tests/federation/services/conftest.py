from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from federation import storage
from federation.services import rounds
from tests.federation.cast import send


@pytest.fixture
def closed(open_round, now):
    """A round that is to be aggregated, of anna and ben, who have reported."""

    def closed(**change):
        round_ = open_round("anna", "ben", **change)
        send("anna", now=now, value=0.0, num_examples="10")
        send("ben", now=now, value=1.0, num_examples="30")
        assert rounds.close(round_, now=now)
        round_.refresh_from_db()
        return round_

    return closed


@pytest.fixture
def no_room():
    """Within it, whatever is written to a new file finds the disk full, though a moment ago it was not."""
    if not Path("/dev/full").exists():
        pytest.skip("no device here that is always full")
    scratch_path = storage.scratch_path

    def full():
        file = scratch_path()
        file.symlink_to("/dev/full")
        return file

    @contextmanager
    def no_room():
        with patch.object(storage, "scratch_path", full), patch.object(storage.unfinished, "scratch_path", full):
            yield

    return no_room
