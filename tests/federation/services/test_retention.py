"""What goes when its time is over, and what never goes because something still needs it."""

import threading
from datetime import timedelta
from time import monotonic

import pytest
from django.core.management import call_command

from federation import storage, tasks
from federation.api import downloads
from federation.errors import Gone
from federation.lifecycle import FileStatus, RoundStatus
from federation.models import Event, Metric, Participation, Phase, Round, TrainingSession
from federation.services import models, repair, retention, sessions
from federation.services.seats import progress
from tests.federation.cast import damage_file, kinds, seat_of, send, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def trained(open_round, now):
    """A session of six rounds that are done, the last of a number that is asked for still open."""

    def trained(of: int = 6, done: int = 6, **change) -> TrainingSession:
        session = open_round("anna", rounds=of, cohort_size=1, **change).session
        for number in range(1, done + 1):
            send("anna", now=now, value=number / 10)
            settle(session, now=now)
        return session

    return trained


@pytest.fixture(autouse=True)
def short(settings):
    settings.FL_KEEP_UPDATES = 2


def stored() -> set[str]:
    return set().union(*storage.stored())


def kept_updates(session: TrainingSession) -> list[int]:
    """The numbers of the rounds whose updates are there."""
    found = Participation.objects.filter(round__session=session, file_status=FileStatus.STORED).exclude(digest="")
    return sorted(seat.round.number for seat in found.select_related("round") if storage.exists(seat.digest))


def kept_models(session: TrainingSession) -> list[int]:
    found = session.models.filter(file_status=FileStatus.STORED).order_by("version")
    return [model.version for model in found if storage.exists(model.digest)]


def expire() -> None:
    retention.expire(TrainingSession.objects.all())


# ---- updates


def test_updates_of_the_last_rounds_are_kept(trained):
    session = trained()
    assert kept_updates(session) == [1, 2, 3, 4, 5, 6]
    expire()
    assert kept_updates(session) == [5, 6]
    removed = Participation.objects.filter(file_status=FileStatus.REMOVED)
    assert removed.count() == 4 and not any(storage.exists(seat.digest) for seat in removed)


def test_what_an_open_round_took_in_is_kept(trained, now):
    session = trained(done=3)
    Round.objects.filter(status=RoundStatus.COLLECTING).update(number=1, attempt=9)  # as far back as can be
    send("anna", now=now, value=0.9)
    expire()
    assert kept_updates(session) == [1, 2, 3]


def test_a_file_that_another_row_needs_stays(trained, now):
    """Two clients may send the same bytes."""
    session = trained()
    oldest, newest = Participation.objects.order_by("pk")[0], Participation.objects.order_by("-pk")[0]
    Participation.objects.filter(pk=newest.pk).update(digest=oldest.digest)
    expire()
    assert storage.exists(oldest.digest)
    assert kept_updates(session) == [5, 6]


def test_the_last_models_can_be_made_again_after_it(trained, settings):
    settings.FL_KEEP_MODELS = "best_and_last"
    session = trained()
    expire()
    for version in (6, 5):
        model = session.models.get(version=version)
        damage_file(model.digest)
        models.damage.note([model.digest])
        assert repair.mend(session.pk) and storage.is_whole(model.digest)


def test_pruning_by_hand_says_how_many_files_went(trained, capsys):
    trained()
    before = len(stored())
    call_command("prune")
    gone = before - len(stored())
    assert gone == 4 and f"{gone} weight files are deleted" in capsys.readouterr().out
    call_command("prune")
    assert "0 weight files are deleted" in capsys.readouterr().out


@pytest.fixture
def large(monkeypatch):
    """Ten numbers count as a large model."""
    monkeypatch.setattr(storage.spare, "LEAST_BYTES", 1)


def test_after_a_round_of_large_updates_those_past_their_time_may_be_written_over(trained, now, large, monkeypatch):
    session = trained(done=3)
    tasks.advance(session.pk)
    assert kept_updates(session) == [1, 2, 3], "no round ended"
    send("anna", now=now, value=0.9)
    tasks.advance(session.pk)
    assert kept_updates(session) == [3, 4] and len(storage.spare._kept()) == 2
    expire()
    assert kept_updates(session) == [3, 4]


