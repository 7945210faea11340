"""A server that is watched from outside: Prometheus' figures of a real session, its log as JSON, and its traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.collector import Kept, collecting
from tests.e2e.stack import Stack, running, until

TOKEN = "a-token-of-prometheus"


def figures(stack: Stack) -> dict[str, float]:
    """Each figure by its name and its labels' values."""
    answer = requests.get(f"{stack.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {" ".join((s.name, *s.labels.values())): s.value for family in families for s in family.samples}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, float], Path, Kept]:
    """What is said after a session of three rounds with two agents: figures, the log's folder, spans."""
    folder = tmp_path_factory.mktemp("watched")
    env = {"FL_METRICS_TOKEN": TOKEN, "FL_LOG": "json"}
    with collecting() as (url, kept), running(folder, env=env | {"FL_TRACES": url}) as stack:
        figures(stack)
        for name in ("anna", "ben"):
            stack.agent(name, "--workload", "synthetic")
        stack.online(2)
        session = stack.session()
        assert stack.ended(session)["status"] == "completed"
        seats = "fl_seats_total aggregated"
        found = until(lambda: (now := figures(stack)).get(seats) == 6 and now, why=f"six updates of {session}")
        stack.manage("createinvitation")
        until(lambda: sum(span.name.startswith("round ") for _, span in kept) == 3, why="three traces")
    return found, folder, kept


def test_a_session_shows_in_the_figures(ended):
    found, _, _ = ended
    assert found["fl_rounds_total train model"] == 3
    assert found["fl_round_seconds_count train"] == 3 and found["fl_aggregation_seconds_count"] == 3
    assert found["fl_update_bytes_total"] > 6 * 5000
    assert found["fl_sessions completed"] == 1 and found["fl_sessions running"] == 0
    assert found["fl_clients online"] == 2 and found["fl_database_up"] == 1
    assert 0 <= found["fl_queue_messages"] < 100 and found["fl_tick_age_seconds"] < 30
    sent = {name: count for name, count in found.items() if name.startswith("fl_requests_total PUT update")}
    assert sum(sent.values()) == 6, sent
    assert found["fl_requests_total GET work 200"] > 0 and found["fl_request_seconds_count work"] > 0


def test_the_log_tells_what_was_done_with_the_ids_of_session_and_round(ended):
    _, folder, _ = ended
    lines = [line for line in (folder / "web.log").read_text().splitlines() if line.startswith("{")]
    said = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in said)
    done = {(line["message"], line["session"], line["round"]) for line in said if "round" in line}
    assert {(f"{what} round {n}", 1, n) for what in ("close", "aggregate") for n in (1, 2, 3)} <= done
    assert any(line["message"] == "POST /api/v1/sessions: 201" and "request" in line for line in said)


def test_a_trace_of_each_round_tells_what_its_agents_did(ended):
    _, _, kept = ended
    for number in (1, 2, 3):
        root = next(span for _, span in kept if span.name == f"round {number}")
        trace = [(resource, span) for resource, span in kept if span.trace_id == root.trace_id]
        known = {span.span_id: span for _, span in trace}
        assert all(span.parent_span_id in known for _, span in trace if span is not root) and not root.parent_span_id
        assert {"collect", "aggregate", "client anna", "client ben"} <= {span.name for _, span in trace}
        agents = {
            (resource["service.instance.id"], span.name)
            for resource, span in trace
            if resource["service.name"] == "fl-agent"
        }
        assert {(name, phase) for name in ("anna", "ben") for phase in ("train", "upload")} <= agents
        for _, span in trace:
            assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
