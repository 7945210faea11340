"""Whatever a stranger on the way answers, to whichever call: nothing is lost, and nothing is trained twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clientagent import messages, upload, work
from clientagent.api import Api
from clientagent.calls import INFO, PUT, WORK, Recognition
from clientagent.connection import Connection
from clientagent.errors import Dropped
from clientagent.exchange import Answer, NotTheServer, Request
from clientagent.kinds.training import Trainer
from clientagent.link import Link
from clientagent.state import Finished
from federation.fl import weights
from tests.clientagent.fake_server import Action, FakeServer, Handler, Seat, cut, html, plainly, status, stranger
from tests.clientagent.sites import Site

JSON = {"Content_Type": "application/json"}
STRANGERS = {
    "a page": html(200),
    "a redirect": html(302, Location="https://login.example/"),
    "html 401": html(401, WWW_Authenticate="Basic"),
    "html 403": html(403),
    "html 404": html(404),
    "html 405": html(405, Allow="GET, POST"),
    "html 409": html(409, Upload_Offset="17"),
    "html 410": html(410),
    "html 413": html(413),
    "html 416": html(416),
    "html 422": html(422),
    "html 451": html(451),
    "html 502": html(502),
    "html 511": html(511),
    "a 204": stranger(204),
    "an empty 200": stranger(200),
    "an empty 403": stranger(403),
    "json 200": stranger(200, b'["signed in"]', **JSON),
    "json 401": stranger(401, b'{"detail": "Not authenticated"}', **JSON),
    "json 404": stranger(404, b'{"detail": "Not Found"}', **JSON),
    "a cut": cut,
}
CALLS = {
    "enroll": ("POST", "/enroll"),
    "work": ("GET", "/work"),
    "download": ("GET", "/models/"),
    "progress": ("POST", "/progress"),
    "put": ("PUT", "/update"),
    "fail": ("POST", "/fail"),
    "info": ("POST", "/info"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clientagent.persisting.FIRST_DELAY", 0.001)
    monkeypatch.setattr(upload, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(upload, "LEAST_PART_BYTES", 100)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for each time that something was trained."""
    made: list[str] = []
    real = Trainer.update

    def update(self: Trainer, work, *more):
        made.append(work.participation)
        return real(self, work, *more)

    monkeypatch.setattr(Trainer, "update", update)
    return made


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS)
def test_a_round_is_trained_once_and_completes_once_a_stranger_is_gone(
    site: Site, server: FakeServer, trainings: list[str], call: str, answer: Action
):
    if call == "info":
        server.offer()
        site.run()
        trainings.clear()
    if call == "fail":
        server.offer(workload={"name": "cats", "digest": "f" * 64, "options": {}})
    server.script(*CALLS[call], answer, answer, answer)
    seat = server.offer() if call != "fail" else server.seats["1"]
    site.run()
    assert server.all_played or (call, server.requests("PATCH", "/update") != []) == ("put", True)
    if call == "fail":
        assert seat.status == "failed" and "'cats'" in seat.reason
    else:
        assert seat.status == "reported" and trainings == [seat.work["participation"]]


@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS)
def test_a_goodbye_that_a_stranger_took_was_not_said(site: Site, server: FakeServer, answer: Action):
    server.script("POST", "/leave", answer)
    server.offer()
    assert "Left. The server did not answer" in site.run()
    assert server.left == 0


@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS)
def test_lines_of_the_log_that_a_stranger_took_are_sent_again(api: Api, server: FakeServer, answer: Action):
    lines = [{"time": "2026-01-01T00:00:00Z", "text": "Waiting for work."}]
    server.script("POST", "/log", answer, answer, lambda handler: handler.json(200, {}))
    api.log(lines)
    assert server.all_played


# ---- an update in parts


@pytest.fixture
def seat(server: FakeServer) -> Seat:
    return server.offer("synthetic", {"num_parameters": 1000}, max_put_bytes=100, part_bytes=1000)


@pytest.fixture
def update(server: FakeServer, seat: Seat, tmp_path: Path) -> Finished:
    path = tmp_path / "update.safetensors"
    (tmp_path / "base").write_bytes(server.models[seat.work["base_model"]["digest"]])
    metadata = {"num_examples": "10", "base_digest": seat.work["base_model"]["digest"]}
    return Finished(path, weights.save(path, weights.load(tmp_path / "base"), metadata), kept=True)


def send(api: Api, seat: Seat, update: Finished, **changes: object) -> None:
    upload.send(api, work.destination(seat.work | changes), update, lambda fraction: None)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH"])
@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS)
def test_an_update_in_parts_arrives_once_a_stranger_is_gone(
    api: Api, server: FakeServer, seat: Seat, update: Finished, method: str, answer: Action
):
    seat.upload, seat.length = bytearray(77), 50_000  # of other bytes: it begins anew
    server.script(method, "/update", answer, answer, answer)
    send(api, seat, update)
    assert server.all_played and seat.update == update.path.read_bytes()


