"""What an agent tells of its data and workloads when it comes back, compared with what it told before."""

import pytest

from federation.models import Client, ServerEvent
from federation.services import clients

pytestmark = pytest.mark.django_db
BEFORE = {
    "version": "0.1.0",
    "num_examples": 100,
    "label_histogram": {"0": 60, "1": 40},
    "data_fingerprint": "aaaa",
    "workloads": {"digits": "d1", "synthetic": "s1"},
}


@pytest.fixture
def anna(enrol):
    return enrol("anna", **BEFORE)[0]


def events():
    return list(ServerEvent.objects.filter(kind="client.changed"))


@pytest.mark.parametrize(
    ("now_told", "changes"),
    [
        ({"num_examples": 80}, [{"what": "num_examples", "before": 100, "after": 80}]),
        ({"num_examples": 0}, [{"what": "num_examples", "before": 100, "after": 0}]),
        ({"label_histogram": {"0": 50, "1": 50}}, [{"what": "data"}]),
        ({"data_fingerprint": "bbbb"}, [{"what": "data"}]),
        ({"workloads": {"digits": "d2", "synthetic": "s1", "new": "n1"}}, [{"what": "workload", "name": "digits"}]),
        (
            {"num_examples": 80, "data_fingerprint": "bbbb", "workloads": {"digits": "d2", "synthetic": "s2"}},
            [
                {"what": "num_examples", "before": 100, "after": 80},
                {"what": "workload", "name": "digits"},
                {"what": "workload", "name": "synthetic"},
            ],
        ),
    ],
)
def test_what_is_other_than_before_is_logged_once_and_kept(anna, now, now_told, changes):
    assert clients.tell(anna, BEFORE | now_told, now=now) == changes
    (event,) = events()
    assert event.payload == {"client": {"id": str(anna.pk), "name": "anna"}, "changes": changes}
    anna = Client.objects.get()
    assert (anna.changes, anna.changed_at, anna.info) == (changes, now, BEFORE | now_told)
    assert anna.num_examples == (BEFORE | now_told)["num_examples"]
    assert clients.tell(anna, BEFORE | now_told, now=now) == []
    assert len(events()) == 1


@pytest.mark.parametrize(
    "told",
    [
        BEFORE,
        BEFORE | {"version": "0.2.0", "gpu": "another"},
        {},  # a site that does not tell any more
    ],
)
def test_another_machine_and_what_is_not_told_are_no_other_data(anna, now, told):
    assert clients.tell(anna, told, now=now) == []
    assert not events()
    assert Client.objects.get().info == told


def test_what_cannot_be_is_left_out_named_in_the_log_and_no_other_data(anna, now, caplog):
    told = {"workloads": ["digits"], "num_examples": "many", "version": "0.2.0", "mood": "fine"}
    assert clients.tell(anna, told, now=now) == []
    assert not events()
    assert Client.objects.get().info == {"version": "0.2.0"}
    assert "anna: left out of its info, because their values are invalid: num_examples, workloads" in caplog.text
