from datetime import timedelta

import pytest

from federation.models import Server, ServerEvent
from federation.services import server
from tests.federation.cast import server_kinds

pytestmark = pytest.mark.django_db


def test_a_worker_is_at_work_while_it_ticks(now):
    server.tick(now=now)
    row = Server.objects.get()
    assert row.is_ticking(now + timedelta(seconds=9)) and not row.is_ticking(now + timedelta(seconds=10))


def test_silence_and_its_end_are_logged_once_each(now):
    server.tick(now=now)
    server.notice_silence(now=now + timedelta(seconds=5))
    assert server_kinds() == []
    for _ in range(2):
        server.notice_silence(now=now + timedelta(seconds=11))
    assert server_kinds() == ["worker.silent"]
    assert ServerEvent.objects.get().payload == {"last_tick": now.isoformat()}
    for _ in range(2):
        server.tick(now=now + timedelta(seconds=20))
    assert server_kinds() == ["worker.silent", "worker.recovered"]


def test_a_worker_that_never_was_is_not_missed(now):
    server.notice_silence(now=now)
    assert server_kinds() == []
