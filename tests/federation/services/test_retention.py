import threading

import pytest

from federation import storage
from federation.services import retention, sessions
from tests.federation.cast import send, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def ended(open_round, now):
    """A session of one round that is done."""
    session = open_round("anna", rounds=1).session
    send("anna", now=now)
    return settle(session, now=now)


def stored() -> set[str]:
    return set().union(*storage.stored())


def test_nothing_is_deleted_while_somebody_keeps(ended, monkeypatch):
    monkeypatch.setattr(storage, "LOCK_SECONDS", 0.05)
    before = stored()
    with storage.keeping():
        sessions.delete(ended)
        assert stored() == before
    assert retention.delete_unused(before) == len(before) == 3
    assert not stored()


def test_what_is_stored_while_somebody_deletes_waits_for_it():
    stored_at_last = threading.Event()

    def store() -> None:
        with storage.keeping():
            stored_at_last.set()

    with storage.deleting() as may:
        assert may
        thread = threading.Thread(target=store)
        thread.start()
        assert not stored_at_last.wait(0.05)
    thread.join(10)
    assert stored_at_last.is_set()
