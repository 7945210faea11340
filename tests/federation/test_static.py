"""Static files beside Django: found, sent with their headers, and nothing else."""

import asyncio

import pytest

from flsite.static import StaticFiles
from tests.federation.asgi import Answer, request

PATH = "/static/ninja/swagger-ui.css"


@pytest.fixture
def get(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path

    async def django(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"Django's"})

    files = StaticFiles(django)

    def get(path, method="GET", **headers) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return asyncio.run(request(files, method, path, headers=given))

    return get


def test_a_file_is_sent_whole_with_its_type(get):
    answer = get(PATH)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/css")
    assert len(answer.body) == int(answer.headers["content-length"]) > 10_000


def test_head_tells_the_size_without_the_bytes(get):
    answer = get(PATH, "HEAD")
    assert (answer.status, answer.body) == (200, b"")


def test_what_the_browser_has_is_not_sent_again(get):
    modified = get(PATH).headers["last-modified"]
    assert get(PATH, If_Modified_Since=modified).status == 304


@pytest.mark.parametrize(
    "path", ["/static/nothing.js", "/static/../manage.py", "/static/%2e%2e/manage.py", "/", "/static/"]
)
def test_everything_else_is_djangos(get, path):
    assert get(path).body == b"Django's"
    assert get(PATH, "POST").body == b"Django's"
