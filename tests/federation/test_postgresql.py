"""On PostgreSQL, what the server asks often is planned once a connection."""

import pytest
from django.conf import settings
from django.db import ProgrammingError, connection

from federation.compiled import Select, Update
from federation.lifecycle import OPEN
from federation.models import Client, Participation, Phase

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite plans in no time"),
]

OFTEN = 5
BIG = 5_000_000_000  # of another type than small numbers, if nobody sees to it


@pytest.fixture
def prepared():
    """What this connection has planned, of the statements that name a table. It begins without any."""
    with connection.cursor() as cursor:
        cursor.execute("DISCARD PLANS")
    connection.close()

    def prepared(model):
        query = "SELECT statement FROM pg_prepared_statements WHERE statement LIKE %s ORDER BY prepare_time"
        with connection.cursor() as cursor:
            cursor.execute(query, [f"%{model._meta.db_table}%"])
            return [statement for (statement,) in cursor.fetchall()]

    yield prepared
    connection.close()


def test_a_compiled_query_is_planned_once_whatever_its_values(prepared):
    by_key = Select(lambda pk: Client.objects.filter(pk=pk, enabled=True).order_by(), int)
    for number in range(OFTEN):
        assert by_key(number) == []
        assert by_key(BIG + number) == []
    (statement,) = prepared(Client)
    assert statement.count("$") == 1  # what is always the same is no value of the statement


def test_the_values_of_an_index_condition_stand_in_the_statement(prepared):
    free = Select(lambda pk: Participation.objects.filter(client=pk, status__in=OPEN, phase="50%").order_by(), int)
    for number in range(OFTEN):
        assert free(number) == []
    (statement,) = prepared(Participation)
    assert "'50%'" in statement
    assert all(f"'{status}'" in statement for status in OPEN)


def test_a_compiled_change_is_planned_once(prepared):
    change = Update(Participation, "phase", "fraction", "num_points", only={"status": OPEN}, adding=("num_points",))
    for number in range(OFTEN):
        assert change([(Phase.TRAINING, 0.5, number, number)]) == 0
    assert len(prepared(Participation)) == 1


def test_nothing_is_kept_where_the_settings_say_so(prepared, monkeypatch):
    options = {
        name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "prepare_threshold"
    }
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    by_key = Select(lambda pk: Client.objects.filter(pk=pk).order_by(), int)
    for number in range(OFTEN):
        assert by_key(number) == []
    assert prepared(Client) == []


def test_its_errors_are_djangos(prepared):
    with pytest.raises(ProgrammingError, match="nowhere"), connection.prepared_cursor() as cursor:
        cursor.execute("SELECT 1 FROM nowhere")


def test_statements_are_prepared_by_default():
    assert settings.FL_DATABASE_PREPARES
    assert connection.settings_dict["OPTIONS"]["prepare_threshold"] == 2
