"""check_storage: every fault is brought about on a real file, and told or repaired."""

import threading

import pytest
from django.core.management import call_command

from federation import storage
from federation.lifecycle import FileStatus, RoundStatus, SeatStatus, SessionStatus
from federation.models import Event, Participation
from federation.services import clients, inspection, retention
from tests.federation.cast import damage_file, kinds, last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(open_round, now):
    """Two of three rounds are done; ben has reported for the third."""
    session = open_round("anna", "ben", rounds=3, cohort_size=2).session
    for number in (1, 2):
        for name in ("anna", "ben"):
            send(name, now=now, value=number / 10 + (name == "ben"))
        settle(session, now=now)
    send("ben", now=now, value=0.7)
    return session


@pytest.fixture
def check(capsys):
    """The command's status, and what it said."""

    def check(*words: str) -> tuple[int, str]:
        status = 0
        try:
            call_command("check_storage", *words)
        except SystemExit as end:
            status = int(end.code or 0)
        return status, capsys.readouterr().out

    return check


def test_a_store_that_is_whole(session, check):
    assert check() == (0, "Every file is there, fits its digest and is needed.\n")


@pytest.mark.parametrize("how, said", [("flipped", "damaged"), ("missing", "missing")])
def test_a_model_is_told_then_made_again(session, check, how, said):
    model = session.models.get(version=1)
    damage_file(model.digest, how)
    status, text = check()
    assert status == 1 and f"{said:<8} {model.digest[:16]}…  model v1 of first" in text and "--repair" in text
    model.refresh_from_db()
    assert model.file_status == FileStatus.STORED, "it only looks"
    status, text = check("--repair")
    assert status == 0 and "It was made again." in text
    assert storage.is_whole(model.digest)
    assert check()[0] == 0
    assert kinds(session)[-2:] == ["storage.damaged", "storage.repaired"]


def test_models_that_stand_on_each_other_are_made_again_in_their_order(session, check):
    for model in session.models.all():
        damage_file(model.digest)
    status, text = check("--repair")
    assert status == 0 and text.count("It was made again.") == 3
    assert all(storage.is_whole(model.digest) for model in session.models.all())


def test_a_model_that_cannot_be_made_again_is_lost_and_told_once(session, check):
    damage_file(session.models.get(version=1).digest)
    Participation.objects.filter(round__number=1).update(file_status=FileStatus.REMOVED)
    status, text = check("--repair")
    assert status == 1 and "It is lost" in text
    assert session.models.get(version=1).file_status == FileStatus.LOST
    status, text = check("--repair")
    assert status == 0, text


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_an_update_of_a_round_that_is_over_is_lost(session, check, how):
    seat = session.round_set.get(number=1).seats.get(client__name="anna")
    damage_file(seat.digest, how)
    assert "the update of anna in round 1 of first" in check()[1]
    status, text = check("--repair")
    assert status == 1 and "It is lost" in text
    seat.refresh_from_db()
    assert seat.file_status == FileStatus.LOST
    assert check()[0] == 0


def test_an_update_of_the_open_round_is_asked_for_again_by_the_round(session, check, now):
    damage_file(seat_of("ben").digest)
    status, text = check("--repair")
    assert status == 0 and "asked again when the round closes" in text
    send("anna", now=now)
    settle(session, now=now)
    assert Event.Kind.ROUND_REOPENED in kinds(session)
    send("ben", now=now, value=0.7)
    assert settle(session, now=now).status == SessionStatus.COMPLETED


def test_an_update_of_the_open_round_that_counts_no_longer_is_lost(session, check):
    """Its client was disabled, so that nobody is asked for it."""
    seat = seat_of("ben")
    clients.set_enabled(seat.client, False, by="alice")
    damage_file(seat.digest)
    status, text = check("--repair")
    assert status == 1 and "It is lost" in text and "asked again" not in text
    seat.refresh_from_db()
    assert (seat.status, seat.file_status) == (SeatStatus.DROPPED, FileStatus.LOST)
    assert last_payload(session, Event.Kind.STORAGE_DAMAGED)["then"] == "lost"
    assert check()[0] == 0


def test_an_optimizer_state_is_made_again_with_its_model(open_round, check, now):
    session = open_round("anna", rounds=1, strategy="fedadam").session
    send("anna", now=now)
    settle(session, now=now)
    digest = session.last_model().slots_digest
    damage_file(digest)
    assert "the optimizer state of model v1 of first" in check()[1]
    assert check("--repair")[0] == 0
    assert storage.is_whole(digest)


def test_a_file_that_nothing_needs_is_told_then_deleted(session, check, tmp_path):
    (tmp_path / "file").write_bytes(b"of a process that was killed")
    storage.put(tmp_path / "file", "ab" * 32)
    status, text = check()
    assert status == 1 and "orphaned abababababababab…  needed by nothing" in text
    status, text = check("--repair")
    assert status == 0 and "Deleted." in text
    assert not storage.exists("ab" * 32)


def test_while_a_backup_copies_nothing_is_deleted(session, check, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.locking, "LOCK_SECONDS", 0.01)
    (tmp_path / "file").write_bytes(b"of a process that was killed")
    storage.put(tmp_path / "file", "ab" * 32)
    with storage.keeping():
        status, text = check("--repair")
    assert status == 1 and "such as a backup" in text


def test_a_model_that_waits_for_the_evaluator_is_left(session, check, monkeypatch):
    """Nobody answers here, as where torch cannot be started."""
    monkeypatch.setattr(inspection, "EVALUATOR_SECONDS", 0.01)
    monkeypatch.setattr(inspection.repair, "mend", lambda *_: False)
    damage_file(session.models.get(version=1).digest)
    status, text = check("--repair")
    assert status == 1 and "a worker goes on trying" in text


def test_a_model_that_a_worker_is_making_is_waited_for(session, check, monkeypatch):
    class Meanwhile(threading.Event):
        def wait(self, timeout=None):
            assert mend(session.pk)
            return super().wait(timeout)

    mend = inspection.repair.mend
    monkeypatch.setattr(inspection, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(inspection, "Event", Meanwhile)
    monkeypatch.setattr(inspection.repair, "mend", lambda *_: False)
    damage_file(session.models.get(version=1).digest)
    status, text = check("--repair")
    assert status == 0 and "It was made again." in text


def test_what_retention_removed_is_no_fault(session, check, settings):
    settings.FL_KEEP_UPDATES, settings.FL_KEEP_MODELS = 1, "best_and_last"
    retention.expire(type(session).objects.all())
    assert session.round_set.get(number=1).status == RoundStatus.COMPLETED
    assert session.models.filter(file_status=FileStatus.REMOVED).exists()
    assert check()[0] == 0