def test_after_a_round_of_small_updates_nothing_is_looked_for(trained, now, django_assert_num_queries):
    session = trained(done=3)
    send("anna", now=now, value=0.9)
    tasks.advance(session.pk)
    assert kept_updates(session) == [1, 2, 3, 4]
    with django_assert_num_queries(1):
        assert retention.give_up_updates(session.pk) == 0


def test_after_a_round_nobody_waits_for_a_backup_and_what_was_kept_by_it_goes_later(trained, large):
    session = trained(done=4)
    with storage.keeping():
        began = monotonic()
        assert retention.give_up_updates(session.pk) == 0
        assert monotonic() - began < storage.locking.LOCK_SECONDS / 2
    assert kept_updates(session) == [1, 2, 3, 4]
    assert retention.give_up_updates(session.pk) == 2
    assert kept_updates(session) == [3, 4]


def test_after_a_round_a_file_that_another_row_needs_stays(trained, large):
    session = trained()
    oldest, newest = Participation.objects.order_by("pk")[0], Participation.objects.order_by("-pk")[0]
    Participation.objects.filter(pk=newest.pk).update(digest=oldest.digest)
    assert retention.give_up_updates(session.pk) == 3
    assert storage.exists(oldest.digest) and len(storage.spare._kept()) == 3


def test_a_session_without_a_model_has_no_updates(running):
    assert retention.give_up_updates(running().pk) == 0


@pytest.mark.parametrize("by_hand", [False, True])
def test_spare_files_go_after_a_while_and_at_once_on_a_full_disk_or_by_hand(trained, large, monkeypatch, by_hand):
    retention.give_up_updates(trained().pk)
    assert len(storage.spare._kept()) == 4
    tasks.expire()
    assert len(storage.spare._kept()) == 4
    if by_hand:
        call_command("prune")
        assert storage.spare._kept() == []
        return
    monkeypatch.setattr(storage.room, "SPARE_BYTES", 1 << 60)
    tasks.expire()
    assert storage.spare._kept() == []


# ---- models


@pytest.mark.parametrize(
    "policy, versions",
    [("all", [0, 1, 2, 3, 4, 5, 6]), ("best_and_last", [2, 4, 5, 6]), ("every_3", [0, 3, 4, 5, 6])],
)
def test_models_are_kept_by_policy_and_those_of_the_last_rounds_always(trained, settings, policy, versions):
    settings.FL_KEEP_MODELS = policy
    session = trained()
    session.models.filter(version=2).update(metrics={"accuracy": 0.9})
    session.models.filter(version=6).update(metrics={"accuracy": 0.8})
    expire()
    assert kept_models(session) == versions


def test_a_tagged_model_one_that_a_session_started_from_and_one_not_yet_measured_stay(trained, settings, draft, now):
    settings.FL_KEEP_MODELS = "best_and_last"
    session = trained()
    models.tag(session.models.get(version=1), "candidate", by="alice")
    draft(name="second", start_from=(session.pk, 2))
    session.models.filter(version=3).update(evaluated_at=None)
    expire()
    assert kept_models(session) == [1, 2, 3, 4, 5, 6]


def test_the_base_of_an_open_round_stays(trained, settings):
    settings.FL_KEEP_MODELS = "best_and_last"
    session = trained(of=9)
    Round.objects.filter(status=RoundStatus.COLLECTING).update(base_model=session.models.get(version=1))
    expire()
    assert kept_models(session) == [1, 4, 5, 6]


def test_a_removed_model_is_said_to_be(trained, settings):
    settings.FL_KEEP_MODELS = "best_and_last"
    session = trained()
    digest = session.models.get(version=1).digest
    expire()
    with pytest.raises(Gone, match="was removed by retention"):
        downloads._require_sound(digest, {"removed"}, doubted=False)


def test_optimizer_states_go_with_the_updates(trained):
    session = trained(strategy="fedadam")
    states = dict(session.models.exclude(slots_digest="").values_list("version", "slots_digest"))
    assert all(storage.exists(digest) for digest in states.values())
    expire()
    assert sorted(session.models.exclude(slots_digest="").values_list("version", flat=True)) == [4, 5, 6]
    assert [version for version, digest in states.items() if storage.exists(digest)] == [4, 5, 6]
    assert kept_models(session) == [0, 1, 2, 3, 4, 5, 6]


