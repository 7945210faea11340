"""Weights down and up, through cut connections, restarts and a server that refuses."""

import base64
import errno
import gzip
import os
import re
import socket
import threading
import time
from hashlib import sha256
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as draw

from clientagent import codings, download, models, upload, work
from clientagent.api import Api
from clientagent.connection import Connection
from clientagent.errors import Dropped, Failed
from clientagent.exchange import Request
from clientagent.models import ModelCache
from clientagent.state import Finished
from federation.fl import weights
from tests.clientagent.fake_server import (
    Action,
    FakeServer,
    Handler,
    Seat,
    cut,
    early,
    half,
    html,
    lost,
    plainly,
    status,
)

PART = 10_000


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch):
    monkeypatch.setattr(download, "PART_BYTES", PART)
    monkeypatch.setattr(upload, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(upload, "BUSY_SECONDS", 0.02)
    monkeypatch.setattr(upload, "LEAST_PART_BYTES", 2000)
    monkeypatch.setattr("clientagent.persisting.FIRST_DELAY", 0.01)
    monkeypatch.setattr("clientagent.connection.BUFFER_BYTES", 1000)


@pytest.fixture
def seat(server: FakeServer) -> Seat:
    return server.offer("synthetic", {"num_parameters": 10_000})  # 40 kB


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "models", shared=False)


def fetch(cache: ModelCache, api: Api, seat: Seat, seen: list[float] | None = None) -> bytes:
    return cache.fetch(api, work.base_model(seat.work), (seen if seen is not None else []).append).read_bytes()


def model(server: FakeServer, seat: Seat) -> bytes:
    return server.models[seat.work["base_model"]["digest"]]


def ranges(server: FakeServer) -> list[str]:
    return [seen.headers["range"].removeprefix("bytes=") for seen in server.requests("GET", "/models/")]


# ---- down


def test_a_model_comes_in_parts_and_is_kept(cache: ModelCache, api: Api, server: FakeServer, seat: Seat):
    seen: list[float] = []
    assert fetch(cache, api, seat, seen) == model(server, seat)
    assert ranges(server)[:2] == ["0-9999", "10000-19999"]
    assert seen == sorted(seen) and seen[-1] == 1.0
    fetch(cache, api, seat)
    assert len(ranges(server)) == 5


def test_a_cut_download_goes_on_where_it_was_cut(cache: ModelCache, api: Api, server: FakeServer, seat: Seat):
    server.script("GET", "/models/", plainly, half, cut)
    assert fetch(cache, api, seat) == model(server, seat)
    assert "15000-24999" in ranges(server)


def test_a_download_goes_on_after_a_restart(api: Api, server: FakeServer, seat: Seat, tmp_path: Path):
    digest = seat.work["base_model"]["digest"]
    cache = ModelCache(tmp_path, shared=False)
    (tmp_path / f"{digest}.part").write_bytes(model(server, seat)[:12_345])
    assert fetch(cache, api, seat) == model(server, seat)
    assert ranges(server)[0] == "12345-22344"
    assert [path.name for path in tmp_path.iterdir()] == [f"{digest}.safetensors"]


def test_what_was_left_of_another_file_is_found_out_by_its_digest(api: Api, server, seat: Seat, tmp_path: Path):
    cache = ModelCache(tmp_path, shared=False)
    (tmp_path / f"{seat.work['base_model']['digest']}.part").write_bytes(b"x" * 12_345)
    assert fetch(cache, api, seat) == model(server, seat)
    assert "0-9999" in ranges(server)


def test_more_than_the_model_has_begins_again(api: Api, server: FakeServer, seat: Seat, tmp_path: Path):
    cache = ModelCache(tmp_path, shared=False)
    (tmp_path / f"{seat.work['base_model']['digest']}.part").write_bytes(b"x" * 1_000_000)
    assert fetch(cache, api, seat) == model(server, seat)


def older_models(folder: Path, *sizes: int) -> list[Path]:
    """Other models that were used lately, the oldest first."""
    made = [folder / f"{sha256(bytes([n])).hexdigest()}.safetensors" for n in range(len(sizes))]
    for n, (path, size) in enumerate(zip(made, sizes, strict=True)):
        path.write_bytes(b"o" * size)
        os.utime(path, (1000 + n, 1000 + n))
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def marking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' model is large enough to be written over another, and every piece of it to be noted."""
    monkeypatch.setattr(models, "SMALL_BYTES", 0)
    monkeypatch.setattr(download, "MARK_BYTES", 1)


