"""What the lists have in common."""

from __future__ import annotations

import html
import re
from unittest.mock import patch

import pytest
from django.test import Client as Browser
from django.urls import reverse

from federation.models import TrainingSession
from tests.dashboard.cast import Create

ASKED = {
    "model_rows": "q=first&workload=&tag=&sort=loss&page=2",
    "activity_rows": "area=sessions&by=mara&page=2",
    "client_rows": "q=n&state=&sort=late&page=2",
    "session_rows": "status=running&page=2",
    "workload_rows": "q=s&page=2",
}


def test_a_list_is_refreshed_as_it_was_asked_for(trained: TrainingSession, create: Create, browser: Browser) -> None:
    create(start=True, name="first again")
    with (
        patch("dashboard.pages.models.views.PER_PAGE", 1),
        patch("dashboard.pages.clients.views.PER_PAGE", 1),
        patch("dashboard.pages.session.views.PER_PAGE", 1),
        patch("dashboard.pages.activity.acts.PER_PAGE", 1),
        patch("dashboard.pages.workloads.views.PER_PAGE", 1),
    ):
        parts = {rows: browser.get(f"{reverse(rows)}?{asked}").content.decode() for rows, asked in ASKED.items()}
    for rows, asked in ASKED.items():
        refreshes = re.search(r'hx-get="([^"]+)"', parts[rows])
        assert refreshes is not None and html.unescape(refreshes[1]) == f"{reverse(rows)}?{asked}"


@pytest.mark.parametrize("name", ["model", "client", "rule"])
def test_what_is_not_there_is_404(browser: Browser, name: str) -> None:
    assert browser.get(reverse(name, args=[999])).status_code == 404


@pytest.mark.parametrize("name", ["compare", "models", "workloads", "activity", "alerts"])
def test_a_stranger_signs_in_first(stranger: Browser, name: str) -> None:
    assert stranger.get(reverse(name))["Location"].startswith("/sign-in/")
