"""The phases on the pages are what the real agent measured; of other clients the pages say that they are not known."""

from __future__ import annotations

import re
from html import unescape

from tests.e2e.plain import PlainClient
from tests.e2e.stack import PASSWORD, Stack
from tests.e2e.test_earlier_versions import signed_in

DIGITS = {"name": "digits", "options": {}}
SECONDS = re.compile(r"(download|training|upload) (?:(\d+) min )?([\d.]+) (ms|s)")


def timeline(stack: Stack, session: str) -> str:
    page = signed_in(stack.url, PASSWORD).get(f"{stack.url}/sessions/{session}/timeline/", timeout=30)
    assert page.ok
    return unescape(page.text)


def bars(page: str, client: str) -> list[str]:
    return re.findall(rf"<title>({client}, round .*?)</title>", page)


def seconds(bar: str) -> dict[str, float]:
    return {
        phase: 60 * float(minutes or 0) + float(number) / (1000 if unit == "ms" else 1)
        for phase, minutes, number, unit in SECONDS.findall(bar)
    }


def test_a_round_of_a_second_that_only_trained_says_so(stack: Stack) -> None:
    stack.agent("site-1", "--samples", "150")
    stack.online(1)
    train = {"epochs": 8, "batch_size": 16, "learning_rate": 0.05}
    session = stack.session(workload=DIGITS, rounds=4, quorum=1, train=train)
    assert stack.ended(session)["status"] == "completed"
    page = timeline(stack, session)
    found = [seconds(bar) for bar in bars(page, "site-1")][1:]  # the first loads torch
    assert len(found) == 3, page
    for spent in found:
        assert spent["training"] > 4 * spent.get("download", 0.0), found
        assert spent["training"] > spent.get("upload", 0.0), found
    assert "did not report" not in page


def test_of_a_plain_client_the_phases_are_not_known(stack: Stack) -> None:
    site = PlainClient(stack, "plain", 50, seed=1)
    session = stack.session(rounds=2, quorum=1)
    site.serve(session)
    assert stack.ended(session)["status"] == "completed"
    page = timeline(stack, session)
    assert all("work (not measured)" in bar and not seconds(bar) for bar in bars(page, "plain")), page
    assert "plain did not report how long download, training and upload took." in page
