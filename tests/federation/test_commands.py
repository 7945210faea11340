import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from federation import tokens
from federation.models import Invitation
from federation.services import apikeys, clients

pytestmark = pytest.mark.django_db


def said(capsys, *words):
    call_command(*words)
    return capsys.readouterr().out.strip()


def test_an_invitation_is_made_in_the_terminal(capsys, now):
    code = said(capsys, "createinvitation", "--uses", "2")
    for name in ("anna", "ben"):
        clients.enroll(join_code=code, name=name, info={}, token=None, now=now)
    invitation = Invitation.objects.get()
    assert (invitation.uses, invitation.code_hash) == (2, tokens.digest(code))
    assert timedelta(days=6) < invitation.expires_at - timezone.now() < timedelta(days=8)


def test_scripts_read_it_as_json(capsys):
    assert json.loads(said(capsys, "createinvitation", "--json")).keys() == {"join_code"}


def test_a_code_in_a_file_is_made_once_and_readable_by_its_owner_alone(capsys, tmp_path, now):
    file = tmp_path / "code"
    assert said(capsys, "createinvitation", "--uses", "2", "--file", str(file)) == ""
    code = file.read_text().strip()
    assert clients.enroll(join_code=code, name="anna", info={}, token=None, now=now)
    assert file.stat().st_mode & 0o777 == 0o600
    said(capsys, "createinvitation", "--file", str(file))
    assert file.read_text().strip() == code and Invitation.objects.count() == 1


def test_a_code_that_cannot_be_kept_is_not_made(tmp_path):
    with pytest.raises(CommandError, match="code cannot be written: No such file or directory"):
        call_command("createinvitation", "--file", str(tmp_path / "away" / "code"))
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("words", [["--uses", "0"], ["--days", "0"], ["--days", "9999"]])
def test_an_impossible_invitation_is_refused_in_words(words):
    with pytest.raises(CommandError, match="choose 1 to"):
        call_command("createinvitation", *words)
    assert not Invitation.objects.exists()


def test_a_key_is_made_in_the_terminal(capsys, alice):
    assert apikeys.user_of(said(capsys, "createapikey", "alice")) == alice
    assert apikeys.user_of(json.loads(said(capsys, "createapikey", "alice", "--json"))["api_key"]) == alice


def test_a_key_needs_a_user():
    with pytest.raises(CommandError, match="There is no user bob"):
        call_command("createapikey", "bob")
