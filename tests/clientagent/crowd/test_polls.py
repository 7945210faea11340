"""Each client asks often enough to count as online, with as few connections as there are."""

from hypothesis import given
from hypothesis import strategies as st

from clientagent.crowd import polls

ONLINE_SECONDS = 45  # the server's default


def test_with_a_connection_each_calls_wait_as_long_as_an_agents():
    assert polls.wait_seconds(100, 500) == polls.wait_seconds(500, 500) == 30


def test_with_fewer_connections_than_clients_calls_wait_shorter():
    assert polls.wait_seconds(1000, 500) == 4
    assert polls.wait_seconds(1000, 300) == 2.4


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_everybody_asks_within_a_cycle_unless_calls_would_be_too_short(clients: int, connections: int):
    wait = polls.wait_seconds(clients, connections)
    cycle = wait * clients / connections
    assert polls.LEAST_WAIT_SECONDS <= wait <= polls.LONGEST_WAIT_SECONDS
    assert cycle < ONLINE_SECONDS or wait == polls.LEAST_WAIT_SECONDS


def test_more_work_is_under_way_than_there_are_workers():
    assert all(polls.places(workers) > workers for workers in range(1, 100))
