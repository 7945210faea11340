"""The table of all points is read by connections of its own, so what it shows is committed: in a file of its own."""

from __future__ import annotations

import asyncio

import pytest
from django.contrib.auth.models import User

from federation.api.raw import RawRoutes
from federation.api.urls import TABLES
from federation.services import apikeys
from tests.dashboard.haunted import make_haunted
from tests.federation.asgi import request


async def elsewhere(*_: object) -> None:
    raise AssertionError("the table is not for Django to answer")


@pytest.mark.django_db(transaction=True)
def test_the_table_of_all_points_answers() -> None:
    mara = User.objects.create_user("mara", is_staff=True)
    _, key = apikeys.create(mara)
    path = f"/api/v1/sessions/{make_haunted(mara).pk}/metrics?format=csv"
    answer = asyncio.run(request(RawRoutes(TABLES, otherwise=elsewhere), "GET", path, token=key))
    assert answer.status == 200
    assert b"anna" in answer.body
