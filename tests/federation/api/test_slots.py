"""What a strategy keeps with a model goes to clients only where the strategy sends it, and with a seat on the model."""

import pytest

from federation import storage
from federation.fl import workloads
from federation.fl.workloads.synthetic import Synthetic
from federation.models import GlobalModel
from federation.services import repair
from tests.federation.cast import send, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def slots(enrol, running, now, monkeypatch):
    """The digest of what a strategy kept with version 1, on which anna has a seat."""
    monkeypatch.setattr(Synthetic, "follows_settings", True, raising=False)

    def slots(strategy):
        sources = {"workloads": {"synthetic": workloads.get("synthetic").digest()}}
        enrol("anna", understands=["buffers", "state"], **sources)
        session = settle(running(strategy=strategy), now=now)
        send("anna", now=now, local_steps="10")
        settle(session, now=now)
        return GlobalModel.objects.get(session=session, version=1).slots_digest

    return slots


def test_a_client_with_a_seat_gets_the_control_variate_and_others_do_not(slots, raw, key, enrol):
    digest = slots("scaffold")
    enrol("ben")
    assert raw("GET", f"/api/v1/models/{digest}", by="anna").status == 200
    assert raw("GET", f"/api/v1/models/{digest}", by="ben").status == 404
    assert raw("GET", f"/api/v1/models/{digest}", token=key).status == 200


@pytest.mark.parametrize("strategy", ["fedadam", "feddyn"])
def test_what_a_strategy_does_not_send_stays_here(slots, raw, strategy):
    assert raw("GET", f"/api/v1/models/{slots(strategy)}", by="anna").status == 404


def test_a_control_variate_that_is_missing_is_made_again_before_there_is_work(slots, raw):
    digest = slots("scaffold")
    storage.set_aside(digest)
    answer = raw("GET", "/api/v1/work?wait=0", by="anna")
    assert (answer.status, "being made again" in answer.json()["detail"]) == (503, True)
    assert repair.mend(GlobalModel.objects.get(slots_digest=digest).session_id)
    work = raw("GET", "/api/v1/work?wait=0", by="anna").json()
    assert (work["slots"]["digest"], storage.exists(digest)) == (digest, True)
