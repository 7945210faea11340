"""Clients tell their catalogue at the doors where info is told; operators list it and use what is in it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation import catalogue
from federation.fl.workloads import WORKLOADS
from federation.models import ServedWorkload
from tests.federation.cast import token_of
from tests.federation.services.declaring import DIGEST, NAME, entry, odd_entries, telling
from tests.properties import PROPERTY, json_values

pytestmark = pytest.mark.django_db


def test_a_refused_catalogue_uses_no_invitation_up(invite, call):
    code = invite()
    body = {"join_code": code, "name": "anna", "token": token_of("anna"), "info": telling(entry(digest=""))}
    answer = call("POST", "/enroll", body)
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "info.catalogue[0].digest"
    assert call("POST", "/enroll", body | {"info": telling()}).status_code == 201


def test_its_limit_is_its_own_and_the_rest_of_info_keeps_its_limit(enrol, call):
    enrol("anna")
    large = telling(*(entry(name=f"w{n}", summary="s" * 500, digest=f"{n:064d}") for n in range(50)))
    assert len(json.dumps(large)) > 16 << 10
    assert call("POST", "/clients/me/info", {"info": large}, token=token_of("anna")).status_code == 200
    assert ServedWorkload.objects.count() == 50
    large["more"] = "x" * (16 << 10)
    answer = call("POST", "/clients/me/info", {"info": large}, token=token_of("anna"))
    assert answer.status_code == 422 and "info is larger than 16384 bytes" in answer.content.decode()


def test_workloads_are_listed_with_who_has_them(enrol, operator):
    enrol("anna", **telling(workloads={"synthetic": "s"}))
    enrol("ben", **telling(entry(version="2", num_examples=None)))
    found = operator("GET", "/workloads").json()["items"]
    assert [(one["name"], one["version"], one["origin"]) for one in found][-2:] == [
        (NAME, "1.2", "sites"),
        (NAME, "2", "sites"),
    ]
    listed = found[-2]
    assert (listed["title"], listed["digest"], listed["options"][0]["maximum"]) == ("Chest X-ray", DIGEST, 512)
    (anna,) = listed["clients"]
    assert (anna["name"], anna["online"], anna["num_examples"], anna["kinds"]) == (
        *("anna", True, 1200),
        ["train", "evaluate", "initialise"],
    )
    own = next(one for one in found if one["name"] == "synthetic")
    assert own["origin"] == "server" and own["options"][0]["name"] == "num_parameters"
    assert [(one["name"], one["agrees"]) for one in own["clients"]] == [("anna", False)]


def test_one_that_moves_to_the_server_while_they_are_listed_is_listed_once(enrol, operator, monkeypatch):
    enrol("anna", **telling())
    asked = catalogue.of_server

    def move(workload):
        monkeypatch.setitem(WORKLOADS, NAME, WORKLOADS["synthetic"])
        return asked(workload)

    monkeypatch.setattr(catalogue, "of_server", move)
    listed = operator("GET", "/workloads").json()["items"]
    assert [one["origin"] for one in listed if one["name"] == NAME] == ["sites"]


def test_a_session_of_one_is_made_and_shown(enrol, operator):
    enrol("anna", **telling())
    wish = {"name": "first", "workload": {"name": NAME, "options": {"width": 8}}, "equal_digests": True}
    answer = operator("POST", "/sessions", wish | {"start": False})
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    about = {"version": "1.2", "digest": DIGEST, "origin": "sites"}
    assert shown["workload"] == {"name": NAME, "options": {"width": 8}} | about
    assert (shown["equal_digests"], shown["main_measure"], shown["train"]["epochs"]) == (True, "auc", 3)
    wish["workload"]["version"] = "7"
    refused = operator("POST", "/sessions", wish)
    assert refused.status_code == 422 and refused.json()["errors"][0]["field"] == "workload.version"


# ---- a client that means harm


@pytest.fixture
def cast(enrol):
    """Anna means well. Mallory may tell anything, and has told something good before."""
    enrol("anna", **telling())
    enrol("mallory", **telling(entry(name="earlier")))


def listed(operator):
    """What only sites have, by name and version."""
    answer = operator("GET", "/workloads")
    assert answer.status_code == 200
    return {(one["name"], one["version"]): one for one in answer.json()["items"] if one["origin"] == "sites"}


@settings(PROPERTY, max_examples=40)
@given(told=json_values() | st.lists(st.dictionaries(st.sampled_from(sorted(entry())), json_values(), min_size=1)))
def test_any_json_as_a_catalogue_is_taken_or_refused_and_reaches_no_other_client(cast, call, operator, told):
    answer = call("POST", "/clients/me/info", {"info": {"catalogue": told}}, token=token_of("mallory"))
    assert answer.status_code in (200, 400, 413, 422), answer.content
    joining = {"join_code": "no-such-code", "name": "eve", "info": {"catalogue": told}}
    assert 400 <= call("POST", "/enroll", joining).status_code < 500
    assert [one["name"] for one in listed(operator)[NAME, "1.2"]["clients"]] == ["anna"]


@settings(PROPERTY, max_examples=40)
@given(
    told=st.lists(odd_entries(st.sampled_from(["a", "list", NAME, "w-1"])), max_size=3, unique_by=lambda e: e["name"])
)
def test_whatever_the_server_takes_it_lists_and_makes_a_session_of(cast, call, operator, told):
    answer = call("POST", "/clients/me/info", {"info": {"catalogue": told}}, token=token_of("mallory"))
    assert answer.status_code == 200, answer.content
    found = listed(operator)
    assert {(one["name"], one["version"]) for one in told} <= found.keys()
    assert found[NAME, "1.2"]["clients"][0]["name"] == "anna"
    for one in told:
        wish = {"name": "odd", "workload": {"name": one["name"], "version": one["version"]}, "start": False}
        made = operator("POST", "/sessions", wish)
        assert made.status_code in (201, 422), made.content
        if made.status_code == 201:
            assert operator("GET", f"/sessions/{made.json()['id']}").json()["workload"]["version"] == one["version"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"info": {"catalogue": %s}}' % (b"[" * 5000 + b"]" * 5000),
        b'{"info": {"catalogue": [%s]}}' % b",".join([b"0"] * 60_000),
        b'{"info": {"catalogue": [{"name": "%s"}]}}' % (b"x" * 400_000),
        b'{"info": {"catalogue": [{"name": "a", "digest": "\xff"}]}}',
        b'{"info": {"catalogue": [{"name": "a", "digest": "\\ud800"}]}}',
        b'{"info": {"catalogue": [{"name": "a", "digest": "\\u0000"}]}}',
        b'{"info": {"catalogue": [{"name": "a", "num_examples": %s}]}}' % (b"9" * 5000),
        b'{"info": {"catalogue": [{"name": "a", "num_examples": NaN}]}}',
        b'{"info": {"catalogue": [{"name": "a", "num_examples": 1e999}]}}',
    ],
    ids=["deep", "many", "long", "no UTF-8", "surrogate", "NUL", "digits", "NaN", "infinite"],
)
def test_a_catalogue_that_is_no_good_json_is_refused(cast, call, operator, body):
    answer = call("POST", "/clients/me/info", body, token=token_of("mallory"))
    assert 400 <= answer.status_code < 500, answer.content
    assert {name for name, _ in listed(operator)} == {NAME, "earlier"}
