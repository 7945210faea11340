"""Version 0 from a site, for a workload that the server does not have."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from federation import storage, work
from federation.errors import Invalid
from federation.fl import weights
from federation.lifecycle import FileStatus, Origin, Outcome, RoundStatus, SessionStatus, WorkKind
from federation.models import ModelUpload, TrainingSession
from federation.services import models, repair, rounds, seats, sessions
from federation.services.models import damage
from federation.services.rounds import initialising
from federation.storage import room
from tests.federation.cast import SIZE, damage_file, kinds, seat_of, send, settle
from tests.federation.services.evaluating import idle, take

pytestmark = pytest.mark.django_db
NAME, DIGEST = "chest-xray", "d" * 64
KINDS = ["train", "evaluate", "initialise"]
FIRST = {"weight": np.arange(SIZE, dtype=np.float32), "bn.running_var": np.ones(2, np.float32)}


@pytest.fixture
def foreign(draft, alice, now):
    """A session of a workload that only sites have."""

    def foreign(**change) -> TrainingSession:
        session = draft(**{"rounds": 1} | change)
        about = {
            "workload": NAME,
            "workload_digest": DIGEST,
            "workload_options": {"width": 64},
            "workload_version": "2",
        }
        TrainingSession.objects.filter(pk=session.pk).update(**about)
        session.refresh_from_db()
        sessions.start(session, by=alice, now=now)
        return settle(session, now=now)

    return foreign


@pytest.fixture
def sites(enrol):
    """Those who have the workload and send version 0; zoe has it and only trains, yan does not have it."""
    enrol("anna", "ben", kinds=KINDS, workloads={NAME: DIGEST})
    enrol("zoe", kinds=["train"], workloads={NAME: DIGEST})
    enrol("yan", kinds=KINDS, workloads={"other": DIGEST})


def initialise(name: str, now, tensors=None, **metadata: str) -> bool:
    take(name, now)
    return send(name, weights.dump(FIRST if tensors is None else tensors, metadata), now=now)


def test_one_client_that_has_the_workload_is_asked(sites, foreign, now):
    session = foreign()
    round_ = session.round_set.get()
    assert (round_.kind, round_.number, round_.attempt, round_.base_model) == ("initialise", 0, 1, None)
    told = work.describe(take("anna", now))
    assert (told["kind"], told["round"], told["base_model"], told["encoding"]) == ("initialise", 0, None, "float32")
    assert told["workload"] == {"name": NAME, "version": "2", "digest": DIGEST, "options": {"width": 64}}
    assert told["update_url"].endswith(f"/{seat_of('anna').pk}/update")
    assert all(idle(name, now) for name in ("ben", "zoe", "yan"))


def test_what_it_sends_is_version_0_and_the_session_trains(sites, foreign, now):
    session = foreign(quorum=3)
    assert initialise("anna", now, buffers='["bn.running_var"]', made_by="me")
    session = settle(session, now=now)
    first = session.models.get()
    assert (first.version, first.origin, first.digest) == (0, Origin.SITE, weights_digest())
    assert storage.path(first.digest).read_bytes() == weights.dump(FIRST)
    assert session.buffers == ["bn.running_var"]
    made = session.round_set.get(kind=WorkKind.INITIALISE)
    assert (made.status, made.outcome, seat_of("anna").round.kind) == (RoundStatus.COMPLETED, Outcome.MODEL, "train")
    seats.fail(take("yan", now), reason="unknown workload")
    delta = {name: np.zeros_like(array) for name, array in FIRST.items()}
    for name in ("anna", "ben", "zoe"):
        seat = take(name, now)
        body = weights.dump(delta, {"num_examples": "5", "base_digest": seat.round.base.digest})
        assert send(name, body, now=now)
    assert settle(session, now=now).models.count() == 2
    assert [kind for kind in kinds(session) if kind.startswith(("round", "model"))][:3] == [
        *("round.opened", "model.published", "round.completed"),
    ]


def weights_digest() -> str:
    return sha256(weights.dump(FIRST)).hexdigest()


@pytest.mark.parametrize(
    "tensors, why",
    [
        ({"w": np.float32([np.inf])}, "w has values that are not finite"),
        ({"bn.running_var": np.float32([-1])}, "below zero"),
        ({}, "no tensors"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_the_seat_stays_open(sites, foreign, now, tensors, why):
    foreign()
    with pytest.raises(Invalid, match=why):
        initialise("anna", now, tensors)
    assert seat_of("anna").is_open
    assert initialise("anna", now)


def test_another_client_is_asked_where_one_gives_up(sites, foreign, now):
    session = foreign()
    seats.fail(take("anna", now), reason="out of memory")
    session = settle(session, now=now)
    assert session.status == SessionStatus.RUNNING
    assert [seat.client.name for seat in session.active_round(of_any_kind=True).seats.all()] == ["ben"]
    assert initialise("ben", now)
    assert settle(session, now=now).models.exists()


def test_the_session_fails_after_its_retries_with_the_reason(sites, foreign, now):
    session = foreign(max_retries=0)
    seats.fail(take("anna", now), reason="out of memory")
    session = settle(session, now=now)
    assert session.status == SessionStatus.FAILED
    assert session.reason.startswith("No client sent the initial model. 0 of 1 needed updates")
    assert "out of memory" in session.reason


def test_nobody_is_asked_again_where_another_worker_was_faster(sites, foreign, now, monkeypatch):
    session = foreign(quorum=9)
    assert initialise("anna", now)
    choose = initialising._chosen

    def later(*args):
        monkeypatch.setattr(initialising, "_chosen", choose)
        settle(session, now=now)  # version 0 is published after this worker looked for it
        return choose(*args)

    other = TrainingSession.objects.get(pk=session.pk)
    monkeypatch.setattr(initialising, "_chosen", later)
    assert not initialising.open_for(other, now)
    assert session.round_set.filter(kind=WorkKind.INITIALISE).count() == 1


def test_it_waits_while_nobody_can(foreign, enrol, now):
    session = foreign()
    assert session.status == SessionStatus.RUNNING and not session.round_set.exists()
    enrol("anna", kinds=KINDS, workloads={NAME: DIGEST})
    assert settle(session, now=now).round_set.exists()


def test_it_can_be_cancelled_while_it_waits_for_the_file(sites, foreign, alice, now):
    session = foreign()
    sessions.cancel(session, by=alice, now=now)
    assert session.round_set.get().status == RoundStatus.CANCELLED and idle("anna", now)


def test_a_file_that_was_damaged_before_it_was_taken_fails_the_try(sites, foreign, now):
    session = foreign()
    initialise("anna", now)
    damage_file(seat_of("anna").digest, "missing")
    session = settle(session, now=now)
    assert session.round_set.get(attempt=1).reason_code == "misfit"
    assert session.active_round(of_any_kind=True).seats.get().client.name == "ben"


def test_it_waits_while_the_disk_is_full(sites, foreign, now, monkeypatch):
    session = foreign()
    assert initialise("anna", now)
    rounds.advance(session, now=now)
    with monkeypatch.context() as full:
        full.setattr(room, "free_bytes", lambda: room.SPARE_BYTES)
        assert not rounds.advance(session, now=now)
        assert session.round_set.get().status == RoundStatus.AGGREGATING
    assert settle(session, now=now).models.exists()


def test_a_damaged_version_0_of_a_site_is_lost(sites, foreign, now):
    session = foreign()
    initialise("anna", now)
    first = settle(session, now=now).models.get()
    damage_file(first.digest)
    damage.note([first.digest])
    repair.mend(session.pk)
    first.refresh_from_db()
    assert first.file_status == FileStatus.LOST


def test_an_uploaded_file_is_taken_instead(sites, draft, alice, now):
    body = weights.dump(FIRST)
    with storage.scratch() as file:
        file.write_bytes(body)
        storage.put(file, weights_digest())
    upload = ModelUpload.objects.create(digest=weights_digest(), num_bytes=len(body), buffers=["bn.running_var"])
    session = draft()
    TrainingSession.objects.filter(pk=session.pk).update(workload=NAME, initial_model=upload)
    session.refresh_from_db()
    sessions.start(session, by=alice, now=now)
    assert not rounds.advance(session, now=now)
    models.request_initial(session, then=lambda: None)
    first = session.models.get()
    assert (first.origin, first.digest) == (Origin.UPLOAD, upload.digest)
    session.refresh_from_db()
    assert session.buffers == ["bn.running_var"]
    assert not session.round_set.exists()
