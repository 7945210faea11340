"""Private sessions: noise that outlives a kill, rounds that are counted once, a budget that is not exceeded."""

from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import numpy as np
import pytest

from dashboard.kit.event_sentences import lines
from federation import storage
from federation.errors import Invalid
from federation.fl import weights
from federation.fl.privacy.spending import Cost, epsilon
from federation.lifecycle import FileStatus, RoundStatus, SessionStatus
from federation.models import Client, Event, NoiseKey, Participation, Round, TrainingSession
from federation.services import privacy, repair, rounds, seats, sessions
from federation.services.rounds import aggregating
from federation.session_settings import Spec
from tests.federation.cast import damage_file, last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db

EQUAL = {"weighting": "equal"}
PRIVATE = {"privacy": "fixed", "privacy_options": {"clip": 0.5}, "strategy_options": EQUAL}
ADAPTIVE = PRIVATE | {"privacy": "adaptive"}
SPEC = Spec(name="one", workload="synthetic", rounds=4, quorum=1, **PRIVATE)
ONE_ROUND = 4.728507067217623  # epsilon at 1e-5 of one Gaussian with multiplier 1, by the accountant


def train(session, now, *, value=0.5):
    """Everybody who was asked reports, and the model is made."""
    for name in session.active_round().seats.values_list("client__name", flat=True):
        send(name, now=now, value=value)
    return settle(session, now=now)


def values(model):
    with storage.local(model.digest) as path:
        return weights.load(path)["weight"]


def noted(session):
    return list(session.own_rounds.order_by("number", "attempt").values_list("privacy", flat=True))


def costs(session):
    return [one["epsilon"] for one in noted(session) if one and "epsilon" in one]


# ---- noise


def test_the_model_is_the_clipped_mean_and_noise(enrol, running, now):
    enrol("anna", "ben")
    session = train(settle(running(quorum=2, **PRIVATE), now=now), now)
    before, after = (values(model) for model in session.models.order_by("version"))
    (round_,) = session.own_rounds.filter(status=RoundStatus.COMPLETED)
    assert round_.privacy["deviation"] == 0.25 and round_.privacy["clip"] == 0.5
    # Ten values of 0.5 have the norm 1.58, so that they are shortened to 0.5 / sqrt(10) each.
    noise = (after.astype(float) - before - 0.5 / np.sqrt(10)) / 0.25
    assert 0.3 < noise.std() < 2 and abs(noise.mean()) < 2  # far beyond ten standard normal values' usual ranges
    assert len({round(value, 6) for value in noise.tolist()}) == 10


def test_a_session_has_a_secret_of_its_own_and_others_have_none(draft):
    one, another, open_ = draft(**PRIVATE), draft(**PRIVATE), draft()
    keys = {row.session_id: row.key for row in NoiseKey.objects.all()}
    assert keys.keys() == {one.pk, another.pk} and keys[one.pk] != keys[another.pk]
    assert open_.privacy == "none"
    one.delete()
    assert not NoiseKey.objects.filter(session=one.pk).exists()


@pytest.mark.parametrize("chosen", [PRIVATE, ADAPTIVE, ADAPTIVE | {"strategy": "fedadam", "strategy_options": {}}])
def test_a_worker_that_died_before_it_published_spent_nothing_and_the_next_makes_the_same_bytes(
    enrol, running, now, chosen
):
    enrol("anna", "ben")
    session = settle(running(quorum=2, **chosen), now=now)
    made = []

    def die(round_, token, counted, found, *more, **about):
        made.append((found.digest, found.slots_digest))
        raise MemoryError

    send("anna", now=now)
    with patch.object(aggregating, "publish", die), pytest.raises(MemoryError):
        send("ben", now=now)
        round_ = session.active_round()
        rounds.advance(session, now=now)
        aggregating.aggregate(round_, rounds.claim(round_, now=now), now=now)
    assert costs(session) == []
    session = settle(session, now=now)
    model = session.models.get(version=1)
    assert {(model.digest, model.slots_digest or None)} == set(made)
    assert costs(session) == [pytest.approx(ONE_ROUND)]


