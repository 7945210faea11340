"""How a session's page opens and moves under two loads, in a real Chromium: first useful paint, frames, long tasks.

    .venv/bin/python benchmarks/page.py [--load both] [--seconds 20]

"open": 200 clients with 5,000 points each. "live": 20 clients with nearly 10,000 points each, and 200 more a second
that arrive over the API while one watches. Useful means that the curves are drawn. Frames are those that the page was
given in the time of watching; a long task blocks it for more than 50 ms.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.stack import PASSWORD, Stack, until  # noqa: E402

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
HEADERS = "Authorization"
WATCH = """
window.longTasks = []; window.frames_ = 0;
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((e) => e.duration)))
  .observe({ type: "longtask", buffered: true });
(function count() { window.frames_ += 1; requestAnimationFrame(count); })();
"""
DRAWN = (
    "document.querySelector('#curves')?.dataset.ready === 'true' && document.querySelector('#curves').data?.length > 0"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--load", choices=("open", "live", "both"), default="both")
    options = parser.parse_args()
    chrome = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chrome is None:
        raise SystemExit("No Chrome or Chromium is installed.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        stack = Stack(Path(folder))
        browser = playwright.chromium.launch(executable_path=chrome, args=FLAGS)
        try:
            stack.start()
            if options.load != "live":
                opened(stack, browser)
            if options.load != "open":
                live(stack, browser, options.seconds)
        finally:
            browser.close()
            stack.stop()


def opened(stack: Stack, browser: Browser) -> None:
    clients = enrol(stack, 200, "site")
    session = stack.session(name="open", quorum=200, rounds=1)
    work = seats(stack, clients)
    points(stack, session, 5000)
    page = signed_in(stack, browser)
    for visit in ("cold", "again"):
        seconds, painted = visited(stack, page, session)
        print(f"open, {visit}: 200 clients x 5,000 points, content painted after {painted:.2f} s,")
        print(f"      curves drawn after {seconds:.2f} s, {long_tasks(page)}")
    stack.post(f"/sessions/{session}/cancel")
    page.close()
    assert len(work) == 200
    for client in stack.get("/clients", limit=1000)["items"]:
        stack.http.patch(f"{stack.url}/api/v1/clients/{client['id']}", json={"enabled": False}, timeout=30)


def live(stack: Stack, browser: Browser, seconds: float) -> None:
    clients = enrol(stack, 20, "live")
    session = stack.session(name="live", quorum=20, rounds=1)
    work = seats(stack, clients)
    first = 10_000 - round(10 * seconds)
    points(stack, session, first)
    page = signed_in(stack, browser)
    took, painted = visited(stack, page, session)
    page.evaluate("longTasks.length = 0, frames_ = 0")
    began = time.monotonic()
    sender = threading.Thread(target=send, args=(stack, work, first, seconds))
    sender.start()
    page.wait_for_timeout(seconds * 1000)
    frames, spent = page.evaluate("frames_"), time.monotonic() - began
    tasks = long_tasks(page)
    sender.join()
    expected = first + round(10 * seconds)
    until(lambda: counts(page) == [expected] * 20, seconds=60, why=f"{expected} points each: {counts(page)}")
    print(f"live: 20 clients x {expected:,} points, 200 a second for {spent:.0f} s:")
    print(f"      content painted after {painted:.2f} s, curves drawn after {took:.2f} s,")
    print(f"      {frames / spent:.1f} frames a second, {tasks}; every point arrived. {os.cpu_count()} cores")


def counts(page: Page) -> list[int]:
    found: list[int] = page.evaluate("Object.values(JSON.parse(document.querySelector('#curves').dataset.points))")
    return found


def enrol(stack: Stack, number: int, stem: str) -> list[str]:
    def one(n: int) -> str:
        body = {"join_code": stack.join_code, "name": f"{stem}-{n:03}", "info": {}}
        code = invitation if number > 1 else stack.join_code
        answer = requests.post(f"{stack.url}/api/v1/enroll", json=body | {"join_code": code}, timeout=60)
        answer.raise_for_status()
        token: str = answer.json()["token"]
        return token

    invitation = stack.post("/invitations", {"uses": number}).json()["join_code"]
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(1, number + 1)))


def seats(stack: Stack, tokens: list[str]) -> list[tuple[str, str]]:
    """Each client takes its work: (token, participation)."""

    def one(token: str) -> tuple[str, str]:
        def ask() -> Any:
            answer = requests.get(f"{stack.url}/api/v1/work?wait=5", headers={HEADERS: f"Bearer {token}"}, timeout=60)
            return answer.json()["participation"] if answer.status_code == 200 else None

        return token, until(ask, seconds=90, why="work for every client")

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, tokens))


def points(stack: Stack, session: str, number: int) -> None:
    """Into the database at once: sent one by one they would take an hour."""
    code = f"""
import math, random
from django.db import transaction
from django.utils import timezone
from federation.models import Metric, Participation
now = timezone.now()
seats = list(Participation.objects.filter(round__session={session}))
with transaction.atomic():
    for seat in seats:
        Metric.objects.bulk_create([Metric(session_id={session}, participation=seat, name="train_loss", step=n,
            value=2 * math.exp(-n / 3000) + random.random() / 5, time=now) for n in range(1, {number} + 1)])
    Participation.objects.filter(pk__in=[seat.pk for seat in seats]).update(phase="training", fraction={number} / 10000)
"""
    command = [sys.executable, "manage.py", "shell", "-c", code]
    subprocess.run(command, cwd=ROOT, env=stack.env, check=True, capture_output=True)


def send(stack: Stack, work: list[tuple[str, str]], first: int, seconds: float) -> None:
    """Ten points a second from each client, one call a second, the clients spread over it."""
    http, began, step = requests.Session(), time.monotonic(), first
    http.trust_env = False
    for second in range(round(seconds)):
        for n, (token, seat) in enumerate(work):
            time.sleep(max(0.0, began + second + n / len(work) - time.monotonic()))
            metrics = [{"name": "train_loss", "step": step + k, "value": 0.1 + k / 100} for k in range(1, 11)]
            body = {"phase": "training", "fraction": min(0.999, step / 10_000), "metrics": metrics}
            url = f"{stack.url}/api/v1/participations/{seat}/progress"
            http.post(url, json=body, headers={HEADERS: f"Bearer {token}"}, timeout=60).raise_for_status()
        step += 10


def signed_in(stack: Stack, browser: Browser) -> Page:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCH)
    page.goto(stack.url)
    page.fill("[name=username]", "alice")
    page.fill("[name=password]", PASSWORD)
    page.click("form button")
    page.wait_for_url(f"{stack.url}/")
    return page


def visited(stack: Stack, page: Page, session: str) -> tuple[float, float]:
    """Seconds from the click to drawn curves, and to the first paint of numbers, state and reasons."""
    began = time.monotonic()
    page.goto(f"{stack.url}/sessions/{session}/", wait_until="commit")
    until(lambda: page.evaluate(DRAWN), every=0.02, why="drawn curves")
    drawn = time.monotonic() - began
    return drawn, page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000


def long_tasks(page: Page) -> str:
    tasks: list[float] = page.evaluate("longTasks")
    return f"{len(tasks)} long tasks, the longest {max(tasks, default=0):.0f} ms"


if __name__ == "__main__":
    main()
