"""Fixtures of the end-to-end tests: whole installations, each in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page

from tests.e2e.browser import close_chromium, pressing
from tests.e2e.stack import Stack, running
from tests.e2e.steering import Held, holding

Stack.warm = True


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


@pytest.fixture(scope="module")
def one_is_frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """site-1 works; site-2 is frozen, and counts as online for as long as the tests take."""
    with running(tmp_path_factory.mktemp("stack"), env={"FL_ONLINE_SECONDS": "3600"}) as stack:
        stack.two_sites()
        psutil.Process(stack.agents["site-2"].pid).suspend()
        yield stack


@pytest.fixture
def held(stack: Stack, page: Page) -> Iterator[Held]:
    with holding(stack, page) as hold:
        yield hold


@pytest.fixture
def page(stack: Stack) -> Iterator[Page]:
    """Somebody who presses buttons."""
    with pressing(stack.url) as page:
        yield page


@pytest.fixture
def phone(stack: Stack) -> Iterator[Page]:
    """The same on a phone, in the dark."""
    with pressing(stack.url, width=390) as page:
        page.context.add_cookies([{"name": "theme", "value": "dark", "url": stack.url}])
        page.reload()
        yield page