def test_a_stranger_in_the_place_of_the_head_after_a_cut_part_is_not_believed(
    api: Api, server: FakeServer, seat: Seat, update: Finished
):
    server.script("PATCH", "/update", plainly, cut)
    server.script("HEAD", "/update", plainly, html(200), html(404))
    send(api, seat, update)
    assert server.all_played and seat.update == update.path.read_bytes()


@pytest.mark.parametrize("code", [405, 501])
def test_without_patch_an_update_that_fits_goes_whole(
    api: Api, server: FakeServer, seat: Seat, update: Finished, said: list[str], code: int
):
    server.script("PUT", "/update", html(413))
    server.script("PATCH", "/update", html(code))
    send(api, seat, update, max_put_bytes=1 << 20)
    assert seat.update == update.path.read_bytes() and len(server.requests("PUT", "/update")) == 2
    assert sum("blocks PATCH" in line for line in said) == 1


def test_without_put_a_small_update_goes_in_parts(api: Api, server: FakeServer, seat: Seat, update: Finished):
    server.script("PUT", "/update", html(405))
    send(api, seat, update, max_put_bytes=1 << 20)
    assert seat.update == update.path.read_bytes() and len(server.requests("PUT", "/update")) == 1


def test_without_patch_a_large_update_waits_and_its_owner_is_told_once(
    api: Api, server: FakeServer, seat: Seat, update: Finished, said: list[str]
):
    server.script("PATCH", "/update", *[html(405)] * 12)
    send(api, seat, update)
    assert seat.update == update.path.read_bytes()
    assert said.count(messages.NO_PATCH) == 1


def test_a_proxy_that_takes_next_to_nothing_is_waited_for(api: Api, server: FakeServer, seat: Seat, update: Finished):
    server.script("PATCH", "/update", *[html(413)] * 20)
    send(api, seat, update)
    assert server.all_played and seat.update == update.path.read_bytes()


def test_only_the_servers_own_answer_drops_a_finished_update(site: Site, server: FakeServer, trainings: list[str]):
    server.offer()
    server.script("PUT", "/update", html(404), html(410), html(403), status(410, "The round went on."))
    assert "Dropped: The round went on." in site.run()
    assert server.all_played and len(trainings) == 1


def test_points_that_are_too_many_for_a_proxy_go_in_smaller_calls(api: Api, server: FakeServer, seat: Seat):
    def takes_little(handler: Handler) -> None:
        (html(413) if len(handler.body) > 500 else plainly)(handler)

    points = [{"name": "train_loss", "step": step, "value": 1.0} for step in range(1, 41)]
    server.script("POST", "/progress", *[takes_little] * 100)
    assert api.progress("1", "training", 0.5, points)
    assert list(seat.values("train_loss")) == list(range(1, 41))


# ---- whose answer it is


def answer(code: int, kind: str = "", body: bytes = b"", **headers: str) -> Answer:
    names = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return Answer(code, names | ({"content-type": kind} if kind else {}), body)


PROBLEM = "application/problem+json"
MARK = {"FL_Server_Version": "0.2.0"}


def test_a_server_that_marks_all_its_answers_is_not_spoken_for():
    known = Recognition()
    known.check(PUT, answer(404, PROBLEM))  # of a server of 0.1.0
    known.check(INFO, answer(200, body=b'{"changed": []}', **MARK))
    with pytest.raises(NotTheServer, match="it answers 404"):
        known.check(PUT, answer(404, PROBLEM))
    known.check(PUT, answer(404, PROBLEM, **MARK))


def test_an_older_server_that_takes_the_place_of_a_newer_one_is_believed_again():
    known = Recognition()
    known.check(INFO, answer(200, body=b'{"changed": []}', **MARK))
    known.check(WORK, answer(204, **MARK))
    with pytest.raises(NotTheServer):
        known.check(PUT, answer(410, PROBLEM))
    known.check(WORK, answer(204, FL_Server_Version="0.1.0"))
    known.check(PUT, answer(410, PROBLEM))


def test_a_gateways_problem_document_does_not_end_the_work_of_a_marked_server(
    site: Site, server: FakeServer, trainings: list[str]
):
    server.marks_all = True
    seat = server.offer()
    gateway = stranger(404, b'{"title": "No route", "status": 404}', Content_Type=PROBLEM)
    server.script("PUT", "/update", gateway, gateway)
    site.run()
    assert server.all_played and seat.status == "reported" and len(trainings) == 1


# ---- what its owner is told


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [1000.0]
    monkeypatch.setattr("clientagent.link.monotonic", lambda: now[0])
    yield now


