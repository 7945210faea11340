"""Who may join, and who is refused, using nothing up."""

import pytest

from federation.errors import Conflict, Forbidden, Invalid, Unauthorized
from federation.models import Invitation
from federation.services import clients
from federation.services.clients import invitations
from tests.federation.rules.clock import NOW, later


def join(code: str, name: str = "north", token: str | None = None, now=NOW):
    return clients.enroll(join_code=code, name=name, info={}, token=token, now=now)


def test_an_unknown_code_is_refused(db):
    with pytest.raises(Forbidden, match="not known"):
        join("AAAA-BBBB-CCCC-DDDD")


def test_a_code_is_used_up_expires_and_is_revoked(db):
    invitation, once = invitations.create(uses=1, expires_in_seconds=None, by=None, now=NOW)
    join(once.lower().replace("-", " "))
    with pytest.raises(Forbidden, match="used up"):
        join(once, "south")
    _, short = invitations.create(uses=5, expires_in_seconds=60, by=None, now=NOW)
    with pytest.raises(Forbidden, match="expired"):
        join(short, "south", now=later(61))
    invitation, code = invitations.create(uses=5, expires_in_seconds=60, by=None, now=NOW)
    invitations.revoke(invitation, now=NOW)
    with pytest.raises(Forbidden, match="revoked"):
        join(code, "south")


def test_a_name_that_is_taken_or_cannot_be_is_refused_and_uses_nothing_up(join_code):
    join(join_code, "North")
    with pytest.raises(Conflict, match="taken"):
        join(join_code, "north")
    for name in ("", "<script>", "x" * 65):
        with pytest.raises(Invalid):
            join(join_code, name)
    with pytest.raises(Invalid):
        join(join_code, "south", token="short")
    assert Invitation.objects.get().used == 1


def test_a_lost_answer_loses_nothing(join_code):
    token = "ab" * 32
    first, second = join(join_code, token=token)[0], join(join_code, token=token)[0]
    assert first == second
    assert Invitation.objects.get().used == 1


def test_wrong_tokens_are_refused_and_those_of_disabled_and_removed_clients(join_code):
    client, token = join(join_code)
    assert clients.authenticate(token, now=NOW) == client
    with pytest.raises(Unauthorized):
        clients.authenticate("0" * 64, now=NOW)
    clients.set_enabled(client, False, by="alice")
    with pytest.raises(Forbidden, match="disabled"):
        clients.authenticate(token, now=NOW)
    clients.remove(client, by="alice", now=NOW)
    with pytest.raises(Unauthorized):
        clients.authenticate(token, now=NOW)
    assert join(join_code)[0].name == "north", "its name is free again"
