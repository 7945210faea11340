import asyncio
import base64
import hashlib
import os

import pytest
from asgiref.sync import sync_to_async

from federation import storage
from federation.api.uploads import parts, unfinished
from federation.lifecycle import SeatStatus
from federation.models import Client
from federation.services import clients, rounds, sessions
from federation.services.seats import updates
from federation.storage import arriving
from tests.federation.api.conftest import application, problem
from tests.federation.asgi import Answer, request
from tests.federation.cast import seat_of, send, settle, token_of, update

pytestmark = pytest.mark.django_db(transaction=True)
TUS = {"Tus-Resumable": "1.0.0"}
PART = TUS | {"Content-Type": "application/offset+octet-stream"}


def url(name="anna"):
    return f"/api/v1/participations/{seat_of(name).pk}/update"


def checksum(body, algorithm="sha256"):
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, body).digest()).decode()}"


@pytest.fixture
def body(open_round):
    """Anna's update, to be sent in parts; ben is in the round too."""
    open_round("anna", "ben")
    return update(seat_of("anna"))


@pytest.fixture
def patch(raw):
    """Send a part of anna's update."""

    def patch(offset, part, **more) -> Answer:
        headers = PART | {"Upload-Offset": str(offset)} | more.pop("headers", {})
        return raw("PATCH", url(), part, by="anna", headers=headers, **more)

    return patch


@pytest.fixture
def create(raw):
    def create(**headers):
        given = TUS | {key.replace("_", "-"): value for key, value in headers.items()}
        return raw("POST", url(), by="anna", headers=given)

    return create


@pytest.fixture
def stands(raw):
    """Where the upload stands, as HEAD says."""

    def stands():
        answer = raw("HEAD", url(), by="anna", headers=TUS)
        assert answer.status == 200 and answer.body == b""
        assert answer.headers["cache-control"] == "no-store" and answer.headers["tus-resumable"] == "1.0.0"
        return int(answer.headers["upload-offset"])

    return stands


def test_an_upload_is_created_sent_in_parts_and_accepted_with_the_last(body, raw, create, patch, stands, enqueued):
    made = create(Upload_Length=str(len(body)))
    assert (made.status, made.headers["location"]) == (201, url())
    assert patch(0, body[:40]).headers["upload-offset"] == "40"
    assert stands() == 40 and enqueued == []
    last = patch(40, [body[40:60], body[60:]])
    assert (last.status, last.headers["upload-offset"]) == (204, str(len(body)))
    assert seat_of("anna").status == SeatStatus.REPORTED
    assert storage.path(seat_of("anna").digest).read_bytes() == body
    assert enqueued == [], "ben has not reported"
    assert not storage.upload_path(seat_of("anna").pk).exists()


def test_before_anything_was_sent_the_upload_stands_at_0_and_has_no_length(body, raw):
    answer = raw("HEAD", url(), by="anna", headers=TUS)
    assert (answer.headers["upload-offset"], answer.headers["upload-defer-length"]) == ("0", "1")
    assert "upload-length" not in answer.headers


def test_without_a_creation_a_part_may_say_the_length(body, patch, raw):
    assert patch(0, body[:40], headers={"Upload-Length": str(len(body))}).status == 204
    answer = raw("HEAD", url(), by="anna", headers=TUS)
    assert (answer.headers["upload-offset"], answer.headers["upload-length"]) == ("40", str(len(body)))
    assert patch(40, body[40:]).status == 204
    assert seat_of("anna").status == SeatStatus.REPORTED


def test_the_length_may_be_deferred_to_the_last_part(body, create, patch):
    assert create(Upload_Defer_Length="1").status == 201
    assert patch(0, body[:40]).status == 204
    assert patch(40, body[40:]).status == 204
    assert seat_of("anna").is_open
    assert patch(len(body), b"", headers={"Upload-Length": str(len(body))}).status == 204
    assert seat_of("anna").status == SeatStatus.REPORTED