def words(code: int, call: str = "PUT update", **headers: str) -> str:
    return messages.who_answered(answer(code, "text/html", **headers), call, "fl.example")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words(200), "a sign-in page"),
        (words(302, Location="https://login.example/"), "Location: https://login.example/"),
        (words(401), "a sign-in page"),
        (words(511), "a sign-in page"),
        (words(407), "set them in HTTPS_PROXY"),
        (words(403, Server="Zscaler/6.2"), "a firewall or filter that forbids the call"),
        (words(403, Server="Zscaler/6.2"), "(status 403, asked: fl.example, Server: Zscaler/6.2)"),
        (words(404), "does not know the address"),
        (words(502, Via="1.1 squid"), "does not reach the server (status 502, asked: fl.example, Via: 1.1 squid)"),
        (words(503), "does not reach the server"),
        (words(413), "refuses large requests"),
        (words(405, "PATCH update"), "blocks PATCH"),
        (words(400), "FL_ALLOWED_HOSTS lacks fl.example"),
        (words(418), "a proxy or another web server"),
    ],
)
def test_a_guess_says_what_it_rests_on(text: str, expected: str):
    assert expected in text


def test_what_a_stranger_sends_is_shown_bounded_and_printable():
    text = words(403, Server="\x1b[2J" + "é" * 10_000)
    assert text.isprintable() and text.isascii() is False and len(text) < 400
    assert "?[2J" in text and "…" in text


def test_words_come_after_a_minute_and_again_when_they_change_or_after_ten(said: list[str], clock: list[float]):
    link = Link(said.append)
    for clock[0] in range(1000, 2500, 5):
        kind = "a firewall" if clock[0] < 1200 else "a sign-in page"
        link.stranger("PUT update", "it answers 403", kind)
        link.up("POST progress")  # others get through
    link.up("PUT update")
    assert [line.partition(":")[0] for line in said] == [
        "The server does not answer PUT update (it answers 403). Trying again until it does.",
        "For 1 min 0 s something on the way has answered PUT update in the server's place",
        "For 3 min 20 s something on the way has answered PUT update in the server's place",
        "For 13 min 20 s something on the way has answered PUT update in the server's place",
        "For 23 min 20 s something on the way has answered PUT update in the server's place",
        "The server is back after 24 min 55 s.",
    ]
    assert "a firewall" in said[1] and all("a sign-in page" in line for line in said[2:5])


def test_a_stranger_that_answers_otherwise_each_time_is_not_told_each_time(said: list[str], clock: list[float]):
    link = Link(said.append)
    for clock[0] in range(1000, 1000 + 24 * 3600, 15):
        link.stranger("PUT update", "it answers 403", f"page {clock[0]}")
    assert len(said) < 200


def test_a_call_that_is_given_up_is_not_waited_for(said: list[str], clock: list[float]):
    link = Link(said.append)
    link.stranger("PUT update", "it answers 403", "a firewall")
    link.forget("PUT update")
    link.up("GET work")
    assert len(said) == 1


def test_a_bare_400_names_the_servers_setting(api: Api, server: FakeServer, said: list[str]):
    server.script("GET", "/work", stranger(400, b"<h1>Bad Request (400)</h1>", Content_Type="text/html"))
    api.work(0)
    assert "its FL_ALLOWED_HOSTS lacks this address" in said[0]


def test_the_servers_own_sentence_is_passed_on(api: Api, server: FakeServer, said: list[str]):
    server.script("GET", "/work", status(400, "The address is not in FL_ALLOWED_HOSTS."))
    api.work(0)
    assert "(it answers 400: The address is not in FL_ALLOWED_HOSTS.)" in said[0]


def test_a_seat_that_the_server_took_back_is_dropped(api: Api, server: FakeServer, seat: Seat, update: Finished):
    seat.status = "dropped"
    with pytest.raises(Dropped, match="The round went on without this seat"):
        send(api, seat, Finished(update.path, update.digest))


@pytest.mark.parametrize("code", [102, 103])
def test_an_answer_after_a_proxys_early_hints_is_not_taken_for_the_next_ones(server: FakeServer, code: int):
    """http.client reads the hints as a whole answer, and what follows them as the answer to the next call."""

    def early_hints(handler: Handler) -> None:
        handler.wfile.write(f"HTTP/1.1 {code} Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n".encode())
        time.sleep(0.2)  # the answer comes later, in a packet of its own
        plainly(handler)

    token = {"Authorization": f"Bearer {server.enrolled()}"}
    work = Request("GET", "/api/v1/work?wait=0", token)
    server.script("POST", "/info", early_hints)
    connection = Connection(server.url)
    with pytest.raises(NotTheServer, match=f"sends {code} before the answer"):
        connection.exchange(Request("POST", "/api/v1/clients/me/info", token, (b'{"info": {}}',), 12))
    assert connection.exchange(work).status == 204
    connection.close()


def test_a_call_whose_answer_came_after_early_hints_is_made_again(api: Api, server: FakeServer):
    def early_hints(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        plainly(handler)

    server.changed = [{"what": "data"}]
    server.script("POST", "/info", early_hints)
    assert api.tell({}) == server.changed and len(server.infos) == 2
