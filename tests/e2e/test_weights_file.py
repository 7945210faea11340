"""A session that begins with a file of weights of one's own, uploaded on the form for a new session."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from federation.fl import weights
from tests.e2e.browser import agree, needs_browser, told
from tests.e2e.stack import Stack

pytestmark = needs_browser
NUM_PARAMETERS = 2_500_000  # 10 MB: three parts


@pytest.fixture(scope="module")
def stack(two_sites: Stack) -> Stack:
    return two_sites


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(weights.dump({"weight": np.linspace(0, 1, NUM_PARAMETERS, dtype=np.float32)}))
    return file


def filled(page: Page, stack: Stack, name: str, num_parameters: int = NUM_PARAMETERS) -> None:
    """The form, with a file of one's own to begin with."""
    page.goto(f"{stack.url}/sessions/new/")
    page.click(".choice >> text=Load test")
    page.fill("#id_name", name)
    page.fill("#id_rounds", "1")
    page.fill("[name='workload.synthetic.num_parameters']", str(num_parameters))
    expect(page.locator("#id_initial_model")).to_be_hidden()
    page.select_option("#id_start_from", "file")


def test_a_file_is_uploaded_goes_on_after_a_failure_and_begins_a_session(stack: Stack, file: Path, page: Page):
    filled(page, stack, "from a file")
    parts: list[str] = []

    def cut_the_second(route: Route) -> None:
        if route.request.method == "PATCH":
            parts.append(route.request.headers["upload-offset"])
            if len(parts) == 2:
                route.abort()
                return
        route.continue_()

    page.route("**/api/v1/models/uploads/**", cut_the_second)
    page.set_input_files("#id_initial_model", file)
    expect(page.locator("[data-said]")).to_have_text(re.compile(r"mine.safetensors is here, 10.0 MB"), timeout=30_000)
    assert parts == ["0", "4194304", "4194304", "8388608"]
    page.said.clear()  # type: ignore[attr-defined]  # the browser tells of the call that failed
    row = page.locator("#uploads tbody tr", has_text="mine.safetensors")
    expect(row).to_contain_text("alice")
    expect(row.get_by_role("radio")).to_be_checked()
    page.click("[name=launch]")
    told(page, "from a file is launched.")
    session = page.url.rstrip("/").rpartition("/")[2]
    expect(page.locator("#settings [data-setting=start_from] dd")).to_have_text("uploaded file mine.safetensors")
    state = stack.ended(session)
    assert state["status"] == "completed"
    assert stack.get(f"/sessions/{session}/models")["items"][0]["digest"] == state["initial_model"]
    page.click("#settings >> text=Change and run again")
    expect(page.locator("#id_start_from")).to_have_value("file")
    expect(row.get_by_role("radio")).to_be_checked()
    row.get_by_text("Delete …").click()
    agree(page, "Delete the uploaded file mine.safetensors?")
    told(page, "The uploaded file mine.safetensors is deleted.")
    expect(row).to_have_count(0)
    expect(page.locator("[data-digest]")).to_have_value("")


def test_a_file_of_another_model_is_refused_while_one_fills_in_the_form(stack: Stack, file: Path, page: Page):
    filled(page, stack, "too small", num_parameters=5000)
    page.set_input_files("#id_initial_model", file)
    error = page.locator("[data-field=initial_model] .field__error")
    expect(error).to_contain_text("Its tensor weight is F32 [2500000]; the model's is F32 [5000].", timeout=30_000)
    page.click("[name=launch]")
    expect(error).to_contain_text("The uploaded model mine.safetensors is not one of synthetic.")
    expect(page.locator("#id_start_from")).to_have_value("file")
    page.fill("[name='workload.synthetic.num_parameters']", str(NUM_PARAMETERS))
    page.click("[name=draft]")
    told(page, "too small is kept as a draft.")


def interrupted(page: Page, stack: Stack, name: str, file: Path) -> None:
    """The page is reloaded after the first part of the file."""
    filled(page, stack, name)
    page.route("**/api/v1/models/uploads/*", cut_all_but_the_first)
    page.set_input_files("#id_initial_model", file)
    expect(page.locator("[data-said]")).to_have_text("41 %, 4.19 MB of 10.0 MB sent.", timeout=30_000)
    page.reload()
    expect(page.locator("[data-said]")).to_contain_text("was interrupted", timeout=30_000)
    page.unroute("**/api/v1/models/uploads/*")


def cut_all_but_the_first(route: Route) -> None:
    if route.request.headers.get("upload-offset", "0") == "0":
        route.continue_()
    else:
        route.abort()


def test_an_upload_that_a_reload_interrupts_goes_on_with_the_same_file(stack: Stack, file: Path, page: Page):
    interrupted(page, stack, "interrupted", file)
    said = page.locator("[data-said]")
    expect(said).to_contain_text("The upload of mine.safetensors was interrupted. 41 %, 4.19 MB of 10.0 MB sent.")
    expect(said).to_contain_text("Choose the same file again to continue, or cancel it.")
    expect(page.locator("#id_start_from")).to_have_value("file")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.set_input_files("#id_initial_model", file)
    assert sent.value.headers["upload-offset"] == "4194304"
    expect(said).to_have_text(re.compile(r"mine.safetensors is here, 10.0 MB"), timeout=30_000)
    page.reload()
    expect(page.locator("[data-sending]")).to_be_hidden()
    interrupted(page, stack, "cancelled", file)
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as removed:
        page.click("[data-cancel]")
    assert removed.value.status == 204
    page.reload()
    expect(page.locator("[data-sending]")).to_be_hidden()
    page.said.clear()  # type: ignore[attr-defined]  # the browser tells of the calls that the reloads cut off


def refuse_parts_for_now(route: Route) -> None:
    if route.request.method == "PATCH":
        route.fulfill(status=503)
    else:
        route.continue_()


def test_what_is_no_model_is_refused_and_an_upload_can_be_cancelled(
    stack: Stack, file: Path, page: Page, tmp_path: Path
):
    filled(page, stack, "none")
    (tmp_path / "none.safetensors").write_bytes(b"nothing that could be a model's file")
    page.set_input_files("#id_initial_model", tmp_path / "none.safetensors")
    said = page.locator("[data-said]")
    expect(said).to_contain_text("Not a safetensors file")
    page.route("**/api/v1/models/uploads/*", refuse_parts_for_now)
    page.set_input_files("#id_initial_model", file)
    expect(said).to_have_text("0 %, 0 B of 10.0 MB sent.")
    expect(page.locator("#uploads :checked")).to_have_count(0)
    page.click("[name=launch]")
    told(page, "Wait until it is here, or cancel it.")
    with page.expect_response(lambda answer: answer.request.method == "DELETE") as removed:
        page.click("[data-cancel]")
    assert removed.value.status == 204
    expect(said).to_be_hidden()
    expect(page.locator("#id_initial_model")).to_have_value("")
    page.said.clear()  # type: ignore[attr-defined]  # the browser tells of the parts that were refused
