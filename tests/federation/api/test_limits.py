"""JSON is bounded before it is parsed, and what is refused is told briefly."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.api import limits, problems
from federation.api.limits import Limit
from federation.errors import Invalid, Refused, TooLarge
from tests.federation.api.conftest import problem
from tests.properties import PROPERTY

SMALL = Limit(10_000, values=20, depth=4)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet=st.sampled_from('a,[]{}"\\:é'))
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=40)


def size(tree: object) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return 1 + sum(map(size, inner))


def depth(tree: object) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@PROPERTY
@given(TREES, st.booleans())
def test_json_passes_where_it_has_few_values_and_is_flat_whatever_its_texts_hold(tree: object, ascii_only: bool):
    body = json.dumps(tree, ensure_ascii=ascii_only).encode()
    try:
        limits.check_json(body, SMALL)
    except Refused:
        assert size(tree) > SMALL.values // 2 or depth(tree) > SMALL.depth or len(body) > SMALL.known
    else:
        assert size(tree) <= SMALL.values and depth(tree) <= SMALL.depth


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_are_json_or_refused(body: bytes):
    try:
        problems.json_of(body, SMALL)
    except Refused as refusal:
        assert refusal.status in (400, 413) and len(problems.of(refusal)) < 2000


@pytest.mark.parametrize(
    "body", [b'\\"' * 2_000_000, b'"' + b'\\"' * 2_000_000, b"[" * 4_000_000, b'{"":' * 1_000_000, b"," * 4_000_000]
)
def test_what_is_made_to_cost_much_is_refused(body: bytes):
    began = time.process_time()
    with pytest.raises(Refused):
        problems.json_of(body, Limit(1 << 30, values=60_000, depth=8))
    assert time.process_time() - began < 20, "it would take hours if it grew with the square"


def test_more_bytes_than_a_route_takes_are_too_large():
    with pytest.raises(TooLarge):
        limits.check_json(b" " * 10_001, SMALL)


@given(st.text(alphabet="abcDEF/.%0\n", max_size=50), st.text(max_size=10))
def test_what_is_no_route_needs_no_body(path: str, method: str):
    assert limits.of(method, "/" + path).known <= limits.FORM.known
    assert limits.of("GET", "/" + path) is limits.TINY


def test_a_stranger_may_send_a_body_to_the_open_routes_alone():
    for _, pattern, limit in limits.ROUTES:
        is_open = pattern in (r"/api/v1/enroll", r"/.*") or "sign-in" in pattern or "healthz" in pattern
        assert bool(limit.strangers) == is_open, pattern


def test_an_answer_names_twenty_errors_and_counts_the_others():
    refusal = Invalid(*((f"field{n}" * 100, "It is wrong. " * 1000) for n in range(50)), more=7)
    told = json.loads(problems.of(refusal))
    assert len(told["errors"]) == 20 and "52 more values are invalid." in told["detail"]
    assert len(problems.of(refusal)) < 20_000


def test_two_errors_are_told_whole():
    told = json.loads(problems.of(Invalid(("a", "A is wrong."), ("b", "B is wrong."))))
    assert told["detail"] == "A is wrong. B is wrong."


@pytest.mark.django_db
def test_unknown_members_are_named_in_part_and_too_many_are_not_looked_at(call):
    answer = call("POST", "/enroll", {f"member{n}": 1 for n in range(1000)})
    problem(answer, 422)
    assert len(answer.json()["errors"]) == 20 and len(answer.content) < 10_000
    many = call("POST", "/enroll", {f"m{n}": 1 for n in range(5000)})
    assert "2000 values" in problem(many, 400) and len(many.content) < 1000
    assert problem(call("POST", "/enroll", b" " * (1 << 20)), 413)


def test_bad_points_of_a_progress_call_are_named_in_part(open_round, raw):
    (seat,) = open_round("anna").seats.all()
    points = [{"name": "", "step": -1, "value": "x", "more": 1}] * 9000
    body = json.dumps({"phase": "training", "metrics": points}).encode()
    answer = raw("POST", f"/api/v1/participations/{seat.pk}/progress", body, by="anna")
    problem(answer, 422)
    assert len(answer.json()["errors"]) == 20 and len(answer.body) < 10_000
