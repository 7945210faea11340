from datetime import timedelta

import pytest

from federation import tokens
from federation.errors import Conflict, Invalid
from federation.models import Invitation
from federation.services.clients import invitations

pytestmark = pytest.mark.django_db


def test_the_join_code_is_kept_only_as_a_hash(alice, now):
    invitation, code = invitations.create(uses=3, expires_in_seconds=60, by=alice, now=now)
    invitation.refresh_from_db()
    assert invitation.code_hash == tokens.digest(code)
    assert code not in str(vars(invitation)) and str(invitation).startswith(code[:4])
    assert (invitation.uses_left, invitation.expires_at) == (3, now + timedelta(seconds=60))


def test_without_an_end_a_code_does_not_expire(now):
    invitation, _ = invitations.create(uses=1, expires_in_seconds=None, by=None, now=now)
    assert invitation.is_open(now + timedelta(days=10_000))


@pytest.mark.parametrize(
    "uses, seconds, fields",
    [
        (0, 60, ["uses"]),
        (-1, None, ["uses"]),
        (10_001, 60, ["uses"]),
        (1, 0, ["expires_in_seconds"]),
        (1, 367 * 86_400, ["expires_in_seconds"]),
        (0, -5, ["uses", "expires_in_seconds"]),
    ],
)
def test_impossible_numbers_are_each_named(now, uses, seconds, fields):
    with pytest.raises(Invalid) as refused:
        invitations.create(uses=uses, expires_in_seconds=seconds, by=None, now=now)
    assert [field for field, _ in refused.value.errors] == fields
    assert not Invitation.objects.exists()


def test_an_invitation_is_open_until_it_is_used_up_expired_or_revoked(now):
    invitation, _ = invitations.create(uses=1, expires_in_seconds=60, by=None, now=now)
    assert invitation.is_open(now)
    assert not invitation.is_open(now + timedelta(seconds=60))
    invitation.used = 1
    assert not invitation.is_open(now)


def test_revoking_twice_is_refused(now):
    invitation, _ = invitations.create(uses=1, expires_in_seconds=None, by=None, now=now)
    invitations.revoke(invitation, now=now)
    invitation.refresh_from_db()
    assert not invitation.is_open(now)
    with pytest.raises(Conflict, match="was revoked before"):
        invitations.revoke(invitation, now=now)