@pytest.mark.parametrize("chosen", [PRIVATE, ADAPTIVE])
def test_a_damaged_model_is_made_again_with_its_digest_and_costs_nothing_more(enrol, running, now, chosen):
    enrol("anna", "ben")
    session = train(settle(running(quorum=2, **chosen), now=now), now)
    session = train(session, now, value=0.1)
    before = costs(session)
    model = session.last_model()
    damage_file(model.digest)
    model.file_status = FileStatus.DAMAGED
    model.save(update_fields=["file_status"])
    assert repair.mend(session.pk)
    model.refresh_from_db()
    assert model.file_status == FileStatus.STORED and storage.is_whole(model.digest)
    assert costs(session) == before and len(before) == 2


def test_an_update_that_is_sent_again_after_damage_makes_the_model_that_it_would_have_made(enrol, running, now):
    enrol("anna", "ben")
    session = settle(running(quorum=2, **PRIVATE), now=now)
    with patch.object(rounds.advancing, "_claim_and_aggregate", lambda *_: False):
        send("anna", now=now, value=0.25)
        send("ben", now=now, value=0.75)
        settle(session, now=now)
    round_ = session.active_round()
    with storage.scratch() as out, storage.scratch() as slots:
        counted = list(rounds.aggregating.building.counted(round_))
        expected = rounds.aggregating.building.make(round_, counted, out, slots, lambda: None).digest
    damage_file(seat_of("ben").digest)
    assert rounds.advance(session, now=now)
    send("ben", now=now, value=0.75)
    session = settle(session, now=now)
    assert session.models.get(version=1).digest == expected
    assert len(costs(session)) == 1


def test_without_one_of_the_updates_the_noise_is_another_one(enrol, running, now):
    enrol("anna", "ben")
    session = settle(running(quorum=2, **PRIVATE), now=now)
    with patch.object(rounds.advancing, "_claim_and_aggregate", lambda *_: False):
        send("anna", now=now, value=0.0)
        send("ben", now=now, value=0.0)
        settle(session, now=now)
    round_, found = session.active_round(), []
    building = rounds.aggregating.building
    for seats_ in (list(building.counted(round_)), list(building.counted(round_))[:1]):
        with storage.scratch() as out, storage.scratch() as slots:
            told = building.make(round_, seats_, out, slots, lambda: None)
            found.append((weights.load(out)["weight"].astype(float) - values(round_.base)) / told.released.deviation)
    assert abs(found[0] - found[1]).max() > 1e-3


def test_a_round_that_falls_short_costs_nothing_and_its_next_try_has_another_noise(enrol, running, now):
    enrol("anna", "ben")
    session = settle(running(quorum=2, max_retries=3, **PRIVATE), now=now)
    send("anna", now=now)
    seats.fail(seat_of("ben"), reason="out of memory")
    session = settle(session, now=now)
    assert [one.status for one in session.own_rounds.order_by("attempt")] == ["failed", "collecting"]
    assert costs(session) == []
    session = train(session, now)
    assert costs(session) == [pytest.approx(ONE_ROUND)]


def test_a_client_that_is_dropped_makes_the_noise_on_the_mean_larger(enrol, running, now):
    """The sum gets the same noise, and is divided by fewer."""
    enrol("anna", "ben")
    session = settle(running(quorum=1, **PRIVATE), now=now)
    send("anna", now=now)
    seats.fail(seat_of("ben"), reason="out of memory")
    session = settle(session, now=now)
    (round_,) = session.own_rounds.filter(status=RoundStatus.COMPLETED)
    assert round_.privacy["deviation"] == 0.5 and round_.privacy["epsilon"] == pytest.approx(ONE_ROUND)


