"""Fixtures of the end-to-end tests: whole installations, each in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import close_chromium, pressing
from tests.e2e.stack import Stack, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="module", autouse=True)
def end_of_the_browser() -> Iterator[None]:
    """A module's tests share a browser, where they need one."""
    yield
    close_chromium()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path) as stack:
        yield stack


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture(scope="module")
def two_sites(shared_stack: Stack) -> Stack:
    """The module's installation with two agents."""
    shared_stack.two_sites()
    return shared_stack


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    """Somebody who presses buttons."""
    with pressing(stack.url) as page:
        yield page
