import re
from collections.abc import Callable

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation.models import Client, Invitation
from federation.services import clients
from tests.dashboard.cast import HTMX
from tests.dashboard.markup import compact

Enrol = Callable[..., list[Client]]


@pytest.fixture
def anna(enrol: Enrol) -> Client:
    return enrol("anna b.", num_examples=100)[0]


def test_the_dialog_says_what_it_does_before_it_does_it(browser: Browser, anna: Client) -> None:
    address = reverse("client_reissue", args=[anna.pk])
    assert address in browser.get(reverse("client", args=[anna.pk])).content.decode()
    for headers in ({}, HTMX):
        page = compact(browser.get(address, headers=headers).content.decode())
        assert "Its present token stays good until the command is run" in page
    assert Invitation.objects.filter(client=anna).count() == 0


def test_the_command_is_shown_once_and_works(browser: Browser, anna: Client) -> None:
    address = reverse("client_reissue", args=[anna.pk])
    answer = browser.post(address, headers=HTMX)
    page = answer.content.decode()
    assert "--name &#x27;anna b.&#x27;" in page
    assert (answer["Cache-Control"], answer["HX-Trigger"]) == ("no-store", "invitations-changed")
    code = re.search(r"--join ([\w-]+)", page)
    assert code
    assert "lets anna b. in again" in browser.get(reverse("clients")).content.decode()
    back, _ = clients.enroll(join_code=code[1], name="anna b.", info={}, token=None, now=timezone.now())
    assert back == anna
    assert "Run this at anna b." in browser.post(address).content.decode()


def test_it_is_told_who_came_back_and_with_what(browser: Browser, anna: Client) -> None:
    browser.post(reverse("client_reissue", args=[anna.pk]))
    clients.tell(anna, {"num_examples": 1}, now=timezone.now())
    page = browser.get(reverse("client", args=[anna.pk])).content.decode()
    assert "anna b. has other data: 1 example instead of 100 (" in page
    acts = re.sub(r"<[^>]+>", "", browser.get(reverse("activity")).content.decode())
    assert "anna b. has other data: 1 example instead of 100." in acts
    assert re.search(r"mara made the code \w{4} that lets anna b. in again with a new token.", acts)
