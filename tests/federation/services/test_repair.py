"""Files with a flipped bit, and files that are gone: found before they are used, told, and mended."""

from datetime import timedelta

import pytest

from federation import reasons, storage, tasks
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.synthetic import Synthetic
from federation.lifecycle import FileStatus, RoundStatus, SeatStatus, SessionStatus
from federation.models import Event, GlobalModel, Participation
from federation.services import clients, inspection, models, repair, rounds, seats, steps
from federation.services.models import damage
from tests.federation.cast import damage_file, kinds, last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db
DAMAGES = pytest.mark.parametrize("how", ["flipped", "missing"])


@pytest.fixture
def trained(closed, now):
    """A session that has made its models v1 and v2."""

    def trained(**change):
        session = settle(closed(rounds=3, **change).session, now=now)
        send("anna", now=now, value=2.0)
        send("ben", now=now, value=3.0)
        return settle(session, now=now)

    return trained


# ---- updates


@DAMAGES
def test_a_damaged_update_is_asked_for_again_and_the_model_is_the_same(closed, now, how):
    round_ = closed(rounds=1)
    digest = seat_of("ben").digest
    damage_file(digest, how)
    assert rounds.advance(round_.session, now=now)
    round_.refresh_from_db()
    assert round_.status == RoundStatus.COLLECTING
    assert (seat_of("anna").status, seat_of("ben").status) == (SeatStatus.REPORTED, SeatStatus.INVITED)
    told = last_payload(round_.session, Event.Kind.STORAGE_DAMAGED)
    assert (told["client"]["name"], told["digest"], told["missing"]) == ("ben", digest, how == "missing")
    assert told["then"] == "asked_again"
    reopened = last_payload(round_.session, Event.Kind.ROUND_REOPENED)
    assert [client["name"] for client in reopened["clients"]] == ["ben"]

    send("ben", now=now, value=1.0, num_examples="30")
    session = settle(round_.session, now=now)
    assert session.status == SessionStatus.COMPLETED
    assert session.last_model().digest == undisturbed(session)
    assert list(round_.seats.values_list("status", flat=True)) == [SeatStatus.AGGREGATED] * 2


def undisturbed(session):
    """What the stored updates make when nothing happens to them."""
    model = session.last_model()
    with storage.scratch() as out, storage.scratch() as slots:
        seats_ = repair.building.counted(model.round)
        return repair.building.make(model.round, seats_, out, slots, lambda: None).digest


def test_the_work_is_offered_again_to_the_client_whose_update_was_damaged(closed, now):
    round_ = closed()
    before = seat_of("ben")
    damage_file(before.digest)
    rounds.advance(round_.session, now=now)
    offered = seats.offer(before.client, now=now)
    assert offered == before and offered.status == SeatStatus.TRAINING


def test_a_client_has_the_time_of_a_round_to_send_again(closed, now):
    round_ = closed()
    damage_file(seat_of("ben").digest)
    round_.deadline = now
    round_.save(update_fields=["deadline"])
    rounds.advance(round_.session, now=now)
    round_.refresh_from_db()
    assert round_.deadline >= now + timedelta(seconds=600)


def test_where_the_client_cannot_be_asked_again_the_quorum_decides(closed, running, now):
    round_ = closed(rounds=1, quorum=1)
    ben = seat_of("ben")
    assert settle(running(name="second"), now=now).active_round().seats.filter(client=ben.client).exists()
    damage_file(ben.digest)
    session = settle(round_.session, now=now)
    ben.refresh_from_db()
    assert (ben.status, ben.file_status) == (SeatStatus.DROPPED, FileStatus.LOST)
    assert last_payload(session, Event.Kind.STORAGE_DAMAGED)["then"] == "lost"
    assert_made_of_one(session)


def assert_made_of_one(session):
    assert session.status == SessionStatus.COMPLETED
    assert session.last_model().round.seats.filter(status=SeatStatus.AGGREGATED).count() == 1


def disable(seat):
    clients.set_enabled(seat.client, False, by="alice")


