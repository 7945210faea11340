"""Clients tell their catalogue at the doors where info is told; operators list it and use what is in it."""

import json

import pytest

from federation.models import ServedWorkload
from tests.federation.cast import token_of
from tests.federation.services.declaring import DIGEST, NAME, entry, telling

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