@pytest.mark.parametrize("large", [False, True])
def test_a_model_is_written_over_the_one_that_would_be_removed(api, server, seat, tmp_path, monkeypatch, large):
    monkeypatch.setattr(models, "SMALL_BYTES", 0 if large else 8 << 20)
    cache, size = ModelCache(tmp_path, shared=False), seat.work["base_model"]["num_bytes"]
    first, second = older_models(tmp_path, size, size)
    place = first.stat().st_ino
    assert fetch(cache, api, seat) == model(server, seat)
    mine = tmp_path / f"{seat.work['base_model']['digest']}.safetensors"
    assert mine.stat().st_ino == place and names(tmp_path) == sorted((mine.name, second.name))
    assert fetch(ModelCache(tmp_path, shared=False), api, seat) == model(server, seat) and len(ranges(server)) == 5


@pytest.mark.parametrize("large", [False, True])
def test_a_model_that_goes_as_it_is_to_be_written_over_costs_no_work(api, server, seat, tmp_path, monkeypatch, large):
    monkeypatch.setattr(models, "SMALL_BYTES", 0 if large else 8 << 20)
    size, replace = seat.work["base_model"]["num_bytes"], os.replace

    def replaced(source, target):
        if source in older:
            source.unlink()  # somebody tidies up
        replace(source, target)

    older = older_models(tmp_path, size, size)
    monkeypatch.setattr(models.os, "replace", replaced)
    assert fetch(ModelCache(tmp_path, shared=False), api, seat) == model(server, seat)
    assert names(tmp_path) == sorted((f"{seat.work['base_model']['digest']}.safetensors", older[1].name))


@pytest.mark.parametrize(("sizes", "shared"), [((0,), False), ((8, 0), False), ((0, 0), True)])
def test_no_model_is_written_over_that_is_kept_or_of_another_size(api, server, seat, tmp_path, sizes, shared):
    size = seat.work["base_model"]["num_bytes"]
    places = [path.stat().st_ino for path in older_models(tmp_path, *(size + more for more in sizes))]
    cache = ModelCache(tmp_path, shared=shared)
    assert fetch(cache, api, seat) == model(server, seat)
    mine = tmp_path / f"{seat.work['base_model']['digest']}.safetensors"
    assert mine.stat().st_ino not in places


@pytest.mark.parametrize(("mark", "begins"), [("12345", 12_345), ("0", 0), ("", 0)])
def test_a_download_over_another_model_goes_on_after_a_restart(api, server, seat, tmp_path, mark, begins):
    digest, size = seat.work["base_model"]["digest"], seat.work["base_model"]["num_bytes"]
    (tmp_path / f"{digest}.part").write_bytes(model(server, seat)[:12_345].ljust(size, b"o"))
    (tmp_path / f"{digest}.mark").write_text(mark)
    assert fetch(ModelCache(tmp_path, shared=False), api, seat) == model(server, seat)
    assert ranges(server)[0] == f"{begins}-{begins + PART - 1}"
    assert names(tmp_path) == [f"{digest}.safetensors"]


def test_a_download_over_another_model_that_does_not_fit_begins_again(api, server, seat, tmp_path):
    digest, size = seat.work["base_model"]["digest"], seat.work["base_model"]["num_bytes"]
    (tmp_path / f"{digest}.part").write_bytes(b"o" * size)
    (tmp_path / f"{digest}.mark").write_text("12345")
    assert fetch(ModelCache(tmp_path, shared=False), api, seat) == model(server, seat)
    assert ranges(server)[0] == "12345-22344" and "0-9999" in ranges(server)


def test_a_cut_download_over_a_small_model_goes_on_after_a_restart(api: Api, server, seat: Seat, tmp_path: Path):
    cache, size = ModelCache(tmp_path, shared=False), seat.work["base_model"]["num_bytes"]
    older_models(tmp_path, size, size)
    server.script("GET", "/models/", plainly, half, status(404, "Gone."))
    with pytest.raises(Failed):
        fetch(cache, api, seat)
    assert fetch(ModelCache(tmp_path, shared=False), api, seat) == model(server, seat)
    assert "15000-24999" in ranges(server)