def test_a_creation_must_say_a_length_or_that_it_comes_later(body, create):
    problem(create(), 422, field="Upload-Length")
    problem(create(Upload_Length="-1"), 422)
    problem(create(Upload_Length="many"), 422)
    problem(create(Upload_Length="9" * 40), 422)


def test_created_again_it_begins_again(body, create, patch, stands):
    patch(0, body[:40])
    assert create(Upload_Length=str(len(body))).status == 201
    assert stands() == 0
    assert patch(0, body).status == 204


@pytest.mark.parametrize("offset", [0, 39, 41, 10_000])
def test_a_wrong_offset_is_told_the_right_one(body, patch, stands, offset):
    patch(0, body[:40])
    answer = patch(offset, body[40:])
    problem(answer, 409)
    assert answer.headers["upload-offset"] == "40" and answer.headers["tus-resumable"] == "1.0.0"
    assert stands() == 40


@pytest.mark.parametrize("offset", ["", "-1", "four", "1.5"])
def test_an_offset_that_is_none_is_refused(body, patch, offset):
    assert patch(0, body, headers={"Upload-Offset": offset}).status in (409, 422)


def test_the_length_cannot_change(body, create, patch):
    create(Upload_Length=str(len(body)))
    problem(patch(0, body[:40], headers={"Upload-Length": str(len(body) + 1)}), 409)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_part_that_fits_its_checksum_is_kept(body, patch, stands, algorithm):
    assert patch(0, body[:40], headers={"Upload-Checksum": checksum(body[:40], algorithm)}).status == 204
    assert stands() == 40


def test_of_a_part_that_does_not_fit_its_checksum_nothing_is_kept(body, patch, stands):
    patch(0, body[:40])
    problem(patch(40, body[40:80], headers={"Upload-Checksum": checksum(b"other")}), 460)
    assert stands() == 40
    assert patch(40, body[40:], headers={"Upload-Length": str(len(body))}).status == 204


@pytest.mark.parametrize("given", ["md5 AAAA", "sha256", "sha256 *", "sha256 AAAA"])
def test_a_checksum_that_cannot_be_checked_keeps_nothing(body, patch, stands, given):
    assert patch(0, body[:40], headers={"Upload-Checksum": given}).status in (422, 460)
    assert stands() == 0


def test_of_a_connection_that_is_cut_what_came_is_kept(body, patch, stands):
    length = {"Upload-Length": str(len(body))}
    assert patch(0, [body[:30], body[30:50]], cut=True, headers=length).status == 0
    assert stands() == 50
    assert patch(50, body[50:]).status == 204
    assert seat_of("anna").status == SeatStatus.REPORTED


def test_of_a_connection_that_is_cut_a_part_with_a_checksum_is_not_kept(body, patch, stands):
    patch(0, body[:40])
    patch(40, [body[40:60]], cut=True, headers={"Upload-Checksum": checksum(body[40:80])})
    assert stands() == 40


def test_a_part_that_does_not_come_any_more_is_cut_and_what_arrived_is_kept(body, patch, stands, settings):
    settings.FL_STALL_SECONDS = 0.05
    stalled = patch(0, [body[:30], body[30:]], go_on=asyncio.Event().wait(), headers={"Upload-Length": str(len(body))})
    assert "go on from where the upload stands" in problem(stalled, 408)
    assert (stalled.headers["connection"], stalled.headers["tus-resumable"]) == ("close", "1.0.0")
    assert stands() == 30
    assert patch(30, body[30:]).status == 204
    assert seat_of("anna").status == SeatStatus.REPORTED


def test_a_part_of_which_a_byte_comes_now_and_then_is_cut_too(body, raw, patch, stands, settings):
    settings.FL_STALL_SECONDS = 0.05
    slowly = [body[at : at + 1] for at in range(len(body))]
    headers = PART | {"Upload-Offset": "0", "Upload-Length": str(len(body))}
    cut = raw("PATCH", url(), slowly, by="anna", headers=headers, every=0.01)
    assert "Less than 1024 bytes a second came" in problem(cut, 408)
    assert 0 < stands() < len(body)
    assert patch(stands(), body[stands() :]).status == 204


