"""Tests with other frameworks, one folder each. They run in environments of their own: `make test-peers`.

Warnings of the frameworks are theirs, and are no errors here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.clientagent.fake_server import FakeServer
from tests.e2e.examples import START_SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def until(server: FakeServer) -> Callable[..., None]:
    """A framework takes its time to load on a busy machine."""
    return partial(server.wait_until, seconds=START_SECONDS)
