"""Whatever clients, operators and clocks do: each accepted update counts once, and each model comes from its rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from federation import storage
from federation.errors import Conflict, RoundClosed
from federation.lifecycle import RoundStatus, SeatStatus
from federation.models import Client, Event, Participation, TrainingSession
from federation.services import clients, models, rounds, seats, server, sessions
from federation.services.models import building
from federation.services.seats import updates
from tests.federation.cast import update
from tests.federation.conftest import SPEC
from tests.properties import PROPERTY

pytestmark = pytest.mark.django_db
NAMES = ("anna", "ben", "carl", "dora")

steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "send", "send", "send", "fail", "leave", "skip", "finish", "wait", "aggregate"]),
        st.sampled_from(NAMES),
    ),
    max_size=30,
)
terms = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(["buffered", "over_selected", "synchronous"]),
        "quorum": st.integers(1, 3),
        "cohort_size": st.sampled_from([None, 3]),
        "late_policy": st.sampled_from(["drop", "next_round"]),
        "on_round_failure": st.sampled_from(["retry", "skip"]),
    }
)


class Federation:
    """A session, its clients, and a clock."""

    def __init__(self, session: TrainingSession, now: datetime) -> None:
        self.session, self.now, self.sent = session, now, 0.0
        self.accepted: set[int] = set()

    def do(self, action: str, name: str) -> None:
        client = Client.objects.get(name=name)
        clients.touch(client, now=self.now)
        seat = None if action in ("wait", "aggregate", "finish") else seats.offer(client, now=self.now)
        if action == "wait":
            self.now += timedelta(seconds=60)
        elif action == "leave":
            clients.leave(client, now=self.now)
        elif action == "send" and seat:
            self.send(seat)
        elif action == "fail" and seat:
            seats.fail(seat, reason="out of memory")
        elif action == "skip" and seat:
            self.steer(lambda: rounds.skip(self.session, seat.pk, by="alice"))
        elif action == "finish":
            self.steer(lambda: rounds.finish(self.session, by="alice", now=self.now))
        self.advance(1 if action == "finish" else 100)

    def steer(self, act: Any) -> None:
        try:
            act()
        except Exception as refusal:
            assert isinstance(refusal, Conflict) or "has no participation" in str(refusal)

    def send(self, seat: Participation) -> None:
        self.sent += 0.01
        with storage.scratch() as file:
            file.write_bytes(update(seat, self.sent))
            try:
                assert updates.receive(seats.of(seat.client, seat.pk), file, now=self.now)
                self.accepted.add(seat.pk)
            except RoundClosed:
                pass

    def advance(self, most: int) -> None:
        server.tick(now=self.now)
        for _ in range(most):
            if not rounds.advance(TrainingSession.objects.get(pk=self.session.pk), now=self.now):
                return

    def holds(self) -> None:
        everything = Participation.objects.filter(round__session=self.session)
        made = list(self.session.round_set.filter(status=RoundStatus.COMPLETED).order_by("number"))
        counted = [seat.pk for round_ in made for seat in building.counted(round_)]
        assert len(counted) == len(set(counted)), "each once"
        payloads = Event.objects.filter(session=self.session, kind="round.completed").values_list("payload", flat=True)
        assert sum(payload["updates"] for payload in payloads) == len(counted)
        for seat in everything.filter(pk__in=self.accepted - set(counted)).select_related("round", "counted_in"):
            where = seat.counted_in or seat.round
            waits = seat.status == SeatStatus.LATE and seat.counted_in is None
            assert waits or where.status != RoundStatus.COMPLETED, "it is in no model that says so"
        self.session.refresh_from_db()
        if self.session.has_ended:
            assert not everything.filter(status__in=("invited", "training")).exists()
        for round_ in made:
            with storage.scratch() as out, storage.scratch() as slots:
                again = building.make(round_, list(building.counted(round_)), out, slots, lambda: None)
            assert again.digest == self.session.models.get(version=round_.number).digest


@given(terms=terms, steps=steps)
@settings(PROPERTY, max_examples=15, phases=(Phase.generate,))
def test_each_accepted_update_counts_once_and_each_model_comes_from_its_rows(
    enrol: Any, now: datetime, terms: dict[str, Any], steps: list[tuple[str, str]]
) -> None:
    with transaction.atomic():
        enrol(*NAMES)
        session = sessions.create(replace(SPEC, rounds=4, round_seconds=100, **terms), by=None, now=now)
        sessions.start(session, by=None, now=now)
        models.request_initial(session, then=lambda: None)
        federation = Federation(session, now)
        federation.advance(100)
        for action, name in steps:
            federation.do(action, name)
        federation.holds()
        transaction.set_rollback(True)