def test_after_refused_content_the_upload_stands_at_0_and_a_good_one_is_accepted(body, patch, stands):
    bad = b"x" * len(body)
    length = {"Upload-Length": str(len(body))}
    patch(0, bad[:40], headers=length)
    problem(patch(40, bad[40:]), 422, field="update")
    assert stands() == 0
    assert patch(0, body, headers=length).status == 204


def repr_digest(body):
    return {"Repr-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"}


@pytest.mark.parametrize("harm", ["a number that stays finite", "a number that does not"])
def test_an_update_that_was_damaged_on_the_way_begins_again_and_is_not_called_wrong(body, patch, stands, harm):
    whole, length = repr_digest(body), {"Upload-Length": str(len(body))}
    harmed = body[:-4] + (b"\0\0\0\0" if "stays" in harm else b"\0\0\xc0\x7f")
    patch(0, harmed[:40], headers=length)
    problem(patch(40, harmed[40:], headers=whole), 460)
    assert (stands(), seat_of("anna").reason) == (0, "")
    assert patch(0, body, headers=length | whole).status == 204


def test_a_digest_that_is_none_is_refused_and_keeps_what_stands(body, patch, stands):
    patch(0, body[:40], headers={"Upload-Length": str(len(body))})
    problem(patch(40, body[40:], headers={"Repr-Digest": "sha-256=:abc:"}), 422)
    assert patch(stands(), body[stands() :], headers=repr_digest(body)).status == 204


def test_another_version_of_tus_is_refused(body, raw, patch):
    for method in ("HEAD", "POST", "PATCH"):
        answer = raw(method, url(), by="anna", headers=PART | {"Tus-Resumable": "0.2.2", "Upload-Offset": "0"})
        assert answer.status == 412
        assert (answer.headers["tus-version"], answer.headers["tus-resumable"]) == ("1.0.0", "1.0.0")


def test_another_content_type_is_refused(body, patch, stands):
    problem(patch(0, body, headers={"Content-Type": "application/octet-stream"}), 415)
    assert stands() == 0


def test_what_cannot_belong_to_the_model_is_too_large(body, create, patch):
    base = seat_of("anna").round.base_model
    limit = base.num_bytes + parts.SPARE_BYTES
    problem(create(Upload_Length=str(limit + 1)), 413)
    problem(patch(0, b"", headers={"Upload-Length": str(limit + 1)}), 413)
    assert create(Upload_Length=str(limit)).status == 201


def test_a_part_beyond_the_length_is_too_large_and_not_counted(body, create, patch, stands):
    create(Upload_Length="50")
    patch(0, body[:40])
    problem(patch(40, body[40:60]), 413)
    assert stands() == 40


def test_without_a_length_an_upload_is_no_larger_than_its_model_allows(body, patch, stands, monkeypatch):
    monkeypatch.setattr(parts, "SPARE_BYTES", 100)
    limit = seat_of("anna").round.base_model.num_bytes + 100
    assert patch(0, b"x" * limit).status == 204
    problem(patch(limit, b"more"), 413)
    assert stands() == limit


def test_a_second_writer_is_locked_out_while_the_first_goes_on(body):
    async def both():
        first_has_begun, second_is_done = asyncio.Event(), asyncio.Event()

        async def pause():
            first_has_begun.set()
            await second_is_done.wait()

        target = await sync_to_async(url)()
        headers = PART | {"Upload-Offset": "0", "Upload-Length": str(len(body))}

        def part(*pieces, **more):
            return request(application, "PATCH", target, pieces, headers=headers, token=token_of("anna"), **more)

        first = asyncio.create_task(part(body[:40], body[40:], go_on=pause()))
        await first_has_begun.wait()
        second = await part(body)
        begin = await request(application, "POST", target, headers=TUS | {"Upload-Length": "9"}, token=token_of("anna"))
        second_is_done.set()
        return second, begin, await first

    second, begin, first = asyncio.run(both())
    problem(second, 423)
    problem(begin, 423)
    assert first.status == 204 and seat_of("anna").status == SeatStatus.REPORTED


