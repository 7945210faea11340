"""Train further: the new session goes on where the other ended, with the optimizer's memory and fresh draws."""

import pytest

from federation import storage
from federation.api import work
from federation.fl import sampling
from federation.fl.strategies import STRATEGIES, build
from federation.models import TrainingSession
from federation.services import clients, repair, rounds, sessions
from federation.services.models import damage
from tests.federation.cast import damage_file, send, settle, token_of

pytestmark = pytest.mark.django_db
VALUES = (0.5, -0.25, 1.0)
ADAM = {"strategy": "fedadam", "strategy_options": {"server_lr": 0.1}}


@pytest.fixture
def trained(enrol, running, now):
    """A session of anna's that has made a version of each value."""
    enrol("anna")

    def trained(values, **change):
        session = running(**{"rounds": len(values), **ADAM} | change)
        return play(session, values, now)

    return trained


def play(session, values, now):
    for value in values:
        rounds.advance(TrainingSession.objects.get(pk=session.pk), now=now)
        send("anna", now=now, value=value)
        settle(session, now=now)
    return session


KEEPING = [
    *((name, {"server_lr": 0.1}) for name in ("fedadagrad", "fedadam", "fedavgm", "fedyogi")),
    ("fedadam", {"server_lr": 0.1, "bias_correction": True}),  # counts its steps
    ("centered_clipping", {"liars": 0, "radius": 0.2}),
]


def test_these_are_all_that_keep_something_at_the_server_alone():
    keeping = {name for name, one in STRATEGIES.items() if build(name, {}).slots and not one.keeps_at_clients}
    assert keeping == {name for name, _ in KEEPING}


@pytest.mark.parametrize("strategy, options", KEEPING)
def test_two_rounds_and_one_more_are_three(trained, alice, now, strategy, options):
    asked = {"strategy": strategy, "strategy_options": options}
    straight = trained(VALUES, name="straight", **asked)
    first = trained(VALUES[:2], **asked)
    further = play(sessions.go_on(first, rounds_=1, by=alice, now=now), VALUES[2:], now)
    assert further.last_model().digest == straight.last_model().digest
    assert further.last_model().slots_digest == straight.last_model().slots_digest != ""


def test_a_memory_without_the_step_that_is_needed_is_left_behind(trained, running, now):
    first = trained(VALUES[:2])
    options = {"server_lr": 0.1, "bias_correction": True}
    further = running(strategy="fedadam", strategy_options=options, start_from=(first.pk, 2), rounds=1)
    assert (further.last_model().digest, further.last_model().slots_digest) == (first.last_model().digest, "")
    play(further, VALUES[2:], now)
    assert further.last_model().version == 1


def test_it_draws_anew_and_the_same_each_time(trained, alice, now):
    first = trained(VALUES[:2])
    seeds = {first.seed}
    for _ in range(2):
        further = sessions.go_on(first, rounds_=1, by=alice, now=now)
        seeds.add(further.seed)
        rounds.advance(further, now=now)
        told = work.look(clients.find(token_of("anna")))
        sessions.cancel(further, by=alice, now=now)
    assert len(seeds) == 2 and 0 <= further.seed < 2**31
    assert told["config"]["seed"] not in {seat_seed(first, number) for number in (1, 2)}


def seat_seed(session, number):
    return sampling.client_seed(session.seed, number, "anna")


def test_another_strategy_starts_without_memory(trained, draft, alice, now):
    first = trained(VALUES[:2])
    begun = draft(start_from=(first.pk, 2), strategy="fedavg")
    assert first.last_model().slots_digest and begun.last_model().slots_digest == ""
    assert draft(start_from=(first.pk, 2), **ADAM).last_model().slots_digest == first.last_model().slots_digest


def test_memory_that_is_gone_keeps_nobody_from_training_further(trained, alice, now):
    first = trained(VALUES[:2])
    storage.delete([first.last_model().slots_digest])
    assert sessions.go_on(first, rounds_=1, by=alice, now=now).last_model().slots_digest == ""


@pytest.mark.parametrize("pruned", [False, True])
def test_a_damaged_memory_is_made_again_even_where_its_maker_needs_it_no_more(trained, alice, now, pruned):
    first = trained(VALUES[:2])
    further = sessions.go_on(first, rounds_=1, by=alice, now=now)
    model = further.last_model()
    if pruned:
        first.models.filter(version=2).update(slots_digest="")
    damage_file(model.slots_digest)
    damage.note([model.slots_digest])
    assert repair.mend(first.pk) or repair.mend(further.pk)
    assert storage.is_whole(model.slots_digest)
