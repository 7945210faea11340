"""What early stop reads of the models before: nothing where they cannot decide, else only their numbers."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from federation.models import GlobalModel
from federation.services.rounds import stopping

pytestmark = pytest.mark.django_db


@pytest.fixture
def read(open_round, now):
    """How many rows are asked for, and what, where a session with so many models decides whether it stops."""

    def read(rule, versions, newest=0.5, by="clients"):
        session = open_round("anna", rounds=9, main_measure="accuracy", early_stop=rule).session
        session.early_stop["measured_by"] = by
        more = {"session": session, "digest": "a" * 64, "num_bytes": 1, "created_at": now}
        numbers = {"federated_metrics": {"accuracy": 0.5}, "metrics": {"accuracy": newest}}
        GlobalModel.objects.bulk_create(GlobalModel(version=n, **numbers, **more) for n in range(1, versions + 1))
        round_ = session.active_round()
        round_.base_model = session.last_model()
        with CaptureQueriesContext(connection) as queries:
            stop = stopping.by_server(session) or stopping.by_clients(round_, {"accuracy": newest})
        return stop and stop["why"], [query["sql"] for query in queries if "_globalmodel" in query["sql"]]

    return read


def test_a_target_that_is_not_reached_needs_no_earlier_model(read):
    assert read({"target": 0.9}, 30) == (None, [])


def test_neither_does_a_patience_that_cannot_be_over(read):
    assert read({"patience": 31}, 30) == (None, [])


def test_what_may_be_over_needs_one_column_of_each(read):
    why, queries = read({"patience": 29}, 30)  # version 0 was not measured
    assert why == "patience" and len(queries) == 1
    assert '"federated_metrics"' in queries[0] and '"digest"' not in queries[0]


def test_of_the_servers_numbers_the_newest_few_are_read_first(read):
    why, queries = read({"target": 0.9}, 30, by="server")
    assert why is None
    assert all(f"LIMIT {stopping.NEWEST}" in sql or "COUNT(" in sql for sql in queries) and len(queries) == 2


def test_a_target_that_the_server_finds_reached_still_stops(read):
    why, queries = read({"target": 0.9}, 30, newest=0.95, by="server")
    assert why == "target" and '"digest"' not in "".join(queries)
