"""The gate in front of a small application: whom it lets in, and what every answer carries."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from federation import addresses
from federation.api.seen import seen
from flsite.gate import answers, bodies, callers, gate
from flsite.gate.gate import Gate
from flsite.gate.turns import Turns
from tests.federation.asgi import Answer, request

TOKEN = "f" * 64


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    message = await receive() if scope["method"] == "POST" else {"body": b""}
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def ask(application: Any, method: str = "GET", path: str = "/", body: Any = b"", **more: Any) -> Answer:
    size = sum(map(len, body)) if isinstance(body, list) else len(body)
    headers = ({"Content-Length": str(size)} if size else {}) | more.pop("headers", {})
    return asyncio.run(request(application, method, path, body, headers=headers, **more))


@pytest.fixture
def anna():
    seen.note(TOKEN, ("client", 1))
    yield TOKEN
    seen.forget(TOKEN)


def test_a_body_that_comes_in_pieces_reaches_the_application_whole(anna: str):
    path = "/api/v1/participations/1/progress"
    assert ask(Gate(echo), "POST", path, [b"ab", b"", b"cd"], token=anna).body == b"abcd"


def test_a_body_that_comes_too_slowly_is_given_up(monkeypatch):
    monkeypatch.setattr(bodies, "PATIENCE_SECONDS", 0.05)

    async def slowly() -> None:
        await asyncio.sleep(0.2)

    answer = asyncio.run(
        request(Gate(echo), "POST", "/sign-in/", [b"a", b"b"], headers={"Content-Length": "2"}, go_on=slowly())
    )
    assert answer.status == 408


def test_a_body_that_is_cut_is_not_passed_on(anna: str):
    assert ask(Gate(echo), "POST", "/sign-in/", [b"a"], cut=True).status == 0


def test_bodies_of_strangers_together_are_bounded_and_given_back(monkeypatch):
    monkeypatch.setattr(bodies, "MOST_OF_STRANGERS", 100)
    tried = Gate(echo)
    assert ask(tried, "POST", "/sign-in/", b"x" * 101).status == 503
    for _ in range(3):
        assert ask(tried, "POST", "/sign-in/", b"x" * 100).status == 200


def test_requests_of_one_address_are_bounded_and_those_of_a_client_counted_for_itself(settings, monkeypatch, anna: str):
    monkeypatch.setattr(gate, "LOOPBACK_FACTOR", 1)
    settings.FL_REQUESTS_PER_ADDRESS = settings.FL_REQUESTS_PER_CLIENT = 1
    tried = Gate(echo)
    statuses = [ask(tried, path="/api/v1/work").status for _ in range(60)]
    assert statuses[: gate.BURST_SECONDS] == [200] * gate.BURST_SECONDS and 429 in statuses
    assert ask(tried, path="/api/v1/work", token=anna).status == 200
    refused = next(a for a in (ask(tried, path="/api/v1/work") for _ in range(60)) if a.status == 429)
    assert refused.headers["content-type"] == "application/problem+json" and int(refused.headers["retry-after"]) >= 1


def test_sign_ins_are_fewer_than_requests():
    tried = Gate(echo)
    statuses = [ask(tried, "POST", "/sign-in/", b"a=b").status for _ in range(3 * gate.SIGN_INS[1])]
    assert statuses[: gate.SIGN_INS[1]] == [200] * gate.SIGN_INS[1] and 429 in statuses
    assert ask(tried, "GET", "/sign-in/").status == 200


def test_a_client_has_few_requests_under_way(anna: str):
    async def all_at_once() -> list[int]:
        waits = asyncio.Event()

        async def hold(scope: Any, receive: Any, send: Any) -> None:
            await waits.wait()
            await echo(scope, receive, send)

        tried = Gate(hold)
        held = [asyncio.ensure_future(request(tried, "GET", "/api/v1/work", token=anna)) for _ in range(20)]
        await asyncio.sleep(0)
        waits.set()
        return [answer.status for answer in await asyncio.gather(*held)]

    statuses = asyncio.run(all_at_once())
    assert statuses.count(200) == gate.AT_A_TIME["client"] and statuses.count(429) == 20 - gate.AT_A_TIME["client"]


def test_strangers_take_turns_and_leave_others_theirs(anna: str):
    async def crowd() -> tuple[int, int]:
        waits, inside = asyncio.Event(), 0

        async def hold(scope: Any, receive: Any, send: Any) -> None:
            nonlocal inside
            if not scope["fl.who"]:
                inside += 1
                await waits.wait()
            await echo(scope, receive, send)

        tried = Gate(Turns(hold))
        strangers = [asyncio.ensure_future(request(tried, "GET", "/")) for _ in range(30)]
        for _ in range(20):
            await asyncio.sleep(0)
        known = await request(tried, "GET", "/", token=anna)
        entered = inside
        waits.set()
        assert {answer.status for answer in await asyncio.gather(*strangers)} == {200}
        return entered, known.status

    assert asyncio.run(crowd()) == (8, 200)


def test_behind_a_proxy_its_last_word_is_the_address(monkeypatch):
    scope = {"client": ("127.0.0.1", 1)}
    told = {b"x-forwarded-for": b"9.9.9.9, 10.1.2.3"}
    assert callers.address(scope, told) == "127.0.0.1", "nobody else is believed"
    monkeypatch.setattr(callers, "BEHIND_PROXY", True)
    assert callers.address(scope, told) == "10.1.2.3"
    assert callers.address(scope, {}) == "127.0.0.1"
    assert callers.address(scope, {b"x-forwarded-for": b"2001:db8::1"}) == "2001:db8::/64"
    assert addresses.network("::ffff:10.1.2.3") == "10.1.2.3"


def test_behind_a_proxy_answers_ask_for_https(monkeypatch):
    assert "strict-transport-security" not in ask(Gate(echo)).headers
    monkeypatch.setattr(answers, "BEHIND_PROXY", True)
    assert "max-age=" in ask(Gate(echo)).headers["strict-transport-security"]


def test_what_the_application_says_of_caching_stays():
    async def cached(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Cache-Control", b"immutable")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    assert ask(Gate(cached)).headers["cache-control"] == "immutable"
    assert ask(Gate(echo)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "<script>", "a" * 5000, "\xff", "127.0.0.1.evil.example", "[::", ""])
def test_an_unknown_host_is_named_briefly_with_the_setting(host: str):
    answer = ask(Gate(echo), path="/api/v1/work", headers={"Host": host})
    assert answer.status == 400 and "FL_ALLOWED_HOSTS" in answer.json()["detail"] and len(answer.body) < 1500
    assert ask(Gate(echo), path="/healthz", headers={"Host": host}).status == 200


def test_a_token_that_was_refused_is_forgotten(anna: str):
    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    ask(Gate(refuse), path="/api/v1/work", token=anna)
    assert seen.who(anna) is None


NAMES = st.sampled_from(
    [
        "host",
        "cookie",
        "authorization",
        "content-length",
        "transfer-encoding",
        "expect",
        "x-forwarded-for",
        "range",
        "te",
        "accept-language",
    ]
)
BYTES = st.text(alphabet=st.characters(max_codepoint=255), max_size=60)
HEADERS = st.dictionaries(NAMES, BYTES, max_size=6)


@pytest.mark.django_db(transaction=True)
@given(HEADERS, st.sampled_from(["GET", "POST", "PUT", "", "\xff"]), BYTES, BYTES)
@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_path_and_query_is_no_failure(headers: dict[str, str], method: str, path: str, query: str):
    for prefix in ("/", "/api/v1/sessions"):
        address = f"{prefix}{path.replace('?', '')}?{query}"
        answer = ask(Gate(echo), method, address, b"abc", headers=headers)
        assert answer.status < 500
        if answer.status >= 400 and prefix != "/":
            assert json.loads(answer.body)["status"] == answer.status