def test_a_part_file_that_was_lost_begins_again(body, patch, stands):
    patch(0, body[:40])
    storage.upload_path(seat_of("anna").pk).unlink()
    assert stands() == 0
    answer = patch(40, body[40:])
    assert (answer.status, answer.headers["upload-offset"]) == (409, "0")
    assert patch(0, body, headers={"Upload-Length": str(len(body))}).status == 204


def test_what_a_killed_process_wrote_without_noting_it_is_overwritten(body, patch, stands):
    patch(0, body[:40], headers={"Upload-Length": str(len(body))})
    with storage.upload_path(seat_of("anna").pk).open("ab") as file:
        file.write(b"z" * 500)
    assert stands() == 40
    assert patch(40, body[40:]).status == 204
    assert seat_of("anna").status == SeatStatus.REPORTED


def test_after_acceptance_the_upload_stands_at_its_end(body, patch, raw, stands, enqueued):
    patch(0, body[:40], headers={"Upload-Length": str(len(body))})
    patch(40, body[40:])
    assert stands() == len(body)
    again = patch(0, body, headers={"Upload-Length": str(len(body))})
    assert (again.status, again.headers["upload-offset"]) == (409, str(len(body)))
    end = patch(len(body), b"")
    assert (end.status, end.headers["upload-offset"]) == (204, str(len(body)))
    assert seat_of("anna").status == SeatStatus.REPORTED and enqueued == []


def test_after_a_put_an_upload_has_nothing_left_to_send(body, patch, raw, stands):
    assert raw("PUT", url(), body, by="anna").status == 204
    assert stands() == len(body)
    assert patch(len(body), b"more", headers={"Upload-Length": str(len(body) + 4)}).status == 409
    assert storage.path(seat_of("anna").digest).read_bytes() == body


def test_a_late_upload_is_kept_part_by_part_and_told_with_the_last(open_round, raw, now):
    round_ = open_round("anna", "ben", quorum=1, rounds=1)
    send("ben", now=now)
    settle(round_.session, now=round_.deadline)
    body = update(seat_of("anna"))
    headers = PART | {"Upload-Length": str(len(body))}
    first = raw("PATCH", url(), body[:40], by="anna", headers=headers | {"Upload-Offset": "0"})
    last = raw("PATCH", url(), body[40:], by="anna", headers=headers | {"Upload-Offset": "40"})
    assert first.status == 204
    assert "late" in problem(last, 410)
    assert seat_of("anna").status == SeatStatus.LATE
    assert storage.path(seat_of("anna").digest).read_bytes() == body


def test_a_cancelled_rounds_parts_are_not_kept(body, raw, patch, alice, now):
    patch(0, body[:40])
    sessions.cancel(seat_of("anna").round.session, by=alice, now=now)
    problem(patch(40, body[40:]), 410)
    assert raw("HEAD", url(), by="anna", headers=TUS).status == 410


def test_another_clients_upload_is_not_there(body, raw):
    for method in ("HEAD", "POST", "PATCH"):
        assert raw(method, url("anna"), by="ben", headers=PART | {"Upload-Offset": "0"}).status == 404


def test_what_is_spoken_here_is_told_to_whoever_asks(body, raw):
    answer = raw("OPTIONS", url())
    assert answer.status == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {"creation", "creation-defer-length", "checksum"}
    assert set(answer.headers["tus-checksum-algorithm"].split(",")) == {"sha1", "sha256"}


def test_the_last_part_of_a_client_that_was_disabled_meanwhile_is_refused(body, patch, monkeypatch):
    assert patch(0, body[:10], headers={"Upload-Length": str(len(body))}).status == 204
    check = updates.wire.check

    def disabled_meanwhile(*args, **kwargs):
        clients.set_enabled(Client.objects.get(name="anna"), False, by="alice")
        return check(*args, **kwargs)

    monkeypatch.setattr(updates.wire, "check", disabled_meanwhile)
    assert "anna is disabled" in problem(patch(10, body[10:]), 403)
    assert seat_of("anna").status == SeatStatus.DROPPED and not seat_of("anna").digest