# ---- files


def test_a_stored_file_that_no_row_names_is_pruned(trained, now, tmp_path):
    trained(done=1)
    before, orphan = stored(), "ab" * 32
    (tmp_path / "file").write_bytes(b"of a process that was killed")
    storage.put(tmp_path / "file", orphan)
    for hour in range(retention.PARTS):
        assert orphan in stored()
        retention.prune(now=now + timedelta(hours=hour), part=hour)
        if stored() == before:
            break
    assert stored() == before


def test_the_hourly_task_prunes_every_part_in_its_turn(db, monkeypatch):
    """Whatever the hour is: a server may run at some hours alone."""
    asked = []
    monkeypatch.setattr(retention, "prune", lambda *, now, part: asked.append(part))
    for _ in range(2 * retention.PARTS):
        tasks.prune()
    assert asked == [*range(retention.PARTS)] * 2


def test_a_session_that_ended_long_ago_is_looked_at_in_its_turn(trained, now, monkeypatch):
    session = trained()
    TrainingSession.objects.filter(pk=session.pk).update(status="completed", ended_at=now - timedelta(days=2))
    looked = []
    monkeypatch.setattr(retention, "expire", lambda sessions: looked.extend(sessions) or 0)
    for part in range(retention.PARTS):
        retention.prune(now=now, part=part)
    assert looked == [session]
    TrainingSession.objects.filter(pk=session.pk).update(ended_at=now - timedelta(hours=2))
    looked.clear()
    retention.prune(now=now, part=(session.pk + 1) % retention.PARTS)
    assert looked == [session]


def test_nothing_is_deleted_while_somebody_keeps(trained, now, monkeypatch):
    monkeypatch.setattr(storage.locking, "LOCK_SECONDS", 0.05)
    session = trained(of=1, done=1)
    before = stored()
    with storage.keeping():
        sessions.delete(session)
        assert stored() == before
    retention.prune(now=now)
    assert len(before) == 3 and not stored()


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


def test_a_live_session_is_looked_after_every_minute(trained):
    session = trained(of=9)
    tasks.expire()
    assert kept_updates(session) == [5, 6]


# ---- curves and log


@pytest.fixture
def ended(open_round, now, settings) -> TrainingSession:
    """A session that is done, with a curve of 200 points that has a spike, a dip and a gap."""
    settings.FL_KEEP_POINTS = 20
    session = open_round("anna", rounds=1).session
    seat = seat_of("anna")
    values = {50: 99.0, 120: -99.0, 150: None}
    points = [progress.Point("train_loss", step, values.get(step, 1.0), now) for step in range(200)]
    progress.report(seat, phase=Phase.TRAINING, fraction=0.5, points=points, now=now)
    progress.report(seat, phase=Phase.TRAINING, fraction=0.5, points=[progress.Point("lr", 1, 0.1, now)], now=now)
    send("anna", now=now)
    return settle(session, now=now)


def test_curves_keep_their_extremes_their_gaps_and_their_end(ended, now, settings):
    later = now + settings.FL_COMPACT_AFTER + timedelta(seconds=5)
    before = kinds(ended)
    for _ in range(2):
        retention.prune(now=later)
        ended.refresh_from_db()
        assert (ended.points_reported, ended.compacted_at) == (201, later)
        kept = dict(Metric.objects.filter(session=ended, name="train_loss").values_list("step", "value"))
        assert len(kept) <= 20
        assert (kept[50], kept[120], kept[150], kept[199]) == (99.0, -99.0, None, 1.0)
        assert Metric.objects.filter(name="lr").count() == 1
        assert kinds(ended) == before
        log = Event.objects.filter(session=ended, kind=Event.Kind.METRICS_REPORTED)
        assert [entry.payload["points"] for entry in log] == [[], []]
        assert log[0].payload["client"]["name"] == "anna"


def test_not_before_its_time_nor_while_it_goes_on(ended, now, settings):
    retention.prune(now=now)
    TrainingSession.objects.update(status="running", ended_at=None)
    retention.prune(now=now + settings.FL_COMPACT_AFTER + timedelta(days=9))
    assert Metric.objects.filter(session=ended).count() == 201
