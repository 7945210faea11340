from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clientagent.api import Api
from clientagent.link import Link
from tests.clientagent.fake_server import FakeServer
from tests.clientagent.sites import Site


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def site(server: FakeServer, tmp_path: Path) -> Site:
    return Site(server, tmp_path / "state")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def api(server: FakeServer, said: list[str]) -> Iterator[Api]:
    """An enrolled client's calls."""
    made = Api(server.url, server.enrolled(), Link(said.append))
    yield made
    made.close()


@pytest.fixture
def until(server: FakeServer) -> Callable[..., None]:
    return server.wait_until