@DAMAGES
@pytest.mark.parametrize("first", ["disabled", "damaged", "asked again"])
def test_where_the_client_is_disabled_the_quorum_decides_too(closed, now, how, first):
    """Its update counts no longer, damaged or not, and the log says why."""
    round_ = closed(rounds=1, quorum=1)
    ben = seat_of("ben")
    if first == "disabled":
        disable(ben)
    damage_file(ben.digest, how)
    if first == "asked again":
        assert rounds.advance(round_.session, now=now)
    if first != "disabled":
        disable(ben)
    session = settle(round_.session, now=now)
    ben.refresh_from_db()
    assert (ben.status, ben.withdrawn, ben.reason) == (SeatStatus.DROPPED, True, "The client was disabled.")
    assert last_payload(session, Event.Kind.SEAT_DROPPED)["reason"] == "The client was disabled."
    assert kinds(session).count("storage.damaged") == (first == "asked again")
    assert_made_of_one(session)


def test_the_damaged_file_of_a_disabled_client_is_lost_once_it_is_looked_at(closed, now):
    round_ = closed(rounds=1, quorum=1)
    ben = seat_of("ben")
    disable(ben)
    damage_file(ben.digest)
    session = settle(round_.session, now=now)
    assert [finding.digest for finding in inspection.mend(inspection.inspect(ignored, ignored))] == [ben.digest]
    ben.refresh_from_db()
    assert (ben.status, ben.file_status) == (SeatStatus.DROPPED, FileStatus.LOST)
    assert last_payload(session, Event.Kind.STORAGE_DAMAGED)["then"] == "lost"
    assert_made_of_one(session)


def ignored(_):
    """Nobody watches how far it is."""


def test_a_worker_that_lost_its_claim_reopens_nothing(closed, now):
    round_ = closed()
    assert not rounds.reopen(round_, "another token", [seat_of("ben")], now=now)
    assert seat_of("ben").status == SeatStatus.REPORTED


# ---- models


@DAMAGES
@pytest.mark.parametrize("strategy", ["fedavg", "fedadam"])
def test_a_damaged_model_is_made_again_from_the_updates_of_its_round(trained, how, strategy):
    session = trained(strategy=strategy)
    model = session.last_model()
    whole = storage.path(model.digest).read_bytes()
    damage_file(model.digest, how)
    assert damage.note([model.digest]) == {session.pk}
    model.refresh_from_db()
    assert model.file_status == FileStatus.DAMAGED
    assert repair.mend(session.pk)
    assert storage.path(model.digest).read_bytes() == whole
    assert kinds(session)[-2:] == ["storage.damaged", "storage.repaired"]


@pytest.mark.parametrize("options", [{}, {"bias_correction": True}])
def test_a_damaged_optimizer_state_is_made_again_too(trained, options):
    session = trained(strategy="fedadam", strategy_options=options)
    slots = session.last_model().slots_digest
    damage_file(slots)
    damage.note([slots])
    assert last_payload(session, Event.Kind.STORAGE_DAMAGED)["what"] == "optimizer state"
    assert repair.mend(session.pk) and storage.is_whole(slots)


def test_the_initial_model_is_made_again_from_the_seed(running):
    session = running()
    digest = session.last_model().digest
    damage_file(digest, "missing")
    damage.note([digest])
    assert repair.mend(session.pk) and storage.is_whole(digest)


def test_a_model_waits_for_the_file_of_its_workload(running, monkeypatch, caplog):
    session = running()
    digest = session.last_model().digest
    damage_file(digest, "missing")
    damage.note([digest])
    with monkeypatch.context() as gone:
        gone.delitem(WORKLOADS, "synthetic")
        assert not any(repair.mend(session.pk) for _ in range(steps.MOST_TRIES + 1))
        assert "there is no workload synthetic here" in caplog.text
    assert session.last_model().file_status == FileStatus.DAMAGED
    assert repair.mend(session.pk) and storage.is_whole(digest)


def test_a_model_waits_for_a_broken_file_of_its_workload_to_be_mended(running, monkeypatch, tmp_path):
    session = running()
    model = session.last_model()
    damage_file(model.digest, "missing")
    damage.note([model.digest])
    broken = {"ok": False, "error": "means.py, line 3: NameError: name 'x' is not defined.", "unusable": True}
    repair._made(session.last_model(), tmp_path / "out", lambda: None, broken)
    assert session.last_model().file_status == FileStatus.DAMAGED
    assert repair.mend(session.pk) and storage.is_whole(model.digest)