def test_an_adaptive_clip_goes_on_from_round_to_round(enrol, running, now):
    enrol("anna", "ben")
    session = train(train(settle(running(quorum=2, **ADAPTIVE), now=now), now), now)
    first, second = noted(session)[:2]
    assert first["clip"] == 0.5 and second["clip"] == first["next_clip"] != 0.5
    assert first["within"] is not None


def test_nobody_is_told_the_secret(enrol, running, now):
    enrol("anna")
    session = train(settle(running(**PRIVATE), now=now), now)
    key = NoiseKey.objects.get(session=session).key
    told = [*Event.objects.values_list("payload", flat=True), *noted(session)]
    assert key not in str(told) and key not in str(TrainingSession.objects.filter(pk=session.pk).values().get())


# ---- Poisson samples


def test_who_is_drawn_does_not_follow_from_the_seed(enrol, running, now):
    enrol(*(f"site-{number:02}" for number in range(30)))
    poisson = PRIVATE | {"selection": "poisson", "selection_options": {"rate": 0.5}}
    asked = []
    for _ in range(2):
        session = settle(running(**poisson), now=now)
        asked.append(sorted(session.active_round().seats.values_list("client__name", flat=True)))
        sessions.cancel(session, by=None, now=now)
    assert asked[0] != asked[1]


def test_the_sum_is_divided_by_the_expected_number(enrol, running, now):
    enrol(*(f"site-{number:02}" for number in range(30)))
    poisson = PRIVATE | {"selection": "poisson", "selection_options": {"rate": 0.5}}
    session = settle(running(**poisson), now=now)
    assert noted(session) == [{"rate": 0.5, "expected": 15.0}]
    session = train(session, now)
    assert noted(session)[0]["deviation"] == pytest.approx(0.5 / 15)
    assert costs(session) == [pytest.approx(epsilon([Cost(1.0, 0.5)], 1e-5))]
    assert costs(session)[0] < ONE_ROUND


def test_too_few_clients_make_no_poisson_sample(enrol, running, now):
    """Of four clients, one of whom is drawn at 0.5 each, none is drawn in a sixteenth of the rounds."""
    enrol("anna", "ben", "carl", "dora")
    session = settle(running(**PRIVATE, selection="poisson", selection_options={"rate": 0.5}), now=now)
    assert noted(session) == [{"rate": 1.0, "expected": 2.0}]
    assert costs(train(session, now)) == [pytest.approx(ONE_ROUND)]


@pytest.mark.parametrize("selection", ["random", "round_robin"])
def test_a_fixed_cohort_has_no_amplification(enrol, running, now, selection):
    enrol("anna", "ben", "carl")
    session = train(settle(running(cohort_size=1, selection=selection, **PRIVATE), now=now), now)
    assert costs(session) == [pytest.approx(ONE_ROUND)]


# ---- what it costs, and the budget


def test_each_round_adds_to_epsilon(enrol, running, now):
    enrol("anna")
    session = train(train(settle(running(**PRIVATE), now=now), now), now)
    assert costs(session) == [pytest.approx(ONE_ROUND), pytest.approx(epsilon([Cost(1.0)] * 2, 1e-5))]


def test_a_session_ends_before_its_budget_is_exceeded_and_says_so(enrol, running, now):
    enrol("anna")
    budget = epsilon([Cost(1.0)] * 2, 1e-5)
    options = PRIVATE["privacy_options"] | {"budget": budget}
    session = settle(running(rounds=9, **PRIVATE | {"privacy_options": options}), now=now)
    session = train(train(session, now), now)
    assert session.status == SessionStatus.COMPLETED and session.own_rounds.count() == 2
    assert costs(session)[-1] <= budget
    told = last_payload(session, Event.Kind.SESSION_COMPLETED)
    assert told["rounds"] == 2
    assert told["privacy"] == {
        "budget": budget,
        "epsilon": pytest.approx(budget),
        "next": pytest.approx(epsilon([Cost(1.0)] * 3, 1e-5)),
        "delta": 1e-5,
    }
    (line,) = lines(Event.objects.filter(session=session, kind=Event.Kind.SESSION_COMPLETED))
    assert line.sentence.startswith("The session is completed after 2 rounds. It stopped early: with another round its")


