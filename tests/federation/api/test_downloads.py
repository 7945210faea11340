import hashlib

import pytest
from django.conf import settings
from django.test import Client as Browser

from federation import storage, tasks
from federation.api import downloads
from federation.api.head import Head
from federation.api.raw import bytes_at_a_time
from federation.fl import weights
from federation.fl.files import torch_file
from federation.lifecycle import FileStatus
from federation.models import GlobalModel
from federation.services import clients
from tests.federation.api.conftest import problem
from tests.federation.cast import damage_file, kinds, send, settle, token_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(open_round):
    """The initial model that anna trains from."""
    return open_round("anna", cohort_size=1, quorum=1).base_model


@pytest.fixture
def get(raw, model):
    """Anna's agent downloads the model."""

    def get(by="anna", method="GET", **headers):
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        return raw(method, f"/api/v1/models/{model.digest}", by=by, headers=given)

    return get


def test_the_weights_come_whole_under_their_digest(model, get):
    answer = get()
    assert answer.status == 200
    assert hashlib.sha256(answer.body).hexdigest() == model.digest
    assert answer.headers["etag"] == f'"{model.digest}"'
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-length"] == str(model.num_bytes) == str(len(answer.body))
    assert answer.headers["accept-ranges"] == "bytes"


def test_head_tells_the_size_without_the_bytes(model, get):
    answer = get(method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(model.num_bytes)


@pytest.mark.parametrize(
    "asked, start, stop",
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, None), ("bytes=-7", -7, None), ("bytes=5-99999999", 5, None),
     ("bytes=-99999999", 0, None), ("bytes=3-3", 3, 4)],
)  # fmt: skip
def test_a_range_is_a_part_of_the_whole(get, asked, start, stop):
    whole, part = get().body, get(Range=asked)
    assert part.status == 206
    assert part.body == whole[start:stop]
    first = start if start >= 0 else len(whole) + start
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.body) - 1}/{len(whole)}"
    assert part.headers["content-length"] == str(len(part.body))


def test_a_range_beyond_the_end_is_refused_with_the_size(model, get):
    for asked in (f"bytes={model.num_bytes}-", "bytes=9-3", "bytes=-0"):
        answer = get(Range=asked)
        problem(answer, 416)
        assert answer.headers["content-range"] == f"bytes */{model.num_bytes}"