def test_while_a_part_arrives_the_disk_keeps_its_reserve(body, patch, stands, monkeypatch):
    honest = storage.require_room
    asked = []

    def require_room(num_bytes=0):
        asked.append(num_bytes)
        monkeypatch.setattr(storage.room, "SPARE_BYTES", 1 << 60 if len(asked) > 2 else 0)
        honest(num_bytes)

    monkeypatch.setattr(storage, "require_room", require_room)
    problem(patch(0, [body[:50], body[50:100], body[100:]]), 507)
    assert asked == [0, 50, 50]
    monkeypatch.undo()
    assert stands() == 0 and storage.upload_path(seat_of("anna").pk).stat().st_size == 0
    assert patch(0, body, headers={"Upload-Length": str(len(body))}).status == 204


@pytest.fixture
def may_take(monkeypatch):
    """Say how many bytes updates that are received may take together; the smallest count, too."""
    monkeypatch.setattr(arriving, "SMALL_BYTES", 0)
    monkeypatch.setattr(arriving, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(arriving, "_arriving", arriving.Arriving())

    def may_take(num_bytes):
        monkeypatch.setattr(storage.room, "free_bytes", lambda: storage.room.SPARE_BYTES + arriving.SHARE * num_bytes)

    may_take(1_000_000)
    return may_take


def test_while_others_send_all_that_there_is_room_for_a_part_is_refused_and_goes_on_later(
    body, patch, raw, stands, may_take
):
    assert patch(0, body[:40], headers={"Upload-Length": str(len(body))}).status == 204
    with storage.room_for(storage.upload_path(987_654), 900_000):
        may_take(890_000)
        refused = patch(40, body[40:])
        assert "as many updates" in problem(refused, 507) and refused.headers["retry-after"] == "2"
        problem(raw("PUT", url("ben"), [body[:9], body[9:]], by="ben"), 507)
    assert stands() == 40
    assert patch(40, body[40:]).status == 204


def test_an_upload_that_was_removed_to_make_room_begins_again(body, patch, stands, may_take):
    assert patch(0, body[:40], headers={"Upload-Length": str(len(body))}).status == 204
    may_take(900_000)
    with storage.room_for(storage.upload_path(987_654), 900_000):
        assert not storage.upload_path(seat_of("anna").pk).exists()
    assert stands() == 0
    conflict = patch(40, body[40:])
    assert (conflict.status, conflict.headers["upload-offset"]) == (409, "0")
    assert patch(0, body).status == 204
    assert seat_of("anna").status == SeatStatus.REPORTED


def test_an_upload_that_cannot_fit_is_refused_at_its_creation(body, create, monkeypatch):
    monkeypatch.setattr(storage.room, "SPARE_BYTES", storage.free_bytes() - 10)
    monkeypatch.setattr(storage.room, "free_bytes", lambda: storage.room.SPARE_BYTES + 10)
    problem(create(Upload_Length=str(len(body))), 507)
    assert create(Upload_Length="5").status == 201


@pytest.mark.parametrize("way", ["create", "patch"])
def test_a_client_has_one_half_upload_and_another_one_makes_it_go(body, patch, create, raw, alice, running, now, way):
    assert patch(0, body[:100]).status == 204
    first = seat_of("anna")
    assert storage.upload_path(first.pk).stat().st_size == 100
    rounds.skip(first.round.session, first.pk, by="alice")
    sessions.cancel(first.round.session, by=alice, now=now)
    session = running(quorum=1, cohort_size=1, name="second", seed=2)
    while seat_of("anna").pk == first.pk:
        assert rounds.advance(session, now=now)
    assert storage.upload_path(first.pk).exists()
    if way == "create":
        assert create(Upload_Length=str(len(body))).status == 201
    else:
        assert patch(0, body[:10]).status == 204
    assert not storage.upload_path(first.pk).exists()
    first.refresh_from_db()
    assert first.upload_offset == 0


# ---- in the place of an older file


@pytest.fixture
def older(body, monkeypatch):
    """The number of a file that is to be written over; it is larger than the update."""
    monkeypatch.setattr(storage.spare, "LEAST_BYTES", 1)
    content = b"?" * (len(body) + 30)
    with storage.scratch() as file:
        file.write_bytes(content)
        storage.put(file, hashlib.sha256(content).hexdigest())
    number = storage.path(hashlib.sha256(content).hexdigest()).stat().st_ino
    storage.delete([hashlib.sha256(content).hexdigest()], spare=True)
    return number


def test_an_update_is_written_over_an_older_file_and_holds_nothing_of_it(body, patch, stands, older):
    told = repr_digest(body) | {"Upload-Length": str(len(body))}
    patch(0, body[:40], headers=told)
    assert stands() == 40 and storage.upload_path(seat_of("anna").pk).stat().st_ino == older
    assert patch(40, body[40:], headers=told).status == 204
    file = storage.path(seat_of("anna").digest)
    assert file.read_bytes() == body and file.stat().st_ino == older


@pytest.mark.parametrize("missing", ["Upload-Length", "Repr-Digest"])
def test_without_a_digest_or_a_length_a_new_file_is_written(body, patch, older, missing):
    told = repr_digest(body) | {"Upload-Length": str(len(body))}
    del told[missing]
    patch(0, body[:40], headers=told)
    assert storage.upload_path(seat_of("anna").pk).stat().st_ino != older
    patch(40, body[40:], headers={"Upload-Length": str(len(body))})
    assert storage.path(seat_of("anna").digest).read_bytes() == body


def test_an_upload_that_begins_again_keeps_its_file(body, patch, create, older):
    told = repr_digest(body) | {"Upload-Length": str(len(body))}
    patch(0, [body[:30], body[30:50]], cut=True, headers=told)
    create(Upload_Length=str(len(body)))
    assert patch(0, body, headers=told).status == 204
    assert storage.path(seat_of("anna").digest).read_bytes() == body


def test_a_part_that_is_damaged_on_the_way_leaves_nothing_of_the_older_file(body, patch, stands, older):
    told = repr_digest(body) | {"Upload-Length": str(len(body))}
    patch(0, body[:40], headers=told)
    problem(patch(40, body[40:-1] + b"!", headers=told), 460)
    assert stands() == 0
    assert patch(0, body, headers=told).status == 204
    assert storage.path(seat_of("anna").digest).read_bytes() == body


def test_what_an_older_file_held_never_passes_for_what_arrived(body, patch, stands, older, monkeypatch):
    """The file of a half upload is lost, and the process that begins anew is killed in the first part."""
    seat = seat_of("anna")
    unfinished.note(seat, 40, len(body))

    def killed(*_):
        raise KeyboardInterrupt

    told = repr_digest(body) | {"Upload-Length": str(len(body))}
    monkeypatch.setattr(parts, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        patch(0, body[:10], headers=told)
    monkeypatch.undo()
    assert storage.upload_path(seat.pk).stat().st_size > 40
    assert stands() == 0
    assert patch(0, body, headers=told).status == 204


def test_who_waits_for_a_file_gets_the_one_that_took_its_place(body, older):
    async def both():
        seat, second = await sync_to_async(seat_of)("anna"), asyncio.Event()

        async def wait():
            second.set()
            async with unfinished.locked(seat) as upload:
                upload.write(b"second", 0)
                return storage.upload_path(seat.pk).read_bytes()[:6]

        async with unfinished.locked(seat) as upload:
            waiting = asyncio.ensure_future(wait())
            await second.wait()
            await asyncio.sleep(0.02)
            upload.write_over(len(body))
            assert os.fstat(upload.handle).st_ino == older and not waiting.done()
            upload.write(b"first!", 0)
            assert storage.upload_path(seat.pk).read_bytes()[:6] == b"first!"
        return await waiting

    assert asyncio.run(both()) == b"second"
