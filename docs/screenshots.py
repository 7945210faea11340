"""`make screenshots`: fresh pictures for docs/tour.md, of real sessions that real agents trained, light and dark."""

import os
import signal
import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flsite.settings")

from PIL import Image  # noqa: E402
from playwright.sync_api import Page  # noqa: E402

from tests.e2e.browser import signed_in  # noqa: E402
from tests.e2e.stack import Stack, running, until  # noqa: E402
from tests.e2e.test_browser import DIGITS  # noqa: E402

IMAGES = ROOT / "docs" / "images"
NAMES = ("northfield-general", "st-brendan", "harbour-university", "vale-district")
SIZES = {"session": (1440, 1000), "session-phone": (390, 844)}  # of pictures that are not 1440 by 900
COLOURS = 256  # of a picture, as many as its format takes; chosen so that thin lines keep theirs


def main() -> int:
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder)) as stack,
        signed_in(stack.url, width=1440) as page,
    ):
        shoot(page, stack, "first-start", "/")
        for name, path in trained(stack).items():
            shoot(page, stack, name, path)
    return 0


def trained(stack: Stack) -> dict[str, str]:
    """Sessions that are over, one whose round waits, tags, a note and a rule. Returns the pages to be shown."""
    for n, name in enumerate(NAMES, start=1):
        parts = ("--partition", "dirichlet:0.5", "--shard", f"{n}/{len(NAMES)}")
        stack.agent(name, *parts, "--send-log")
    stack.online(len(NAMES))
    stack.manage("shell", "-c", RULE)
    first = stack.session(name="digits baseline", workload=DIGITS, rounds=8, train={"epochs": 2})
    stack.ended(first)
    second = stack.session(name="digits adam", workload=DIGITS, rounds=8, strategy={"name": "fedadam"})
    stack.ended(second)
    third = stack.session(name="digits further", workload=DIGITS, rounds=3, start_from={"session": first, "version": 8})
    stack.ended(third)
    stack.manage("shell", "-c", TAG)
    for number, client in enumerate(stack.get("/clients")["items"]):
        tags = ["hospital", "gpu"] if number % 2 else ["hospital"]
        stack.http.patch(f"{stack.url}/api/v1/clients/{client['id']}", json={"tags": tags})
    live = stack.session(name="digits live", workload=DIGITS, rounds=40, train={"epochs": 30}, quorum=3)
    done = lambda: stack.get(f"/sessions/{live}")["completed_rounds"] >= 3  # noqa: E731
    until(done, seconds=600, why="three rounds of the live session")
    slow = next(one["id"] for one in stack.get("/clients")["items"] if one["name"] == NAMES[-1])
    stop_in_the_middle(stack, live)
    return {
        "session": f"/sessions/{live}/",
        "session-phone": f"/sessions/{live}/",
        "overview": "/",
        "sessions": "/sessions/",
        "new-session": "/sessions/new/",
        "compare": f"/compare/?s={first}&s={second}&s={third}",
        "clients": "/clients/",
        "client": f"/clients/{slow}/",
        "models": "/models/?workload=digits&sort=accuracy",
        "model": "/models/19/",
        "activity": "/activity/",
        "alerts": "/alerts/",
    }


RULE = (
    "from federation.services import alerts; from federation.models import AlertRule as R; "
    "[alerts.save_rule(R(kind=k), by='alice') for k in ('session_done', 'round_waits', 'client_silent')]"
)
TAG = (
    "from federation.services import models; from federation.models import GlobalModel as M; "
    "m = M.objects.filter(session__name='digits further', version=0).get(); models.tag(m, 'production', by='alice'); "
    "models.note(m, 'Checked on the ward in May.', by='alice'); "
    "models.tag(M.objects.get(session__name='digits adam', version=8), 'candidate', by='alice')"
)


def stop_in_the_middle(stack: Stack, session: str) -> None:
    """The last client stands still while it trains: the round waits for it, and the page says so."""

    agent, name = stack.agents[NAMES[-1]].pid, NAMES[-1]

    def seats() -> dict[str, str]:
        newest = stack.get(f"/sessions/{session}/rounds", limit=1000)["items"][-1]
        return {seat["client"]["name"]: seat["status"] for seat in newest["participations"]}

    while True:
        until(lambda: seats().get(name) == "training", seconds=120, why="the last client at work")
        time.sleep(1.1)  # it has told how far it is
        os.kill(agent, signal.SIGSTOP)
        time.sleep(1)
        if seats().get(name) == "training":
            break
        os.kill(agent, signal.SIGCONT)  # it was done already
    others = lambda: [status for client, status in seats().items() if client != name]  # noqa: E731
    until(lambda: set(others()) == {"reported"}, seconds=120, why="the others' updates")
    time.sleep(16)  # one that lives says so every 10 s


def shoot(page: Page, stack: Stack, name: str, path: str) -> None:
    """One page as it is shown, light and dark."""
    width, height = SIZES.get(name, (1440, 900))
    page.set_viewport_size({"width": width, "height": height})
    for theme in ("light", "dark"):
        page.context.add_cookies([{"name": "theme", "value": theme, "url": stack.url}])
        page.goto(stack.url + path)
        page.wait_for_timeout(1200)  # charts are drawn
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
        file = IMAGES / f"{name}-{theme}.png"
        picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=1).save(file, optimize=True)
        print(f"{file.name}, {file.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    sys.exit(main())
