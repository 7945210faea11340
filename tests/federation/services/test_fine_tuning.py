"""Before a session's last model is measured, each site may train it on its own data: the work says how."""

import pytest

from federation.errors import Invalid
from federation.services import rounds
from federation.work import describe
from tests.federation.cast import seat_of, send, settle
from tests.federation.services.evaluating import declare
from tests.federation.services.test_who_is_asked import same

pytestmark = pytest.mark.django_db
TRAIN = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}


@pytest.fixture
def measured(enrol, running, now):
    """A session whose last model is being measured by anna."""

    def measured(understands=("stays",), **change):
        enrol("anna", **same(), kinds=["train", "evaluate"], understands=list(understands))
        made = declare(running(**{"rounds": 1, "train": TRAIN} | change))
        settle(made, now=now)
        assert send("anna", now=now)
        settle(made, now=now)
        assert rounds.advance(made, now=now) in (True, False)
        return seat_of("anna")

    return measured


def test_the_work_has_the_config_of_the_last_round_with_its_own_epochs_and_seed(measured):
    found = describe(measured(fine_tune_epochs=5, rate_schedule="step", rate_schedule_options={"every": 1}))
    assert found["kind"] == "evaluate"
    assert found["fine_tune"] | {"seed": 0} == {"epochs": 5, "batch_size": 8, "learning_rate": 0.1, "seed": 0}
    assert found["fine_tune"]["seed"] != found["config"]["seed"]


def test_an_agent_that_knows_of_no_own_model_is_not_asked_for_it(measured):
    assert "fine_tune" not in describe(measured(understands=(), fine_tune_epochs=5))


def test_other_sessions_say_nothing_of_it(measured):
    assert "fine_tune" not in describe(measured())


def test_more_epochs_than_a_session_may_have_are_refused(draft):
    with pytest.raises(Invalid, match="fine_tune_epochs is 1001: choose 0 to 1000"):
        draft(fine_tune_epochs=1001)
