"""Models with a BatchNorm's statistics: their roles are fixed with version 0, and obeyed from door to model."""

import numpy as np
import pytest

from federation import storage
from federation.api import work
from federation.errors import Invalid, RoundClosed
from federation.fl import weights
from federation.fl.encodings import build
from federation.fl.files import encoded
from federation.models import Client, Event, Participation, TrainingSession
from federation.services import clients, models, repair, retention, rounds, seats, sessions
from federation.services.models import damage
from federation.services.seats import updates
from tests.federation.cast import damage_file, last_payload, seat_of, settle, token_of, update

pytestmark = pytest.mark.django_db
MEAN, VAR, COUNT = "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"
BUFFERS = sorted((MEAN, VAR, COUNT))
KNOWS = {"understands": ["buffers", "Not A Word", 7]}


def tensors(w=0.0, mean=0.0, var=0.0, count=0):
    return {
        "w": np.full(4, w, np.float32),
        MEAN: np.float32([mean]),
        VAR: np.float32([var]),
        COUNT: np.array(count, np.int64),
    }


@pytest.fixture
def publish(now):
    """Gives a session a model with statistics as version 0."""

    def publish(session, **more):
        with storage.scratch() as file:
            digest = weights.save(file, tensors(var=1.0), more.pop("metadata", None))
            models.publish_initial(session.pk, file, digest, now=now, **more)
        session.refresh_from_db()
        return session

    return publish


@pytest.fixture
def session(enrol, draft, publish, alice, now):
    """Round 1 is open for anna, who knows what buffers are, and for ben and carl, who do not."""

    def session(**change):
        enrol("anna", **KNOWS)
        enrol("ben", "carl")
        made = publish(draft(**{"quorum": 3, "rounds": 6} | change))
        sessions.start(made, by=alice, now=now)
        assert rounds.advance(made, now=now)
        return made

    return session


def send(name, now, number=None, examples=50, **values):
    seat = seat_of(name)
    if number is not None:
        seat = seats.of(
            Client.objects.get(name=name), Participation.objects.get(client__name=name, round__number=number).pk
        )
    with storage.scratch() as file:
        file.write_bytes(update(seat, tensors=tensors(**values), num_examples=str(examples)))
        return updates.receive(seat, file, now=now)


def model(session, version):
    return weights.load(storage.path(session.models.get(version=version).digest))


# ---- which tensors they are


def test_version_0_fixes_the_roles_by_workload_by_metadata_or_by_names(draft, running, publish):
    made = running()
    made.refresh_from_db()
    assert made.buffers == [] and draft().buffers is None
    assert publish(draft()).buffers == BUFFERS
    assert publish(draft(), metadata={"buffers": '["w"]'}).buffers == [COUNT, "w"]
    assert publish(draft(), declared=[VAR]).buffers == [COUNT, VAR]


def test_a_session_that_starts_from_a_model_takes_its_roles(draft, publish, alice, now):
    source = publish(draft(), declared=["w"])
    begun = draft(start_from=(source.pk, 0))
    begun.refresh_from_db()
    assert begun.buffers == source.buffers == [COUNT, "w"]


def test_roles_of_a_model_of_before_are_found_by_its_file(draft, publish, now):
    source = publish(draft())
    TrainingSession.objects.filter(pk=source.pk).update(buffers=None)
    begun = draft(start_from=(source.pk, 0))
    begun.refresh_from_db()
    assert begun.buffers == BUFFERS


# ---- what clients are offered


@pytest.mark.parametrize("compression", ["float16", "int8", "topk"])
def test_only_who_knows_buffers_is_offered_an_encoding(session, now, compression):
    session(compression=compression)
    told = {name: work.look(clients.find(token_of(name))) for name in ("anna", "ben")}
    assert {name: each["encoding"] for name, each in told.items()} == {"anna": compression, "ben": "float32"}
    assert told["anna"]["buffers"] == told["ben"]["buffers"] == BUFFERS
    assert Client.objects.get(name="anna").understands == ["buffers"]


def test_counters_alone_keep_nobody_from_an_encoding(session, now):
    made = session(compression="int8")
    TrainingSession.objects.filter(pk=made.pk).update(buffers=[COUNT])
    assert work.look(clients.find(token_of("ben")))["encoding"] == "int8"


# ---- what they send


@pytest.mark.parametrize("name", ["anna", "ben"])
def test_a_negative_variance_is_refused_with_tensor_and_client(session, now, name):
    made = session(compression="topk")
    with pytest.raises(Invalid, match=f"bn.running_var of {name} would be -0.5, but a variance is never below zero"):
        send(name, now, var=-1.5)
    assert last_payload(made, Event.Kind.UPDATE_REJECTED)["client"]["name"] == name
    assert send(name, now, var=-0.5)