def test_what_the_seed_gives_is_not_taken_for_another_model(running, settings, monkeypatch):
    session = running()
    model = session.last_model()
    damage_file(model.digest)
    damage.note([model.digest])
    before = set(settings.FL_WEIGHTS_DIR.rglob("*.safetensors"))
    write = Synthetic.write_initial
    monkeypatch.setattr(Synthetic, "write_initial", lambda *given: write(*given[:-1], given[-1] + 1))  # a newer version
    assert not repair.mend(session.pk)
    session.refresh_from_db()
    model.refresh_from_db()
    assert (session.status, model.file_status) == (SessionStatus.FAILED, FileStatus.LOST)
    assert session.reason.endswith("cannot be made again. What its seed gives has another digest.")
    assert set(settings.FL_WEIGHTS_DIR.rglob("*.safetensors")) == before
    assert [file.suffix for file in settings.FL_SCRATCH_DIR.iterdir()] == [".damaged"]


def test_models_that_are_made_from_one_another_are_mended_in_order(trained):
    session = trained()
    digests = list(session.models.values_list("digest", flat=True))
    for digest in digests:
        damage_file(digest)
    damage.note(digests)
    assert repair.mend(session.pk)
    assert all(storage.is_whole(digest) for digest in digests)


def test_a_model_waits_for_its_base_that_somebody_else_is_making(trained, monkeypatch):
    """The evaluator, for one: it takes its time over an initial model."""
    session = trained()
    digests = list(session.models.values_list("digest", flat=True))
    for digest in digests:
        damage_file(digest)
    damage.note(digests)
    from_seed = repair._from_seed
    monkeypatch.setattr(repair, "_from_seed", lambda *_: False)
    assert not repair.mend(session.pk)
    assert set(session.models.values_list("file_status", flat=True)) == {FileStatus.DAMAGED}
    monkeypatch.setattr(repair, "_from_seed", from_seed)
    assert repair.mend(session.pk)
    assert all(storage.is_whole(digest) for digest in digests)


def test_a_model_whose_base_is_lost_is_lost_with_it(trained):
    session = trained()
    base, model = session.models.order_by("version")[1:]
    GlobalModel.objects.filter(pk=base.pk).update(file_status=FileStatus.LOST)
    damage_file(model.digest)
    damage.note([model.digest])
    assert not repair.mend(session.pk)
    model.refresh_from_db()
    session.refresh_from_db()
    assert model.file_status == FileStatus.LOST and session.reason.endswith("Model v1 is not there.")


def test_the_base_that_is_damaged_while_the_round_goes_on_is_mended_before_it_is_aggregated(closed, now):
    round_ = closed(rounds=1)
    damage_file(round_.base_model.digest)
    assert not rounds.advance(round_.session, now=now)
    round_.refresh_from_db()
    assert round_.status == RoundStatus.AGGREGATING
    tasks.advance(round_.session_id)
    round_.refresh_from_db()
    assert round_.status == RoundStatus.COMPLETED
    told = [kind for kind in kinds(round_.session) if kind.startswith("storage")]
    assert told == ["storage.damaged", "storage.repaired"]


def test_an_adopted_model_is_made_again_by_the_session_that_it_came_from(trained, running):
    first = trained()
    source = first.last_model()
    second = running(name="second", start_from=(first.pk, source.version))
    damage_file(source.digest)
    assert damage.note([source.digest]) == {first.pk, second.pk}
    assert repair.mend(second.pk) and repair.mend(first.pk)
    assert not GlobalModel.objects.exclude(file_status=FileStatus.STORED).exists()


def test_a_model_whose_updates_are_gone_fails_what_stands_on_it_by_name(trained):
    session = trained()
    model = session.last_model()
    Participation.objects.filter(round=model.round).update(file_status=FileStatus.REMOVED)
    damage_file(model.digest)
    damage.note([model.digest])
    assert not repair.mend(session.pk)
    session.refresh_from_db()
    model.refresh_from_db()
    assert (session.status, model.file_status) == (SessionStatus.FAILED, FileStatus.LOST)
    assert session.reason == (
        "The file of model v2 is damaged and cannot be made again. Its round's updates were removed."
    )
    assert session.round_set.latest("number").reason == session.reason
    assert kinds(session)[-2:] == ["round.failed", "session.failed"]


