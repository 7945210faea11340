"""Sessions whose clients keep a state: who is asked, what the work offers, and what may be fetched."""

from dataclasses import replace

import numpy as np
import pytest

from federation import storage
from federation.errors import Invalid
from federation.fl import weights, workloads
from federation.fl.workloads.synthetic import Synthetic
from federation.models import GlobalModel, Participation, TrainingSession
from federation.services import sessions
from federation.services.models import building
from federation.session_settings import Spec
from federation.work import KINDS
from tests.federation.cast import seat_of, send, settle
from tests.federation.services.test_who_is_asked import left_out, names

pytestmark = pytest.mark.django_db

KNOWS = {"understands": ["buffers", "state"]}
RATE = 0.1
SPEC = Spec(name="one", workload="digits", rounds=4, quorum=1, strategy="scaffold")


@pytest.fixture(autouse=True)
def followed(monkeypatch):
    """The quick workload of these tests follows settings, as those with torch do."""
    monkeypatch.setattr(Synthetic, "follows_settings", True, raising=False)


def of(**more):
    return {"workloads": {"synthetic": workloads.get("synthetic").digest()}, **more}


def offer(name):
    return KINDS["train"].offer(seat_of(name))


def test_agents_that_do_not_know_how_are_left_out_and_the_page_says_so(enrol, running, now):
    enrol("anna", **of(**KNOWS))
    enrol("ben", **of(understands=["buffers"]))
    enrol("silent")
    session = settle(running(strategy="scaffold"), now=now)
    assert names(session) == ["anna"]
    assert left_out(session, now) == [
        "Not asked: ben, silent (their agents cannot keep what the strategy needs; update them)."
    ]


def test_the_same_agents_are_asked_by_every_other_strategy(enrol, running, now):
    enrol("ben", **of(understands=["buffers"]))
    enrol("silent")
    assert names(settle(running(strategy="fedprox"), now=now)) == ["ben", "silent"]


@pytest.fixture
def scaffold(enrol, running, now):
    """A session of anna, ben and carl, whose first round anna and ben made: 10 steps each, by 1 and by 3."""
    enrol("anna", "ben", **of(**KNOWS))
    train = {"epochs": 1, "batch_size": 8, "learning_rate": RATE}
    session = settle(running(strategy="scaffold", rounds=5, train=train), now=now)
    assert "slots" not in offer("anna")
    enrol("carl", **of(**KNOWS))
    for name, value in (("anna", 1.0), ("ben", 3.0)):
        assert send(name, now=now, value=value, local_steps="10")
    return settle(session, now=now)


def test_the_work_says_where_the_control_variate_is(scaffold):
    model = GlobalModel.objects.get(session=scaffold, version=1)
    found = offer("anna")["slots"]
    assert found["digest"] == model.slots_digest and found["url"].endswith(model.slots_digest)
    kept = weights.load(storage.path(found["digest"]))
    assert found["num_bytes"] == storage.path(found["digest"]).stat().st_size
    np.testing.assert_allclose(kept["c/weight"], -2.0 / (10 * RATE))
    assert kept["scalar/population"] == 2


def test_who_joins_later_counts_from_then_on(scaffold, now):
    """carl's c_i was zero before: c = (2 * -2 + 3 * 2 - (1 + 1 + 4) / 1) / 3 where all make 10 steps of 0.1."""
    for name, value in (("anna", 1.0), ("ben", 1.0), ("carl", 4.0)):
        assert send(name, now=now, value=value, local_steps="10")
    settle(scaffold, now=now)
    kept = weights.load(storage.path(GlobalModel.objects.get(session=scaffold, version=2).slots_digest))
    assert kept["scalar/population"] == 3
    np.testing.assert_allclose(kept["c/weight"], ((2 - 3) * -2.0 - 6.0) / 3)


def test_a_model_can_be_made_again_after_others_joined(scaffold, now, tmp_path):
    for name in ("anna", "ben", "carl"):
        send(name, now=now, value=1.0, local_steps="10")
    settle(scaffold, now=now)
    for version in (1, 2):
        model = GlobalModel.objects.get(session=scaffold, version=version)
        seats = list(building.counted(model.round))
        made = building.make(model.round, seats, tmp_path / "model", tmp_path / "slots", lambda: None)
        assert (made.digest, made.slots_digest) == (model.digest, model.slots_digest)


VALUES = ((1.0, 3.0), (0.5, -2.0), (4.0, 1.5), (-1.0, 2.0))


def play(session, values, now):
    """Rounds of anna and ben, each of ten steps."""
    for pair in values:
        settle(session, now=now)
        for name, value in zip(("anna", "ben"), pair, strict=True):
            assert send(name, now=now, value=value, local_steps="10")
    return settle(session, now=now)


@pytest.mark.parametrize("strategy", ["scaffold", "feddyn"])
def test_a_session_that_is_trained_further_is_one_that_was_not_interrupted(enrol, running, alice, now, strategy):
    """Twice, so that the second one finds carl's number and the clients of the first."""
    enrol("anna", "ben", **of(**KNOWS))
    made = {"strategy": strategy, "train": {"epochs": 1, "batch_size": 8, "learning_rate": RATE}}
    straight = play(running(rounds=4, name="straight", **made), VALUES, now)
    further = play(running(rounds=2, **made), VALUES[:2], now)
    for values in (VALUES[2:3], VALUES[3:]):
        further = sessions.go_on(further, rounds_=1, by=alice, now=now)
        settle(further, now=now)
        last = offer("anna")["last_update"]
        seat = Participation.objects.get(pk=last["participation"])
        assert seat.round.session_id != further.pk and seat.digest == last["digest"]
        further = play(further, values, now)
    one, other = straight.last_model(), further.last_model()
    assert (one.digest, one.slots_digest) == (other.digest, other.slots_digest)
    again = rebuilt(other)
    assert again == (other.digest, other.slots_digest)
    further.start_from.session.delete()
    assert rebuilt(GlobalModel.objects.get(pk=other.pk)) == again


def rebuilt(model):
    with storage.scratch() as out, storage.scratch() as out_slots:
        made = building.make(model.round, list(building.counted(model.round)), out, out_slots, lambda: None)
        return made.digest, made.slots_digest


@pytest.mark.parametrize(("version", "change"), [(1, {}), (2, {"strategy": "feddyn"})])
def test_another_model_or_strategy_begins_anew_on_both_sides(scaffold, alice, now, version, change):
    for name in ("anna", "ben", "carl"):
        assert send(name, now=now, value=1.0, local_steps="10")
    settle(scaffold, now=now)
    wish = replace(sessions.spec_of(scaffold), name="more", start_from=(scaffold.pk, version), strategy_options={})
    again = sessions.create(replace(wish, **change), by=alice, now=now)
    assert (again.last_model().slots_digest, again.earlier_clients) == ("", None)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"schedule": "buffered"}, "strategy.name"),
        ({"late_policy": "next_round"}, "strategy.name"),
        ({"compression": "float16"}, "compression.name"),
        ({"local_options": {"clip_norm": 1.0}}, "local_options.clip_norm"),
        ({"workload": "synthetic", "strategy": "feddyn"}, None),
        ({"schedule": "over_selected"}, None),
    ],
)
def test_a_session_in_which_both_sides_would_differ_is_refused(given, field):
    if field is None:
        assert sessions.check(replace(SPEC, **given))
        return
    with pytest.raises(Invalid) as refused:
        sessions.check(replace(SPEC, **given))
    assert [name for name, _ in refused.value.errors] == [field]
    assert not TrainingSession.objects.exists()
