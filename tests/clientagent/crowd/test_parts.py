"""Each client of many has what an agent with the same shard has."""

import numpy as np
import pytest

from clientagent.crowd.parts import Parts
from clientagent.data import SiteData
from clientagent.settings import Settings
from federation.fl import workloads
from federation.fl.partition import PartitionError
from federation.fl.workloads.training import split

DIGITS = workloads.get("digits")


@pytest.mark.parametrize("how, samples", [("iid", None), ("dirichlet:0.5", None), ("iid", 20)])
def test_a_client_has_the_data_of_an_agent_with_its_shard(how: str, samples: int | None):
    parts = Parts(Settings(partition=how, samples=samples, partition_seed=3), 4)
    for number in (1, 4):
        agent = SiteData(Settings(partition=how, samples=samples, shard=f"{number}/4", partition_seed=3))
        expected, found = agent.of(DIGITS, {}), parts.of(number).of(DIGITS, {})
        np.testing.assert_array_equal(found.features, expected.features)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(split(found, 0.2)[1].features, split(expected, 0.2)[1].features)


def test_data_are_read_once_for_all_clients(monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    original = type(DIGITS).training_data
    monkeypatch.setattr(type(DIGITS), "training_data", lambda *given: read.append("") or original(*given))
    parts = Parts(Settings(), 50)
    for number in range(1, 51):
        assert len(parts.of(number).of(DIGITS, {})) > 20
    assert len(read) == 1
    parts.forget()
    parts.of(1).of(DIGITS, {})
    assert len(read) == 2


def test_a_workload_without_data_has_none_for_anybody():
    synthetic = workloads.get("synthetic")
    assert len(Parts(Settings(), 100).of(100).of(synthetic, {})) == 0


def test_more_clients_than_examples_are_refused():
    with pytest.raises(PartitionError, match="1438 examples are too few for 5000 shards"):
        Parts(Settings(), 5000).of(1).of(DIGITS, {})
