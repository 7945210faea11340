"""Files are looked up by their digests with an index, however many models there are."""

import pytest
from django.db import connection
from django.db.models import Q

from federation.models import GlobalModel

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL reads a small table whole"),
]


@pytest.mark.parametrize("named", [Q(slots_digest="0" * 64), Q(digest="0" * 64) | Q(slots_digest="0" * 64)])
def test_an_optimizers_state_is_found_by_an_index(named):
    plan = GlobalModel.objects.filter(named).order_by().explain()
    assert "model_slots_digest" in plan and "SCAN" not in plan
