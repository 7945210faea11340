"""Clients tell their catalogue at the doors where info is told."""

import json

import pytest

from federation.models import ServedWorkload
from tests.federation.cast import token_of
from tests.federation.services.declaring import entry, telling

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
