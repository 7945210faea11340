"""What is compiled once answers as the ORM does, whoever asks and with whatever values."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from federation import compiled
from federation.compiled import Insert, Select, Update
from federation.lifecycle import SeatStatus
from federation.models import Client, Event, Metric, Participation
from tests.federation.cast import seat_of

by_name = Select(lambda name: Client.objects.filter(name=name).order_by("pk"), str)
of_client = Select(
    lambda client, number: Participation.objects.filter(client=client, round__number=number).select_related(
        "client", "round__session", "round__base_model"
    ),
    int,
    int,
)


def values(model):
    return {field.attname: getattr(model, field.attname) for field in model._meta.concrete_fields}


def test_a_row_has_every_field_as_the_orm_reads_it(open_round, django_assert_num_queries):
    open_round("anna", "ben")
    seat = seat_of("ben")
    with django_assert_num_queries(1):
        (found,) = of_client(seat.client_id, 1)
        related = found.client, found.round, found.round.session, found.round.base_model
    assert values(found) == values(seat)
    assert [values(each) for each in related] == [
        values(each) for each in (seat.client, seat.round, seat.round.session, seat.round.base_model)
    ]


def test_what_was_not_asked_for_is_fetched_later(open_round, django_assert_num_queries):
    open_round("anna")
    few = Select(
        lambda pk: (
            Participation.objects.filter(pk=pk)
            .select_related("client", "last_update")
            .only("status", "client__name", "last_update__digest")
        ),
        int,
    )
    seat = seat_of("anna")
    with django_assert_num_queries(1):
        (found,) = few(seat.pk)
        assert (found.status, found.client.name, found.last_update) == (seat.status, "anna", None)
    assert found.get_deferred_fields() == Participation.objects.only("status").get(pk=seat.pk).get_deferred_fields() - {
        "client_id",
        "last_update_id",
    }
    with django_assert_num_queries(1):
        assert found.turn == seat.turn
    assert (found._state.adding, found._state.db, found == seat, hash(found)) == (False, "default", True, hash(seat))


def test_each_call_has_values_of_its_own(enrol):
    enrol("anna", "ben")
    assert [by_name.first(name) and by_name.first(name).name for name in ("ben", "anna", "nobody")] == [
        "ben",
        "anna",
        None,
    ]
    assert by_name("'; DROP TABLE federation_client; --") == []
    assert of_client(2**62, 0) == []


def test_what_was_found_can_be_changed_and_saved(enrol):
    enrol("anna")
    anna = by_name.first("anna")
    anna.num_examples = 7
    anna.save()
    assert Client.objects.get(name="anna").num_examples == 7


@pytest.mark.django_db(transaction=True)
def test_threads_share_it(enrol):
    enrol(*(f"client-{number}" for number in range(4)))
    wrong: list[str] = []

    def ask(name):
        try:
            wrong.extend(name for _ in range(50) if by_name.first(name).name != name)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(f"client-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_rows_are_inserted_as_the_orm_would(open_round):
    seat, now = open_round("anna").seats.get(), timezone.now()
    payload = {"text": "ü\u2028", "numbers": [1.5, None], "deep": {"a": True}}
    insert = Insert(Event, "session", "seq", "kind", "time", "payload")
    insert([(seat.round.session_id, 1000, Event.Kind.ROUND_OPENED, now, payload)])
    event = Event.objects.get(seq=1000)
    assert (event.kind, event.time, event.payload) == ("round.opened", now, payload)
    insert([])


def test_rows_that_are_there_are_left_as_they_are_and_the_others_told(open_round, monkeypatch):
    monkeypatch.setattr(compiled, "ROWS", 2)  # several statements
    seat, now = open_round("anna").seats.get(), timezone.now()
    insert = Insert(Metric, "session", "participation", "name", "step", "value", "time")

    def missing(steps, value):
        rows = [(seat.round.session_id, seat.pk, "loss", step, value, now) for step in steps]
        return insert.missing(rows, "name", "step")

    assert missing([1, 2, 2], 1.0) == {("loss", 1), ("loss", 2)}
    assert missing([1, 2, 3], None) == {("loss", 3)}
    assert missing([], None) == set()
    assert list(Metric.objects.order_by("step").values_list("step", "value")) == [(1, 1.0), (2, 1.0), (3, None)]


def test_rows_are_updated_by_their_keys(open_round):
    open_round("anna", "ben")
    anna, ben = seat_of("anna"), seat_of("ben")
    Update(Participation, "status", "norm")([(SeatStatus.FAILED, 0.5, anna.pk), (SeatStatus.REPORTED, None, ben.pk)])
    assert (seat_of("anna").status, seat_of("anna").norm) == ("failed", 0.5)
    assert (seat_of("ben").status, seat_of("ben").norm) == ("reported", None)


def test_only_rows_with_an_allowed_value_are_updated(open_round):
    open_round("anna", "ben")
    anna, ben = seat_of("anna"), seat_of("ben")
    Participation.objects.filter(pk=ben.pk).update(status=SeatStatus.FAILED)
    fail = Update(Participation, "reason", only={"status": (SeatStatus.INVITED, SeatStatus.TRAINING)})
    assert [fail([("tired", anna.pk)]), fail([("tired", ben.pk)])] == [1, 0]
    assert (seat_of("anna").reason, seat_of("ben").reason) == ("tired", "")


def test_null_and_truth_are_values_too(enrol, now):
    later = now + timedelta(minutes=1)
    anna, ben, carl = enrol("anna", "ben", "carl")
    Client.objects.filter(pk=ben.pk).update(announced_online=not anna.announced_online)
    Client.objects.filter(pk=carl.pk).update(removed_at=now)
    heard = Update(Client, "last_seen", only={"removed_at": (), "announced_online": (anna.announced_online,)})
    assert [heard([(later, client.pk)]) for client in (anna, ben, carl)] == [1, 0, 0]
    assert Client.objects.get(pk=anna.pk).last_seen == later != Client.objects.get(pk=carl.pk).last_seen