def test_an_older_model_that_is_lost_fails_nothing(trained):
    session = trained()
    old = session.models.get(version=1)
    Participation.objects.filter(round=old.round).update(file_status=FileStatus.REMOVED)
    damage_file(old.digest)
    damage.note([old.digest])
    assert not repair.mend(session.pk)
    session.refresh_from_db()
    assert session.status == SessionStatus.RUNNING


@DAMAGES
def test_an_update_that_is_damaged_too_is_named(trained, how):
    session = trained()
    model = session.last_model()
    seat = model.round.seats.get(client__name="anna")
    for digest in (model.digest, seat.digest):
        damage_file(digest, how)
    damage.note([model.digest])
    assert not repair.mend(session.pk)
    seat.refresh_from_db()
    session.refresh_from_db()
    assert seat.file_status == FileStatus.LOST
    assert session.reason.endswith("cannot be made again. Files of its round are damaged too.")
    assert last_payload(session, Event.Kind.STORAGE_DAMAGED)["missing"] == (how == "missing")


def test_a_model_waits_for_room_on_the_disk_to_be_made_again(running, no_room, settings, caplog):
    session = running()
    model = session.last_model()
    damage_file(model.digest)
    damage.note([model.digest])
    with no_room():
        assert not repair.mend(session.pk)
    assert "model v0 of session" in caplog.text and "cannot be made again: the disk is full" in caplog.text
    model.refresh_from_db()
    assert model.file_status == FileStatus.DAMAGED and "storage.lost" not in kinds(session)
    assert [file.suffix for file in settings.FL_SCRATCH_DIR.iterdir()] == [".damaged"]  # nothing half made
    assert repair.mend(session.pk) and storage.is_whole(model.digest)


def test_what_the_updates_make_is_not_taken_for_another_model(trained):
    session = trained()
    model = session.last_model()
    GlobalModel.objects.filter(pk=model.pk).update(digest="0" * 64)
    damage.note(["0" * 64])
    assert not repair.mend(session.pk)
    session.refresh_from_db()
    assert "another digest" in session.reason


def test_a_file_that_was_put_back_is_taken_as_it_is(trained):
    session = trained()
    model = session.last_model()
    whole = storage.path(model.digest).read_bytes()
    damage_file(model.digest)
    damage.note([model.digest])
    storage.path(model.digest).write_bytes(whole)
    Participation.objects.update(file_status=FileStatus.REMOVED)
    assert repair.mend(session.pk)


def test_the_tick_looks_after_the_models_of_sessions_that_have_ended(trained, alice, enqueued):
    session = trained()
    rounds.give_up(session, reason=reasons.internal("enough"), now=session.created_at)
    tasks.advance_all()
    assert ("advance", session.pk) not in enqueued
    damage_file(session.last_model().digest)
    damage.note([session.last_model().digest])
    tasks.advance_all()
    assert ("advance", session.pk) in enqueued


def test_a_model_that_is_damaged_when_it_is_to_be_evaluated_is_evaluated_when_it_is_mended(trained):
    session = trained()
    model = session.last_model()
    GlobalModel.objects.filter(pk=model.pk).update(evaluated_at=None)
    damage_file(model.digest)
    models.evaluation._evaluated(model.pk, model.digest, {"ok": False, "error": "damaged", "damaged": True})
    model.refresh_from_db()
    assert (model.file_status, model.evaluated_at) == (FileStatus.DAMAGED, None)


def test_an_update_cannot_be_checked_against_a_damaged_model(open_round, now):
    from federation.errors import Unavailable

    round_ = open_round("anna")
    storage.path(round_.base_model.digest).unlink()
    with pytest.raises(Unavailable, match="being made again"):
        send("anna", now=now)
    assert GlobalModel.objects.get().file_status == FileStatus.DAMAGED