@pytest.mark.usefixtures("marking")
def test_a_cut_download_over_another_model_is_marked(api: Api, server: FakeServer, seat: Seat, tmp_path: Path):
    cache, size = ModelCache(tmp_path, shared=False), seat.work["base_model"]["num_bytes"]
    older_models(tmp_path, size, size)
    server.script("GET", "/models/", plainly, half, status(404, "Gone."))
    with pytest.raises(Failed):
        fetch(cache, api, seat)
    mark = tmp_path / f"{seat.work['base_model']['digest']}.mark"
    assert mark.read_text() == "15000"
    assert fetch(ModelCache(tmp_path, shared=False), api, seat) == model(server, seat)
    assert "15000-24999" in ranges(server) and not mark.exists()


@pytest.mark.usefixtures("marking")
def test_how_far_a_download_over_another_model_is_is_noted_now_and_then(api, server, seat, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MARK_BYTES", 2 * PART)
    cache, size = ModelCache(tmp_path, shared=False), seat.work["base_model"]["num_bytes"]
    older_models(tmp_path, size, size)
    server.script("GET", "/models/", plainly, plainly, plainly, status(404, "Gone."))
    with pytest.raises(Failed):
        fetch(cache, api, seat)
    assert fetch(ModelCache(tmp_path, shared=False), api, seat) == model(server, seat)
    assert ranges(server)[4].startswith("20000-")


@pytest.mark.usefixtures("marking")
def test_a_disk_with_no_room_for_the_mark_is_no_absence(api: Api, seat: Seat, tmp_path: Path, said, monkeypatch):
    def full(self: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    digest, size = seat.work["base_model"]["digest"], seat.work["base_model"]["num_bytes"]
    (tmp_path / f"{digest}.part").write_bytes(b"o" * size)
    (tmp_path / f"{digest}.mark").write_text("0")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(Failed, match="The model cannot be stored: No space left on device"):
        fetch(ModelCache(tmp_path, shared=False), api, seat)
    assert said == []


def test_a_server_without_range_sends_the_whole(cache: ModelCache, api: Api, server: FakeServer, seat: Seat):
    server.knows_range = False
    server.script("GET", "/models/", half)
    assert fetch(cache, api, seat) == model(server, seat)
    assert len(ranges(server)) == 2


@pytest.mark.parametrize("start", [0, 20_000])
def test_another_part_than_asked_for_is_not_taken(cache: ModelCache, api: Api, server, seat: Seat, said, start: int):
    named = f"bytes {start}-{start + 9}/40000"

    def other(handler) -> None:
        handler.answer(206, b"x" * 10, Content_Range=named)

    server.script("GET", "/models/", plainly, other)
    assert fetch(cache, api, seat) == model(server, seat)
    assert ranges(server)[:3] == ["0-9999", "10000-19999", "10000-19999"]
    assert f"it sends another part than asked for: {named!r}" in said[0]


def test_a_model_with_another_digest_is_refused_and_not_kept(api: Api, server, seat: Seat, tmp_path: Path):
    digest = seat.work["base_model"]["digest"]
    server.models[digest] = bytes(len(server.models[digest]))
    with pytest.raises(Failed, match="has another digest"):
        fetch(ModelCache(tmp_path, shared=False), api, seat)
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_damaged_file_of_the_cache_is_downloaded_again(api: Api, server: FakeServer, seat: Seat, tmp_path: Path):
    (tmp_path / f"{seat.work['base_model']['digest']}.safetensors").write_bytes(bytes(len(model(server, seat))))
    assert fetch(ModelCache(tmp_path, shared=True), api, seat) == model(server, seat)


def test_a_longer_answer_than_the_model_is_refused(cache: ModelCache, api: Api, server: FakeServer, seat: Seat):
    def without_a_length(handler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" + bytes(1_000_000))

    server.script("GET", "/models/", without_a_length)
    with pytest.raises(Failed, match="more bytes than the model has"):
        fetch(cache, api, seat)


def some(code: int, num_bytes: int, **headers: str) -> Action:
    return lambda handler: handler.answer(code, bytes(num_bytes), **headers)


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        (html(200), "it sends text/html instead of a model"),
        (html(400), "it answers 400"),
        (html(404), "it answers 404"),
        (html(206, Content_Range="bytes 10000-19999/40080"), "it sends text/html instead of a model"),
        (some(206, 10, Content_Range="bytes 10000-10009/77"), "it sends a part of another file"),
        (some(200, 77), "it sends 77 bytes for a model of 40"),
        (some(200, 1_000_000), "it sends 1000000 bytes for a model of 40"),
        (some(200, 77, Content_Type="application/octet-stream"), "it sends 77 bytes for a model of 40"),
        (some(200, 77, Content_Type="application/json"), "it sends application/json instead of a model"),
        (some(204, 0), "it answers 204, but not as the server does"),
    ],
)
def test_a_strangers_file_is_not_taken_and_costs_nothing_that_came(
    cache: ModelCache, api: Api, server, seat: Seat, said, stranger, reason
):
    server.script("GET", "/models/", plainly, stranger)
    assert fetch(cache, api, seat) == model(server, seat)
    assert ranges(server)[:3] == ["0-9999", "10000-19999", "10000-19999"]
    assert reason in said[0] and len(said) == 2


# ---- a proxy that compresses


class Compressing:
    """Whatever the server answers, a proxy compresses it. cut: so many coded bytes of the first model arrive."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, coding: str = "gzip", *, cut: int | None = None) -> None:
        self.times, self.coding, self.cut, plainly_ = 0, coding, cut, Handler.answer
        monkeypatch.setattr(Handler, "answer", lambda handler, *given, **more: self(handler, plainly_, *given, **more))

    def __call__(self, handler: Handler, plainly_, status: int, body: bytes = b"", **headers: str) -> None:
        if body and self.coding:
            self.times += 1
            headers["Content_Encoding"], body = self.coding, gzip.compress(body)
            if self.cut is not None and "/models/" in handler.path:
                body, self.cut = body[: self.cut], None
        plainly_(handler, status, body, **headers)


@pytest.mark.parametrize("knows_range", [True, False])
@pytest.mark.parametrize("cut", [None, 3000])
def test_a_model_that_a_proxy_compresses_arrives(
    cache: ModelCache, api: Api, server: FakeServer, seat: Seat, monkeypatch, knows_range, cut
):
    server.knows_range = knows_range
    proxy = Compressing(monkeypatch, cut=cut)
    assert fetch(cache, api, seat) == model(server, seat)
    assert proxy.times == len(ranges(server)) == (5 if knows_range else 1 + (cut is not None))
    assert {seen.headers["accept-encoding"] for seen in server.requests("GET", "/models/")} == {"identity"}
    if cut and knows_range:
        assert 0 < int(ranges(server)[1].partition("-")[0]) < PART, "what had come stays"


def test_other_answers_may_be_compressed_too(api: Api, server: FakeServer, seat: Seat, monkeypatch):
    Compressing(monkeypatch)
    assert api.work(0)["participation"] == seat.work["participation"]


@pytest.mark.parametrize(("coding", "reason"), [("br", "compresses its answers ('br')"), ("gzip", "damages them")])
def test_what_cannot_be_decoded_is_asked_for_again(
    cache: ModelCache, api: Api, server: FakeServer, seat: Seat, said, monkeypatch, coding, reason
):
    def of_nobody(handler: Handler) -> None:
        handler.answer(200, b"no such coding", Content_Type="application/octet-stream", Content_Encoding=coding)

    server.script("GET", "/models/", plainly, of_nobody)
    assert fetch(cache, api, seat) == model(server, seat)
    assert reason in said[0]


@given(draw.binary(max_size=5000), draw.integers(1, 700), draw.integers(1, 64))
def test_a_body_is_decoded_whole_in_bounded_pieces(body: bytes, size: int, most: int):
    coded, decoder = gzip.compress(body), codings.Decoder("gzip")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(codings, "PIECE_BYTES", most)
        parts = [coded[at : at + size] for at in range(0, len(coded), size)]
        pieces = [piece for part in parts for piece in decoder.pieces(part)]
    assert b"".join(pieces) == body and not decoder.is_cut
    assert all(0 < len(piece) <= most for piece in pieces)


@pytest.mark.parametrize("answer", [status(404, "There is no model for you."), status(400)])
def test_a_model_that_is_not_given_out_fails_the_seat(cache: ModelCache, api: Api, server, seat: Seat, answer):
    server.script("GET", "/models/", answer)
    with pytest.raises(Failed, match="The base model cannot be downloaded"):
        fetch(cache, api, seat)


def test_a_full_disk_fails_the_seat_and_is_no_absence(cache: ModelCache, api: Api, seat: Seat, said, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.Partial, "_store", full)
    with pytest.raises(Failed, match="cannot be stored: No space left on device"):
        fetch(cache, api, seat)
    assert said == []


def test_two_models_are_kept(api: Api, server: FakeServer, tmp_path: Path):
    cache = ModelCache(tmp_path, shared=False)
    for size in (10, 20, 30):
        fetch(cache, api, server.offer("synthetic", {"num_parameters": size}))
    kept = [server.seats[number].work["base_model"]["digest"] for number in "23"]
    assert {path.stem for path in tmp_path.iterdir()} == set(kept)


def test_a_shared_cache_downloads_a_model_once(api: Api, server: FakeServer, seat: Seat, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(models, "LOOK_SECONDS", 0.01)
    got: list[bytes] = []

    def one() -> None:
        mine = api.another(threading.Event())
        got.append(fetch(ModelCache(tmp_path, shared=True), mine, seat))
        mine.close()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert got == [model(server, seat)] * 4
    assert len(ranges(server)) == 5
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


# ---- up


@pytest.fixture
def update(server: FakeServer, seat: Seat, tmp_path: Path) -> Finished:
    path = tmp_path / "update.safetensors"
    (tmp_path / "base").write_bytes(model(server, seat))
    metadata = {"num_examples": "10", "base_digest": seat.work["base_model"]["digest"]}
    return Finished(path, weights.save(path, weights.load(tmp_path / "base"), metadata))


def send(api: Api, seat: Seat, update: Finished, **changes: object) -> list[float]:
    seen: list[float] = []
    upload.send(api, work.destination(seat.work | changes), update, seen.append)
    return seen


TUS = {"max_put_bytes": 100, "part_bytes": PART}


def offsets(server: FakeServer) -> list[int]:
    return [int(seen.headers["upload-offset"]) for seen in server.requests("PATCH", "/update")]


def test_a_small_update_is_one_put_with_its_digest(api: Api, server: FakeServer, seat: Seat, update: Finished):
    seen = send(api, seat, update)
    (put,) = [each for each in server.seen if each.path.endswith("/update")]
    expected = base64.b64encode(sha256(update.path.read_bytes()).digest()).decode()
    assert put.method == "PUT" and put.headers["content-digest"] == f"sha-256=:{expected}:"
    assert seat.update == update.path.read_bytes()
    assert seen[0] == 0.0 and seen == sorted(seen) and len(seen) > 10


def test_a_large_update_goes_up_in_parts_that_name_its_digest(
    api: Api, server: FakeServer, seat: Seat, update: Finished
):
    send(api, seat, update, **TUS)
    expected = base64.b64encode(sha256(update.path.read_bytes()).digest()).decode()
    assert seat.update == update.path.read_bytes()
    assert offsets(server) == [0, 10_000, 20_000, 30_000, 40_000]
    for seen in server.requests("PATCH", "/update"):
        assert seen.headers["tus-resumable"] == "1.0.0"
        assert seen.headers["content-type"] == "application/offset+octet-stream"
        assert seen.headers["upload-length"] == str(len(seat.update))
        assert seen.headers["repr-digest"] == f"sha-256=:{expected}:"


def test_a_put_that_is_too_large_after_all_goes_up_in_parts(api: Api, server: FakeServer, seat: Seat, update: Finished):
    server.max_put_bytes = 100
    send(api, seat, update, part_bytes=PART)
    assert len(server.requests("PUT", "/update")) == 1 and len(offsets(server)) == 5


def test_a_proxy_that_takes_little_gets_smaller_parts(api: Api, server: FakeServer, seat: Seat, update: Finished):
    server.script("PATCH", "/update", early, early)
    send(api, seat, update, **TUS)
    assert max(after - before for before, after in pairwise(dict.fromkeys(offsets(server)))) <= 2_500
    assert seat.update == update.path.read_bytes()


def test_where_an_upload_stands_is_not_asked_of_one_that_was_just_made(api: Api, server: FakeServer, seat, update):
    send(api, seat, update, **TUS)
    assert server.requests("HEAD", "/update") == []


def test_an_upload_goes_on_where_the_server_stands(api: Api, server: FakeServer, seat: Seat, update: Finished):
    whole = update.path.read_bytes()
    seat.upload, seat.length = bytearray(whole[:12_345]), len(whole)
    send(api, seat, Finished(update.path, update.digest, kept=True), **TUS)
    assert offsets(server)[0] == 12_345 and seat.update == whole


@pytest.mark.parametrize(("kept", "length"), [(False, None), (True, 50_000)])
def test_what_the_server_has_of_other_bytes_begins_again(api: Api, server, seat: Seat, update: Finished, kept, length):
    seat.upload, seat.length = bytearray(12_345), length or update.path.stat().st_size
    send(api, seat, Finished(update.path, update.digest, kept=kept), **TUS)
    assert len(server.requests("POST", "/update")) == 1
    assert offsets(server)[:2] == [0, 0 if not kept else 10_000] and seat.update == update.path.read_bytes()


@pytest.mark.parametrize("failure", [cut, lost, status(500), status(503), status(460)])
@pytest.mark.parametrize("part", [0, 2, 4])
def test_a_part_that_fails_costs_that_part_alone(api: Api, server, seat: Seat, update: Finished, failure, part):
    server.script("PATCH", "/update", *[plainly] * part, failure)
    send(api, seat, update, **TUS)
    assert seat.update == update.path.read_bytes()
    assert sum(seen.num_bytes for seen in server.requests("PATCH", "/update")) <= len(seat.update) + PART


def test_parts_become_smaller_where_they_are_cut_and_larger_where_they_arrive(
    api: Api, server: FakeServer, seat: Seat, update: Finished, monkeypatch
):
    monkeypatch.setattr(upload, "GROW_AFTER", 2)
    server.script("PATCH", "/update", *[cut] * 6)
    send(api, seat, update, **TUS)
    sizes = [seen.num_bytes for seen in server.requests("PATCH", "/update")]
    assert sizes[:6] == sorted(sizes[:6], reverse=True) and min(sizes[:8]) == 2_000
    assert 10_000 in sizes[6:] and seat.update == update.path.read_bytes()


def test_a_slow_way_up_is_no_absence_as_long_as_bytes_move(monkeypatch):
    """One chunk takes several times as long as may pass without a byte."""
    real = Connection._open

    def with_a_small_buffer(self: Connection) -> HTTPConnection:
        http = real(self)
        http.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        return http

    monkeypatch.setattr(Connection, "_open", with_a_small_buffer)
    chunk = bytes(1 << 19)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)

        def take_slowly() -> None:
            end, _ = listener.accept()
            with end:
                received = 0
                while received < len(chunk):
                    received += len(end.recv(1 << 14))
                    time.sleep(0.04)
                end.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=take_slowly, daemon=True)
        thread.start()
        connection = Connection(f"http://127.0.0.1:{listener.getsockname()[1]}", stall_seconds=0.5)
        request = Request("PUT", "/", {}, (chunk,), len(chunk))
        assert connection.exchange(request).status == 204
        connection.close()
        thread.join()


def test_a_part_that_is_being_written_still_is_waited_for(api: Api, server: FakeServer, seat: Seat, update: Finished):
    server.script("PATCH", "/update", plainly, *[status(423)] * 20)
    send(api, seat, update, **TUS)
    assert seat.update == update.path.read_bytes()


def test_another_offset_than_ours_is_the_servers_to_say(api: Api, server: FakeServer, seat: Seat, update: Finished):
    def forgets(handler) -> None:
        del seat.upload[5_000:]
        plainly(handler)

    server.script("PATCH", "/update", plainly, forgets)
    send(api, seat, update, **TUS)
    assert offsets(server)[:3] == [0, 10_000, 5_000] and seat.update == update.path.read_bytes()


def test_a_part_that_is_damaged_for_ever_fails_the_seat(api: Api, server: FakeServer, seat: Seat, update: Finished):
    server.script("PATCH", "/update", *[status(460)] * 50)
    with pytest.raises(Failed, match=r"refused a part of the update 10 times \(460\)"):
        send(api, seat, update, **TUS)


def test_an_update_that_is_damaged_on_the_way_is_sent_again(api: Api, server: FakeServer, seat: Seat, update: Finished):
    def flips(handler) -> None:
        plainly(handler)
        seat.upload[5] ^= 1

    server.script("PATCH", "/update", flips)
    send(api, seat, update, **TUS)
    assert offsets(server) == [0, 10_000, 20_000, 30_000, 40_000] * 2
    assert seat.update == update.path.read_bytes()


def test_an_update_that_is_damaged_here_fails_the_seat(api: Api, server: FakeServer, seat: Seat, update: Finished):
    whole = bytearray(update.path.read_bytes())
    whole[-5] ^= 1
    update.path.write_bytes(whole)
    with pytest.raises(Failed, match="refused a part"):
        send(api, seat, update, **TUS)
    assert seat.update == b""


@pytest.mark.parametrize("how", [{}, TUS])
@pytest.mark.parametrize(
    ("code", "error"), [(403, Dropped), (404, Dropped), (409, Dropped), (410, Dropped), (415, Failed), (422, Failed)]
)
def test_a_refusal_ends_the_upload_with_the_servers_sentence(api: Api, server, seat: Seat, update, how, code, error):
    refusal = status(code, "No, and this is why.")
    server.script("PATCH" if how else "PUT", "/update", refusal, refusal)  # after the first 409 it asks where it stands
    with pytest.raises(error, match=re.escape("No, and this is why.")):
        send(api, seat, update, **how)


def test_an_upload_that_may_not_begin_again_ends_with_the_servers_sentence(api: Api, server, seat: Seat, update):
    seat.upload, seat.length = bytearray(12_345), update.path.stat().st_size
    server.script("POST", "/update", status(422, "No, and this is why."))
    with pytest.raises(Failed, match="No, and this is why"):
        send(api, seat, update, **TUS)
    assert offsets(server) == [0] and len(seat.upload) == 12_345


def test_a_server_that_does_not_say_where_it_stands_is_sent_nothing(api: Api, server, seat: Seat, update: Finished):
    server.script("HEAD", "/update", status(400))
    with pytest.raises(Failed, match=r"The server does not say how much of the update it has \(400\)"):
        send(api, seat, Finished(update.path, update.digest, kept=True), **TUS)
    assert offsets(server) == [] and seat.status == "open"
    send(api, seat, update, **TUS)  # the file is still there
    assert seat.update == update.path.read_bytes()


def test_an_update_that_is_gone_is_no_absence(api: Api, server, seat: Seat, update: Finished, said):
    update.path.unlink()
    with pytest.raises(Failed, match="The update cannot be read: No such file or directory"):
        send(api, seat, update, **TUS)
    assert (seat.status, said) == ("open", [])


def test_an_update_that_is_cut_off_is_no_absence(api: Api, server, seat: Seat, update: Finished, said):
    def lose(handler) -> None:
        os.truncate(update.path, 10)
        plainly(handler)

    server.script("PATCH", "/update", lose)
    with pytest.raises(Failed, match="A file was cut off while it was sent"):
        send(api, seat, update, **TUS)
    assert (seat.status, said) == ("open", [])


def test_a_connection_that_ends_before_the_first_byte_is_no_cut_off_file(
    api: Api, server: FakeServer, seat: Seat, update: Finished, monkeypatch
):
    whole = os.sendfile
    ends = [False] * 41 + [True]  # the pieces whose answer is lost, and the first one of the next attempt

    def sendfile(*arguments: int) -> int:
        if ends and ends.pop(0):
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return whole(*arguments)

    monkeypatch.setattr(os, "sendfile", sendfile)
    server.script("PUT", "/update", lost)
    send(api, seat, update)
    assert ends == [] and seat.update == update.path.read_bytes()


def test_a_disk_that_cannot_be_read_is_no_absence(api: Api, seat: Seat, update: Finished, said, monkeypatch):
    def broken(self, file, offset, count):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(socket.socket, "sendfile", broken)
    with pytest.raises(Failed, match="A file cannot be read while it is sent: Input/output error"):
        send(api, seat, update, **TUS)
    assert (seat.status, said) == ("open", [])


def test_a_part_has_a_limit_however_large_the_server_wants_them(api: Api, server, seat: Seat, update, monkeypatch):
    monkeypatch.setattr(upload, "MOST_PART_BYTES", 4_000)
    send(api, seat, update, max_put_bytes=100, part_bytes=1 << 40)
    assert max(seen.num_bytes for seen in server.requests("PATCH", "/update")) == 4_000


def test_transfers_share_one_connection(cache: ModelCache, api: Api, seat: Seat, update, monkeypatch):
    opened: list[object] = []
    real = Connection._open
    monkeypatch.setattr(Connection, "_open", lambda self: opened.append(1) or real(self))
    fetch(cache, api, seat)
    send(api, seat, update, **TUS)
    assert len(opened) == 1