def test_an_update_encoded_the_old_way_is_taken(session, now):
    made = session(compression="topk")
    seat = seat_of("ben")
    metadata = {"num_examples": "5", "base_digest": seat.round.base_model.digest}
    with storage.scratch() as file:
        encoded.save(file, tensors(w=1.0, var=0.25, count=3), build("topk", {}), seed=1, metadata=metadata)
        assert updates.receive(seat, file, now=now)
    send("anna", now, w=1.0, var=0.25, count=3)
    send("carl", now, w=1.0, var=0.25, count=3)
    settle(made, now=now)
    assert model(made, 1)[VAR].tolist() == [1.25] and model(made, 1)[COUNT].tolist() == 3


# ---- what is made of it


@pytest.mark.parametrize(
    "strategy, options", [("fedavg", {"server_lr": 5.0}), ("fedadam", {"server_lr": 0.1}), ("fedmedian", {})]
)
def test_statistics_stay_within_what_clients_hold(session, now, strategy, options):
    made = session(strategy=strategy, strategy_options=options)
    for name, var, count in (("anna", -0.9, 7), ("ben", -0.95, 7), ("carl", -0.99, 7)):
        send(name, now, w=0.1, var=var, count=count)
    settle(made, now=now)
    new = model(made, 1)
    assert 0.0099 <= new[VAR][0] <= 0.1001 and new[COUNT].tolist() == 7
    (seat,) = Participation.objects.filter(client__name="anna", round__number=1)
    assert seat.update_norm == pytest.approx(0.2) and seat.norm == pytest.approx(0.2)


def test_a_liar_moves_no_counter_under_the_median(session, now):
    made = session(strategy="fedmedian", defences=())
    send("anna", now, count=7)
    send("ben", now, count=7)
    send("carl", now, count=-(10**15), var=1e6, examples=10**12)
    settle(made, now=now)
    assert model(made, 1)[COUNT].tolist() == 7 and model(made, 1)[VAR].tolist() == [1.0]


def test_a_session_of_before_aggregates_as_before(session, now):
    made = session(strategy="fedavg", strategy_options={"server_lr": 5.0})
    TrainingSession.objects.filter(pk=made.pk).update(buffers=None)
    for name in ("anna", "ben", "carl"):
        send(name, now, var=-0.9, count=7)
    settle(made, now=now)
    assert model(made, 1)[VAR][0] == pytest.approx(1 - 5 * 0.9)


def test_a_late_update_counts_with_the_values_of_its_own_base_also_when_the_model_is_made_again(session, now):
    made = session(quorum=1, late_policy="next_round")
    send("anna", now, var=1.0, count=10)
    rounds.finish(made, by="alice", now=now)
    settle(made, now=now)  # version 1 has a variance of 2 and a counter of 10
    with pytest.raises(RoundClosed, match="counts in the next round"):
        send("ben", now, number=1, var=3.0, count=4)  # what ben holds: 4 and 4
    send("anna", now, number=2, var=0.0, count=10)  # 2 and 20
    rounds.finish(made, by="alice", now=now)
    settle(made, now=now)
    new = made.models.get(version=2)
    late_weighs = 2**-0.5 / (1 + 2**-0.5)
    assert model(made, 2)[VAR][0] == pytest.approx(2 + 2 * late_weighs)
    assert model(made, 2)[COUNT].tolist() == round(20 - 16 * late_weighs)

    damage_file(new.digest)
    damage.note([new.digest])
    assert repair.mend(made.pk)
    assert storage.is_whole(new.digest)


def test_the_base_of_a_late_update_is_kept_as_long_as_its_model_can_be_made_again(session, now, settings):
    settings.FL_KEEP_MODELS, settings.FL_KEEP_UPDATES = "last", 2
    made = session(quorum=1, late_policy="next_round")
    send("anna", now, var=1.0)
    for number in (2, 3):
        rounds.finish(made, by="alice", now=now)
        settle(made, now=now)
        if number == 3:
            break
        send("anna", now, number=number, var=1.0)
    with pytest.raises(RoundClosed):
        send("ben", now, number=1, var=1.0)
    send("anna", now, number=3, var=1.0)
    rounds.finish(made, by="alice", now=now)
    settle(made, now=now)
    retention.prune(now=now)
    newest = made.models.get(version=3)
    damage_file(newest.digest)
    damage.note([newest.digest])
    assert repair.mend(made.pk) and storage.is_whole(newest.digest)