@pytest.mark.parametrize(
    "asked", ["bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "", "bytes=" + "9" * 5000 + "-"]
)
def test_what_is_no_single_range_is_answered_with_the_whole(get, asked):
    assert get(Range=asked).status == 200


def test_a_range_of_another_version_is_answered_with_the_whole(model, get):
    assert get(Range="bytes=0-9", If_Range=f'"{model.digest}"').status == 206
    assert get(Range="bytes=0-9", If_Range='"another"').status == 200


@pytest.mark.parametrize("condition", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_what_is_known_already_is_not_sent_again(model, get, condition):
    answer = get(If_None_Match=condition.format(model.digest))
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == f'"{model.digest}"'


def test_another_known_version_does_not_help(get):
    assert get(If_None_Match='"other"').status == 200


def test_a_client_without_a_seat_on_a_model_is_told_that_it_is_not_there(model, get, enrol):
    enrol("ben")
    assert problem(get(by="ben"), 404).endswith("for you.")


def test_a_client_that_held_a_seat_may_still_download(model, get, now):
    session = model.session
    send("anna", now=now)
    settle(session, now=now)
    assert get().status == 200


def test_a_client_does_not_get_a_model_that_it_never_trained_from(model, raw, now):
    session = model.session
    session.rounds = 1
    session.save(update_fields=["rounds"])
    send("anna", now=now)
    settle(session, now=now)
    problem(raw("GET", f"/api/v1/models/{session.last_model().digest}", by="anna"), 404)


def test_an_operator_may_download_every_model(model, raw, key):
    assert raw("GET", f"/api/v1/models/{model.digest}", token=key).status == 200


def test_a_signed_in_browser_may_download(model, raw, alice):
    browser = Browser()
    browser.force_login(alice)
    cookie = f"fl_session={browser.cookies['fl_session'].value}"
    assert raw("GET", f"/api/v1/models/{model.digest}", headers={"Cookie": cookie}).status == 200
    browser.logout()
    problem(raw("GET", f"/api/v1/models/{model.digest}", headers={"Cookie": cookie}), 401)


def test_an_update_is_no_model(model, raw, key, now):
    send("anna", now=now)
    digest = model.session.round_set.get().seats.get().digest
    problem(raw("GET", f"/api/v1/models/{digest}", token=key), 404)


def test_what_is_not_there_is_not_there(model, raw, key):
    problem(raw("GET", f"/api/v1/models/{'0' * 64}", token=key), 404)


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_a_damaged_file_is_not_served_until_it_is_made_again(model, get, enqueued, how):
    file = storage.path(model.digest)
    whole = file.read_bytes()
    damage_file(model.digest, how)
    answer = get()
    assert "being made again" in problem(answer, 503)
    assert answer.headers["retry-after"] == "1"
    assert enqueued == [("advance", model.session_id)]
    assert kinds(model.session)[-1] == "storage.damaged"
    tasks.advance(model.session_id)
    assert get().body == whole
    assert kinds(model.session)[-1] == "storage.repaired"


def test_who_was_sent_bytes_that_do_not_fit_asks_that_the_file_be_read_again(model, get, monkeypatch):
    """A disk's own fault changes no time of the file: only the doubt of the one who got it shows it."""
    assert get().status == 200
    monkeypatch.setattr(storage.wholeness, "mark_of", lambda file: (0, 0, 0, 0))
    storage.is_whole(model.digest)
    damage_file(model.digest, "flipped")
    assert get().status == 200
    monkeypatch.setattr(storage.wholeness, "AGAIN_SECONDS", 0.0)
    problem(get(Cache_Control="no-cache"), 503)


@pytest.mark.parametrize(
    "status, said", [(FileStatus.REMOVED, "removed by retention"), (FileStatus.LOST, "could not be made again")]
)
def test_a_file_that_is_not_kept_is_gone_with_the_reason(model, get, status, said):
    GlobalModel.objects.update(file_status=status)
    assert said in problem(get(), 410)


def test_without_a_valid_token_nothing_is_told(model, raw):
    address = f"/api/v1/models/{model.digest}"
    problem(raw("GET", address), 401)
    problem(raw("GET", address, token="0" * 64), 401)
    problem(raw("GET", address, token="flk_guessed"), 401)
    problem(raw("GET", address, headers={"Cookie": "fl_session=guessed"}), 401)


def test_a_disabled_client_downloads_nothing(model, get):
    clients.set_enabled(model.session.round_set.get().seats.get().client, False, by="alice")
    problem(get(), 403)


def test_a_large_model_is_sent_in_pieces(model, get):
    whole = b"x" * 1_000_000
    model.digest = hashlib.sha256(whole).hexdigest()
    GlobalModel.objects.update(digest=model.digest)
    storage.path(model.digest).parent.mkdir(exist_ok=True)
    storage.path(model.digest).write_bytes(whole)
    assert len(get().body) == 1_000_000


def test_nginx_is_told_the_file_instead_and_nobody_else_is(model, get, raw, settings):
    settings.FL_ACCEL_REDIRECT = "/protected/"
    for answer in (get(), get(method="HEAD"), get(Range="bytes=5-9")):  # the range is nginx's
        assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
        assert answer.headers["x-accel-redirect"] == f"/protected/{model.digest[:2]}/{model.digest}.safetensors"
        assert answer.headers["etag"] == f'"{model.digest}"' and "immutable" in answer.headers["cache-control"]
    assert get(If_None_Match=f'"{model.digest}"').status == 304
    problem(raw("GET", f"/api/v1/models/{model.digest}", token="0" * 64), 401)
    damage_file(model.digest, "flipped")
    problem(get(), 503)


def test_the_state_dict_is_a_file_that_torch_reads(model, raw, tmp_path):
    import torch

    answer = raw("GET", f"/api/v1/models/{model.digest}/state_dict", by="anna")
    assert (answer.status, answer.headers["content-length"]) == (200, str(len(answer.body)))
    (tmp_path / "model.pt").write_bytes(answer.body)
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    expected = weights.load(storage.path(model.digest))
    assert {name: tensor.tolist() for name, tensor in state.items()} == {n: a.tolist() for n, a in expected.items()}


def test_the_state_dict_of_what_is_not_ones_own_is_not_there(raw, model):
    assert raw("GET", f"/api/v1/models/{'0' * 64}/state_dict", by="anna").status == 404
    assert raw("GET", f"/api/v1/models/{model.digest}/state_dict", headers={}).status == 401


def test_a_download_costs_two_queries(open_round, django_assert_num_queries):
    digest = open_round("anna").base_model.digest
    headers = {"authorization": f"Bearer {token_of('anna')}"}
    with django_assert_num_queries(2):
        downloads._found(Head(headers), digest)


@pytest.mark.parametrize(("transfers", "each"), [(0, 256 << 10), (1, 256 << 10), (10, 209_715), (40, 64 << 10)])
def test_many_transfers_move_less_at_a_time(transfers: int, each: int):
    assert bytes_at_a_time(transfers) == each


def test_a_state_dict_is_made_once_and_has_parts(model, raw, monkeypatch):
    made = []
    honest = torch_file.write
    monkeypatch.setattr(torch_file, "write", lambda *files: (made.append(files), honest(*files)))
    url = f"/api/v1/models/{model.digest}/state_dict"
    whole, again = raw("GET", url, by="anna"), raw("GET", url, by="anna")
    assert whole.body == again.body and len(made) == 1
    part = raw("GET", url, by="anna", headers={"Range": "bytes=10-19", "If-Range": whole.headers["etag"]})
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert not list(settings.FL_SCRATCH_DIR.glob("*"))


def test_where_many_wait_for_conversions_one_more_is_asked_to_come_again(model, raw, monkeypatch):
    monkeypatch.setattr(downloads, "_waiting", downloads.MOST_WAITING)
    answer = raw("GET", f"/api/v1/models/{model.digest}/state_dict", by="anna")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
