import json
import re

import pytest
from django.test import Client as Browser

from federation import setting_kinds
from federation.api.urls import RAW_ROUTES
from federation.errors import Refused
from federation.lifecycle import LatePolicy
from federation.services.clients import invitations
from federation.session_settings import SETTINGS

CONTRACT = {
    "/enroll": {"post"},
    "/work": {"get"},
    "/models/{digest}": {"get"},
    "/models/{digest}/state_dict": {"get"},
    "/participations/{seat_id}/progress": {"post"},
    "/participations/{seat_id}/update": {"put", "post", "head", "patch"},
    "/participations/{seat_id}/fail": {"post"},
    "/participations/{seat_id}/result": {"post"},
    "/models/uploads": {"post"},
    "/models/uploads/{upload_id}": {"get", "head", "patch", "delete"},
    "/clients/me/leave": {"post"},
    "/sessions": {"get", "post"},
    "/sessions/{session_id}": {"get", "delete"},
    "/sessions/{session_id}/start": {"post"},
    "/sessions/{session_id}/pause": {"post"},
    "/sessions/{session_id}/resume": {"post"},
    "/sessions/{session_id}/cancel": {"post"},
    "/sessions/{session_id}/round/finish": {"post"},
    "/sessions/{session_id}/round/extend": {"post"},
    "/sessions/{session_id}/round/skip": {"post"},
    "/sessions/{session_id}/rounds": {"get"},
    "/sessions/{session_id}/events": {"get"},
    "/sessions/{session_id}/metrics": {"get"},
    "/sessions/{session_id}/models": {"get"},
    "/workloads": {"get"},
    "/clients": {"get"},
    "/clients/{client_id}": {"patch"},
    "/invitations": {"post"},
}
METHODS = {"get", "put", "post", "patch", "delete", "head"}


@pytest.fixture(scope="module")
def document():
    answer = Browser().get("/api/v1/openapi.json")
    assert answer.status_code == 200, "it is there without a token"
    return answer.json()


@pytest.mark.parametrize("path", CONTRACT)
def test_every_call_of_the_contract_is_described(document, path):
    assert CONTRACT[path] <= document["paths"][f"/api/v1{path}"].keys()


def test_nothing_is_described_twice_and_raw_routes_are_described_once(document):
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for method, operation in operations.items()
        if method in METHODS
    ]
    assert len(names) == len(set(names))
    assert len(RAW_ROUTES) == 7


def test_every_schema_that_is_referred_to_is_there(document):
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert "Progress" in referred and referred <= document["components"]["schemas"].keys()


def test_every_operation_but_enrolling_asks_for_a_token(document):
    unguarded = {
        path
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in METHODS and not operation.get("security")
    }
    assert unguarded == {"/api/v1/enroll"}
    named = {name for operations in document["paths"].values() for method, operation in operations.items()
             if method in METHODS for scheme in operation.get("security", []) for name in scheme}  # fmt: skip
    assert named <= document["components"]["securitySchemes"].keys()


def test_the_docs_page_loads_without_a_token_and_runs_nothing_that_the_csp_forbids():
    answer = Browser().get("/api/v1/docs")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "https://" not in page, "all of it comes from here"
    scripts = page.split("<script")[1:]
    assert all("src=" in script.split(">")[0] or "application/json" in script.split(">")[0] for script in scripts)
    assert "script-src 'self'" in answer["Content-Security-Policy"]


def all_refusals(kind=Refused):
    for below in kind.__subclasses__():
        yield from (below, *all_refusals(below))


def test_every_refusal_that_the_server_knows_has_a_meaning_in_the_document(document):
    told = document["components"]["responses"]
    known = {str(kind.status) for kind in all_refusals() if kind.__module__.startswith(("federation", "flsite"))}
    assert {"401", "409", "422", "460", "507"} <= known
    assert known <= told.keys()


def test_every_operation_names_what_it_may_refuse(document):
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in METHODS:
                told = operation["responses"].keys()
                assert {"400", "401", "403", "408", "413", "429", "503"} <= told, (method, path)
                assert "{" not in path or "404" in told, (method, path)
                assert method in ("get", "head") or {"409", "422"} <= told, (method, path)
                assert any(status < "400" for status in told), (method, path)


def test_limits_are_in_the_document(document):
    members = document["components"]["schemas"]["NewSession"]["properties"]
    limited = {n: setting_kinds.limits(o) for n, o in SETTINGS.items() if isinstance(o.kind, setting_kinds.Whole)}
    assert {"rounds", "quorum", "cohort_size", "round_seconds", "max_retries", "seed"} <= limited.keys()
    for name, (low, high) in limited.items():
        (whole,) = [one for one in members[name].get("anyOf", [members[name]]) if one.get("type") == "integer"]
        assert (whole["minimum"], whole["maximum"]) == (low, high), name
    assert set(members["late_policy"]["enum"]) == set(LatePolicy.values)
    assert document["components"]["schemas"]["NewInvitation"]["properties"]["uses"]["maximum"] == invitations.MAX_USES


@pytest.mark.parametrize(
    ("path", "method", "schema"),
    [
        ("/work", "get", "Work"),
        ("/participations/{seat_id}/progress", "post", "ProgressAnswer"),
        ("/models/uploads/{upload_id}", "get", "ModelFile"),
    ],
)
def test_the_answers_of_raw_routes_are_in_the_document(document, path, method, schema):
    answer = document["paths"][f"/api/v1{path}"][method]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": f"#/components/schemas/{schema}"}


def test_the_table_of_points_is_in_the_document(document):
    answer = document["paths"]["/api/v1/sessions/{session_id}/metrics"]["get"]["responses"]["200"]
    assert answer["content"].keys() == {"application/json", "text/csv"}
