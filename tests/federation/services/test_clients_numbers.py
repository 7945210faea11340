"""Numbers of clients that would spoil sums."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.lifecycle import SessionStatus
from federation.models import Participation
from federation.services import rounds
from tests.federation.cast import seat_of, send, settle
from tests.federation.services.moves import fresh
from tests.properties import PROPERTY

pytestmark = pytest.mark.django_db

number = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1.7e308, -1.7e308, 1e30, 5e-324, 0.0])
told = st.lists(st.tuples(number, number, st.integers(1, 10**12)), min_size=1, max_size=4)


@settings(PROPERTY, max_examples=20)
@given(told)
def test_whatever_finite_numbers_clients_tell_the_model_is_published(transactional, told):
    session, base = transactional(told)
    assert session.status == SessionStatus.COMPLETED
    json.dumps(base.federated_metrics, allow_nan=False)
    for value in base.federated_metrics.values():
        assert math.isfinite(value)
    for seat in Participation.objects.filter(round__session=session):
        assert seat.norm is None or math.isfinite(seat.norm)
        assert all(value is None or abs(value) <= 1e30 for value in seat.metrics.values())


@pytest.fixture
def transactional(enrol, running, now):
    """Makes a session in which each client tells a loss, an accuracy and a number of examples."""
    enrol("anna", "ben", "carl", "dora")
    names = ["anna", "ben", "carl", "dora"]

    def run(told):
        session = running(rounds=1, quorum=1, cohort_size=None)
        assert rounds.advance(fresh(session), now=now)
        for name, (loss, accuracy, examples) in zip(names, told, strict=False):
            metrics = json.dumps({"base_val_loss": loss, "base_val_accuracy": accuracy})
            send(name, now=now, metrics=metrics, num_examples=str(examples))
        rounds.finish(fresh(session), by="mara", now=now)
        settle(session, now=now)
        return session, session.models.get(version=0)

    return run


def test_numbers_that_are_in_the_database_already_are_left_out(closed, now):
    round_ = closed(rounds=1)
    Participation.objects.filter(pk=seat_of("anna").pk).update(metrics={"base_val_loss": 1.7e308})
    Participation.objects.filter(pk=seat_of("ben").pk).update(metrics={"base_val_loss": 2.0, "base_val_accuracy": "x"})
    session = settle(round_.session, now=now)
    assert session.models.get(version=0).federated_metrics == {"loss": 2.0}
