"""The work in the OpenAPI document is the work that clients get, member by member."""

from __future__ import annotations

from typing import Any

import pytest

from federation import work
from federation.api import schemas
from federation.models import TrainingSession
from federation.services import sessions
from tests.federation.cast import settle
from tests.federation.services.evaluating import declare, take, train

pytestmark = pytest.mark.django_db
BOTH = ["train", "evaluate"]
DIGEST = "d" * 64


def is_described(told: dict[str, Any]) -> bool:
    """Whether the model of the document reads it, and loses no member. Times may be written in two ways."""
    read = schemas.Work.model_validate(told).model_dump(mode="json", by_alias=True, exclude_unset=True)
    return read | {"deadline": ""} == told | {"deadline": ""}


@pytest.mark.parametrize("compression", ["none", "topk"])
def test_training(open_round, now, compression):
    open_round("anna", compression=compression)
    told = work.describe(take("anna", now))
    assert told["kind"] == "train" and told["last_update"] is None and is_described(told)


def test_training_after_an_update_that_counted(enrol, running, now):
    enrol("anna")
    train(running(rounds=2), "anna", now=now)
    told = work.describe(take("anna", now))
    assert told["round"] == 2 and told["last_update"] and is_described(told)


def test_an_evaluation(enrol, running, now):
    enrol("anna", kinds=BOTH)
    train(declare(running(rounds=1)), "anna", now=now)
    told = work.describe(take("anna", now))
    assert told["kind"] == "evaluate" and is_described(told)


def test_an_initialisation(enrol, draft, alice, now):
    enrol("anna", kinds=["train", "initialise"], workloads={"chest-xray": DIGEST})
    session = draft(rounds=1)
    TrainingSession.objects.filter(pk=session.pk).update(workload="chest-xray", workload_digest=DIGEST)
    session.refresh_from_db()
    sessions.start(session, by=alice, now=now)
    settle(session, now=now)
    told = work.describe(take("anna", now))
    assert told["kind"] == "initialise" and told["base_model"] is None and is_described(told)


def test_a_member_that_the_document_lacks_is_found(open_round, now):
    open_round("anna")
    told = work.describe(take("anna", now))
    assert not is_described(told | {"more": 1})
    assert not is_described(told | {"workload": told["workload"] | {"more": 1}})


def test_every_kind_of_work_is_in_the_document():
    mapping = schemas.Work.model_json_schema()["discriminator"]["mapping"]
    assert mapping.keys() == work.KINDS.keys()