def test_a_budget_for_all_rounds_stops_none(enrol, running, now):
    enrol("anna")
    options = PRIVATE["privacy_options"] | {"budget": epsilon([Cost(1.0)] * 3, 1e-5)}
    session = settle(running(rounds=3, **PRIVATE | {"privacy_options": options}), now=now)
    session = train(train(train(session, now), now), now)
    assert session.status == SessionStatus.COMPLETED and len(costs(session)) == 3
    assert "privacy" not in last_payload(session, Event.Kind.SESSION_COMPLETED)


def test_poisson_stops_where_so_few_clients_are_free_that_a_round_would_cost_more(enrol, running, now):
    everybody = enrol(*(f"site-{number:02}" for number in range(40)))
    options = PRIVATE["privacy_options"] | {
        "budget": 6.0
    }  # enough for two samples, too little for one and a whole round
    poisson = {"privacy_options": options, "selection": "poisson", "selection_options": {"rate": 0.5}}
    session = settle(running(rounds=4, **PRIVATE | poisson), now=now)
    round_ = session.active_round()
    asked = list(round_.seats.values_list("client__name", flat=True))
    for name in asked:
        send(name, now=now)
    for client in everybody[4:]:  # four are left to draw from, after the model is made
        Client.objects.filter(pk=client.pk).update(last_seen=now - timedelta(hours=1))
    session = settle(session, now=now)
    assert session.status == SessionStatus.COMPLETED and len(costs(session)) == 1
    told = last_payload(session, Event.Kind.SESSION_COMPLETED)["privacy"]
    assert told["next"] == pytest.approx(epsilon([Cost(1.0, 0.5), Cost(1.0)], 1e-5))
    assert epsilon([Cost(1.0, 0.5)] * 2, 1e-5) < 6.0 < told["next"]


# ---- training further


def test_a_session_that_trains_another_one_further_counts_what_that_one_cost(enrol, running, alice, now):
    enrol("anna")
    first = train(train(settle(running(rounds=2, **PRIVATE), now=now), now), now)
    second = train(settle(sessions.go_on(first, rounds_=1, by=alice, now=now), now=now), now)
    assert costs(second) == [pytest.approx(epsilon([Cost(1.0)] * 3, 1e-5))]
    known = privacy.before(second)
    assert (len(known.costs), known.sessions, known.unprotected) == (2, 1, "")
    third = sessions.go_on(second, rounds_=1, by=alice, now=now)
    assert (len(privacy.before(third).costs), privacy.before(third).sessions) == (3, 2)


def test_it_has_a_secret_of_its_own_and_goes_on_with_the_clip(enrol, running, alice, now):
    enrol("anna")
    first = train(train(settle(running(rounds=2, **ADAPTIVE), now=now), now), now)
    second = train(settle(sessions.go_on(first, rounds_=1, by=alice, now=now), now=now), now)
    assert noted(second)[0]["clip"] == noted(first)[-1]["next_clip"]
    assert NoiseKey.objects.get(session=first).key != NoiseKey.objects.get(session=second).key


def test_what_a_deleted_session_cost_still_counts(enrol, running, alice, now):
    enrol("anna")
    first = train(settle(running(rounds=1, **PRIVATE), now=now), now)
    second = sessions.go_on(first, rounds_=1, by=alice, now=now)
    sessions.delete(first, by=alice)
    second = TrainingSession.objects.get(pk=second.pk)
    assert second.start_from is None and privacy.before(second).costs == (Cost(1.0),)
    assert costs(train(settle(second, now=now), now)) == [pytest.approx(epsilon([Cost(1.0)] * 2, 1e-5))]


