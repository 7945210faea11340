"""A person who has never seen it: from the first page to a loaded model, with the commands and snippets shown."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from playwright.sync_api import Page

from flsite import processes
from tests.e2e.browser import needs_browser, signed_in
from tests.e2e.stack import ROOT, Stack

pytestmark = needs_browser
Look = Callable[[str], object]


def test_from_the_first_page_to_a_loaded_model(stack: Stack, tmp_path: Path):
    with signed_in(stack.url, width=1440) as page:
        walk(stack, page, tmp_path)


def walk(stack: Stack, page: Page, folder: Path, look: Look = lambda step: None) -> None:
    page.wait_for_selector("h1 >> text=Train one model together")
    look("1-first-run")
    page.click("text=Make an invitation")
    page.click("#tab-several")
    look("2-command")
    run_as_shown(stack, page.inner_text("#panel-several code"))
    page.wait_for_selector("#step-appear >> text=laptop-4", timeout=60_000)
    page.wait_for_selector("#first-launch:not([aria-disabled])")
    look("3-appeared")
    page.click("text=Choose other settings")
    page.fill("[name=epochs], [name$=epochs]", "8")
    look("4-new-session")
    page.click("text=Launch now")
    page.wait_for_selector("#now[data-round='1']", timeout=60_000)
    slow = next(one for one in agents_of(stack) if "laptop-3" in one.cmdline())
    page.wait_for_selector(".lane[data-client=laptop-3][data-status=training]", timeout=60_000)
    slow.suspend()
    page.wait_for_selector("#act-round_skip >> text=Skip laptop-3", timeout=120_000)
    page.wait_for_selector("#now >> text=The round stays open for laptop-3", timeout=120_000)
    assert page.locator(".lane.is-blocking").get_attribute("data-client") == "laptop-3"
    look("5-who-is-slow")
    page.click("#act-round_skip")
    page.wait_for_selector("#dialog >> text=Skip laptop-3 in this round?")
    look("6-question")
    page.click("#dialog >> text=Skip it")
    page.wait_for_selector("#models [data-version='1']", timeout=60_000)
    slow.resume()
    look("7-model")
    for kind, suffix in (("safetensors", ".safetensors"), ("torch", ".pt")):
        with page.expect_download() as download:
            page.click(f"#models [data-version='1'] [download$='{suffix}']")
        download.value.save_as(folder / download.value.suggested_filename)
        if kind == "safetensors":
            page.click("#open-v1")
            page.wait_for_selector("#panel-safetensors")
            assert "model=1" in page.url
        page.click(f"#tab-{kind}")
        look(f"8-snippet-{kind}")
        snippet = page.inner_text(f"#panel-{kind} code")
        done = [sys.executable, "-c", f"{snippet}\nprint(sum(tensor.numel() for tensor in weights.values()))"]
        said = subprocess.run(done, cwd=folder, capture_output=True, text=True, timeout=120)
        assert int(said.stdout or 0) > 1000, said.stderr


def run_as_shown(stack: Stack, command: str) -> None:
    """Paste it into a shell, but for making the environment: that is the one in which these tests run."""
    made, _, rest = command.partition("\n")
    assert made == "python3 -m venv .venv && .venv/bin/pip install -r clientagent/requirements.txt"
    script = rest.replace(".venv/bin/python", sys.executable)
    log, env = stack.folder / "laptops.log", os.environ | {"HOME": str(stack.folder)}
    stack.agents["laptops"] = processes.start(["bash", "-c", script], log=log, cwd=ROOT, env=env)


def agents_of(stack: Stack) -> list[psutil.Process]:
    """The agents that call this server."""
    return [one for one in psutil.process_iter() if stack.url in _arguments(one) and "--join" in _arguments(one)]


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