def test_sessions_without_privacy_before_it_are_named(enrol, running, draft, now):
    enrol("anna")
    open_ = train(settle(running(rounds=1), now=now), now)
    further = draft(start_from=(open_.pk, 1), **PRIVATE)
    assert privacy.before(further).unprotected == open_.name


def test_a_budget_that_was_spent_before_is_refused(enrol, running, now):
    enrol("anna")
    first = train(settle(running(rounds=1, **PRIVATE), now=now), now)
    options = PRIVATE["privacy_options"] | {"budget": ONE_ROUND + 0.1}
    with pytest.raises(Invalid) as refused:
        sessions.check(replace(sessions.spec_of(first), start_from=(first.pk, 1), privacy_options=options))
    ((field, sentence),) = refused.value.errors
    assert field == "privacy.options.budget" and "One round with what was spent before costs " in sentence


def test_a_budget_that_another_session_spends_meanwhile_ends_one_that_has_not_begun(enrol, running, alice, now):
    enrol("anna")
    options = PRIVATE["privacy_options"] | {"budget": epsilon([Cost(1.0)] * 2, 1e-5)}
    first = train(settle(running(rounds=3, **PRIVATE), now=now), now)
    second = sessions.create(
        replace(sessions.spec_of(first), start_from=(first.pk, 1), privacy_options=options, name="two"),
        by=alice,
        now=now,
    )
    first = train(first, now)  # the first goes on: two of its rounds and one more are three
    sessions.start(second, by=alice, now=now)
    second = settle(second, now=now)
    assert (
        second.status == SessionStatus.FAILED
        and second.reason == "Its budget of epsilon was spent before its first round."
    )


# ---- refusals


@pytest.mark.parametrize(
    "change, field",
    [
        ({"strategy": "fedmedian", "strategy_options": {}}, "strategy.name"),
        ({"strategy": "scaffold", "strategy_options": {}}, "strategy.name"),
        ({"strategy_options": {}}, "strategy.options.weighting"),
        ({"schedule": "buffered"}, "schedule.name"),
        ({"schedule": "over_selected"}, "schedule.name"),
        ({"late_policy": "next_round"}, "late_policy"),
        ({"selection": "power_of_choice", "cohort_size": 2}, "selection.name"),
        ({"selection": "poisson", "quorum": 2}, "quorum"),
        ({"privacy": "local"}, "privacy.name"),
        ({"privacy_options": {"clip": 0.0}}, "privacy.options.clip"),
        ({"privacy_options": {"noise_multiplier": -1.0}}, "privacy.options.noise_multiplier"),
        ({"privacy_options": {"delta": 1.0}}, "privacy.options.delta"),
        ({"privacy_options": {"quantile": 0.5}}, "privacy.options.quantile"),
        ({"privacy": "adaptive", "privacy_options": {"quantile": 1.5}}, "privacy.options.quantile"),
        ({"privacy_options": {"budget": 4.7}}, "privacy.options.budget"),
    ],
)
def test_what_does_not_go_together_is_refused_by_its_field(db, change, field):
    with pytest.raises(Invalid) as refused:
        sessions.check(replace(SPEC, **change))
    assert field in [found for found, _ in refused.value.errors]
    assert all(sentence.endswith(".") for _, sentence in refused.value.errors)


def test_the_cost_of_one_round_is_said_where_a_budget_is_refused(db):
    with pytest.raises(Invalid) as refused:
        sessions.check(replace(SPEC, privacy_options={"budget": 4.0}))
    assert str(refused.value.errors[0][1]) == "One round alone costs 4.73. Choose a larger budget, or more noise."


def test_a_session_without_privacy_stores_nothing_of_it(enrol, running, now):
    enrol("anna")
    session = train(settle(running(), now=now), now)
    assert session.privacy_options == {} and noted(session) == [None, None]
    assert not Round.objects.exclude(privacy=None).exists() and not NoiseKey.objects.exists()
    assert Participation.objects.filter(status="aggregated").exists()
