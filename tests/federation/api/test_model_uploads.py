"""`/api/v1/models/uploads`: an operator sends a model's file, and a session begins with it."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone

from federation import storage
from federation.evaluator import evaluator
from federation.fl import weights
from federation.fl.evaluation import answer as child
from federation.fl.files.uploaded import convert
from federation.fl.weights import WeightsError
from federation.lifecycle import FileStatus, Origin, SessionStatus
from federation.models import ModelUpload, TrainingSession
from federation.services import models, repair, retention, sessions
from federation.services.models import damage, uploads
from federation.storage import room
from tests.federation.api.conftest import problem
from tests.federation.cast import SIZE, damage_file

pytestmark = pytest.mark.django_db(transaction=True)
TUS = {"Tus-Resumable": "1.0.0"}
PART = TUS | {"Content-Type": "application/offset+octet-stream"}
WEIGHT = np.arange(SIZE, dtype=np.float32)
FILE = weights.dump({"weight": WEIGHT}, {"made_by": "me"})


@pytest.fixture
def asked(raw, key):
    """Alice's script calls a raw route."""
    return lambda method, path, body=b"", headers=TUS: raw(method, path, body, token=key, headers=headers)


@pytest.fixture
def begin(asked):
    def begin(length: int = len(FILE), **more: str) -> str:
        answer = asked("POST", "/api/v1/models/uploads", headers=TUS | {"Upload-Length": str(length)} | more)
        assert (answer.status, answer.headers["upload-offset"]) == (201, "0")
        return answer.headers["location"]

    return begin


@pytest.fixture
def send(asked):
    return lambda url, body, at=0: asked("PATCH", url, body, PART | {"Upload-Offset": str(at)})


def test_a_file_in_parts_becomes_a_model_without_its_metadata(asked, begin, send):
    url = begin(**{"Upload-Metadata": f"filename {base64.b64encode(b'mine.safetensors').decode()}"})
    assert send(url, FILE[:50]).headers["upload-offset"] == "50"
    assert asked("HEAD", url).headers["upload-offset"] == "50"
    assert asked("GET", url).json()["status"] == "uploading"
    assert send(url, FILE[50:], 50).status == 204
    told = asked("GET", url).json()
    plain = weights.dump({"weight": WEIGHT})
    assert (told["name"], told["status"], told["num_bytes"], told["error"]) == (
        *("mine.safetensors", "stored", len(plain)),
        None,
    )
    assert storage.path(told["digest"]).read_bytes() == plain
    assert asked("HEAD", url).headers["upload-offset"] == str(len(FILE))


def test_what_is_spoken_here_holds(asked, begin, send):
    told = [asked("OPTIONS", url) for url in ("/api/v1/models/uploads", begin())]
    assert [answer.status for answer in told] == [204, 204]
    assert {answer.headers["tus-extension"] for answer in told} == {"creation,checksum"}
    refused = asked("POST", "/api/v1/models/uploads", headers=TUS | {"Upload-Defer-Length": "1"})
    assert "size of the file" in json.loads(refused.body)["errors"][0]["detail"]


def test_a_session_begins_with_it(operator, asked, begin, send, alice, now):
    url = begin()
    send(url, FILE)
    digest = asked("GET", url).json()["digest"]
    body = {"name": "mine", "workload": {"name": "synthetic", "options": {"num_parameters": SIZE}}}
    answer = operator("POST", "/sessions", body | {"initial_model": digest})
    assert (answer.status_code, answer.json()["initial_model"]) == (201, digest)
    session = TrainingSession.objects.get()
    models.request_initial(session, then=lambda: None)
    first = session.models.get()
    assert (first.version, first.digest, first.origin) == (0, digest, Origin.UPLOAD)
    again = sessions.again(session, by=alice, now=now)
    assert again.initial_model == session.initial_model
    assert asked("DELETE", url).status == 409  # the second session has no model yet
    models.request_initial(again, then=lambda: None)
    assert asked("DELETE", url).status == 204
    session.refresh_from_db()
    third = sessions.again(session, by=alice, now=now)
    assert third.start_from == first and third.models.get().digest == digest


@pytest.mark.parametrize(
    "tensors, why",
    [
        ({"weight": WEIGHT, "bias": WEIGHT}, "It has the tensor bias, which the model has not."),
        ({"other": WEIGHT}, "It lacks the tensor weight."),
        ({"weight": WEIGHT[:3]}, "Its tensor weight is F32 [3]; the model's is F32 [10]."),
        ({"weight": WEIGHT.astype(np.float64)}, "Its tensor weight is F64 [10]; the model's is F32 [10]."),
    ],
)
def test_a_file_of_another_model_fails_the_session_with_the_tensor(begin, send, draft, alice, now, tensors, why):
    body = weights.dump(tensors)
    send(begin(len(body)), body)
    upload = ModelUpload.objects.get()
    session = draft()
    TrainingSession.objects.filter(pk=session.pk).update(initial_model=upload)
    session.refresh_from_db()
    sessions.start(session, by=alice, now=now)
    models.request_initial(session, then=lambda: None)
    session.refresh_from_db()
    assert session.status == SessionStatus.FAILED
    assert session.reason.endswith(why)


@pytest.mark.parametrize(
    "body, why",
    [
        (weights.dump({"w": np.float32([np.nan])}), "w has values that are not finite."),
        (weights.dump({"bn.running_var": np.float32([-1])}), "bn.running_var is a variance and has values below zero."),
        (weights.dump({}), "The file has no tensors."),
        (b"no safetensors at all, but long enough", "Not a safetensors file"),
        (weights.dump({"w": WEIGHT}, {"buffers": '["b"]'}), "which is no tensor of this file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_and_begins_again(asked, begin, send, body, why):
    url = begin(len(body))
    assert why in problem(send(url, body), 422, field="file")
    told = asked("GET", url).json()
    assert (told["status"], told["offset"]) == ("refused", 0) and why in told["error"]
    good = FILE[: len(body)]
    assert send(url, good[:1]).status == 204


def test_a_wrong_offset_and_a_body_that_is_too_long_are_refused(begin, send):
    url = begin()
    problem(send(url, FILE[5:], 5), 409)
    problem(send(url, FILE + b"x"), 413)
    send(url, FILE)
    problem(send(url, b"x", len(FILE)), 409)


@pytest.mark.parametrize(
    "tensors, why",
    [
        ({"other": WEIGHT}, "It lacks the tensor weight."),
        ({"weight": WEIGHT[:3]}, "Its tensor weight is F32 [3]; the model's is F32 [10]."),
    ],
)
def test_no_session_is_made_with_a_file_of_another_model(operator, begin, send, tensors, why):
    body = weights.dump(tensors)
    send(begin(len(body), **{"Upload-Metadata": "filename bWluZQ=="}), body)
    wish = {"name": "mine", "workload": {"name": "synthetic", "options": {"num_parameters": SIZE}}}
    answer = operator("POST", "/sessions", wish | {"initial_model": ModelUpload.objects.get().digest})
    sentence = f"The uploaded model mine is not one of synthetic. {why}"
    assert (answer.status_code, answer.json()["errors"]) == (422, [{"field": "initial_model", "detail": sentence}])
    assert not TrainingSession.objects.exists()


def test_a_file_that_is_damaged_begins_no_session(operator, begin, send):
    send(begin(), FILE)
    digest = ModelUpload.objects.get().digest
    damage_file(digest, "missing")
    wish = {"name": "mine", "workload": {"name": "synthetic", "options": {"num_parameters": SIZE}}}
    answer = operator("POST", "/sessions", wish | {"initial_model": digest})
    assert answer.status_code == 422 and "damaged or missing" in answer.json()["detail"]


def test_of_equal_files_the_newest_is_listed_and_begins_sessions(begin, send):
    for name in (b"old", b"new"):
        send(begin(**{"Upload-Metadata": f"filename {base64.b64encode(name).decode()}"}), FILE)
    assert [upload.name for upload in uploads.listed()] == ["new"]
    assert uploads.stored(uploads.listed()[0].digest).name == "new"


def test_what_is_noted_of_an_upload_that_is_removed_meanwhile_is_lost(begin):
    begin()
    upload = ModelUpload.objects.get()
    ModelUpload.objects.all().delete()
    uploads.note(upload, 3)
    assert not ModelUpload.objects.exists()


def test_a_file_that_is_too_large_is_refused(asked, settings):
    settings.FL_MAX_MODEL_GB = 1
    answer = asked("POST", "/api/v1/models/uploads", headers=TUS | {"Upload-Length": str(10**9 + 1)})
    assert "up to 1 GB" in problem(answer, 413)
    problem(asked("POST", "/api/v1/models/uploads", headers=TUS | {"Upload-Length": "0"}), 422)
    problem(asked("POST", "/api/v1/models/uploads"), 422, field="Upload-Length")


def test_clients_and_strangers_may_not(raw, enrol):
    enrol("anna")
    for method, path in (("POST", "/api/v1/models/uploads"), ("GET", "/api/v1/models/uploads/1")):
        problem(raw(method, path, by="anna", headers=TUS), 403)
        problem(raw(method, path, headers=TUS), 401)


def test_what_is_not_there_is_not_there(asked):
    for method in ("GET", "PATCH", "DELETE"):
        assert asked(method, "/api/v1/models/uploads/99", headers=PART).status == 404


def test_an_upload_is_removed_with_its_file_unless_a_session_waits_for_it(asked, begin, send, draft):
    url = begin()
    send(url, FILE)
    upload = ModelUpload.objects.get()
    session = draft()
    TrainingSession.objects.filter(pk=session.pk).update(initial_model=upload)
    problem(asked("DELETE", url), 409)
    TrainingSession.objects.all().delete()
    assert asked("DELETE", url).status == 204
    assert not storage.exists(upload.digest)


def test_a_part_of_an_upload_that_is_removed_meanwhile_is_refused(begin, send, monkeypatch):
    """It was there when the request began."""
    url, of = begin(), uploads.of

    def removed_after(upload_id):
        found = of(upload_id)
        uploads.delete(found)
        found.pk = upload_id
        return found

    monkeypatch.setattr(
        uploads, "of", lambda upload_id: (monkeypatch.setattr(uploads, "of", of), removed_after(upload_id))[1]
    )
    problem(send(url, FILE), 404)


def test_its_row_keeps_the_file(begin, send, now):
    send(begin(), FILE)
    retention.prune(now=now)
    assert storage.exists(ModelUpload.objects.get().digest)


def test_what_was_never_finished_goes_after_a_day(begin, now):
    begin()
    uploads.forget_abandoned(now=timezone.now())
    assert ModelUpload.objects.exists()
    uploads.forget_abandoned(now=timezone.now() + timedelta(days=1, seconds=1))
    assert not ModelUpload.objects.exists()


def test_a_slow_upload_goes_on_after_a_day(begin, send):
    send(begin(), FILE[:50])
    uploads.forget_abandoned(now=timezone.now() + timedelta(days=2))
    assert ModelUpload.objects.exists()


def test_a_damaged_one_is_lost_and_so_is_the_session_that_began_with_it(begin, send, draft, alice, now):
    send(begin(), FILE)
    upload = ModelUpload.objects.get()
    session = draft()
    TrainingSession.objects.filter(pk=session.pk).update(initial_model=upload)
    session.refresh_from_db()
    sessions.start(session, by=alice, now=now)
    models.request_initial(session, then=lambda: None)
    damage_file(upload.digest)
    damage.note([upload.digest])
    repair.mend(session.pk)
    session.refresh_from_db()
    upload.refresh_from_db()
    assert (session.models.get().file_status, upload.file_status) == (FileStatus.LOST, FileStatus.LOST)
    assert "sent to this server" in session.reason


# ---- PyTorch's own files


@pytest.fixture
def torch_file(tmp_path: Path):
    torch = pytest.importorskip("torch")

    def torch_file(given) -> bytes:
        torch.save(given, tmp_path / "model.pt")
        return (tmp_path / "model.pt").read_bytes()

    return torch_file


@pytest.fixture
def at_once(monkeypatch):
    """The evaluator's child answers in this process."""

    def submit(key, request, done):
        done(json.loads(json.dumps(child(json.dumps(request | {"id": key})))))

    monkeypatch.setattr(evaluator, "submit", submit)


def test_a_state_dict_is_converted(asked, begin, send, torch_file, at_once):
    import torch

    body = torch_file({"state_dict": {"weight": torch.from_numpy(WEIGHT), "bn.running_var": torch.ones(2)}})
    url = begin(len(body))
    assert send(url, body).status == 204
    assert asked("GET", url).json()["status"] == "converting"
    uploads.convert_waiting()
    told = asked("GET", url).json()
    assert (told["status"], told["buffers"]) == ("stored", ["bn.running_var"])
    np.testing.assert_array_equal(weights.load(storage.path(told["digest"]))["weight"], WEIGHT)
    uploads.convert_waiting()  # nothing waits any more


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_file_of_a_huge_model_is_refused(torch_file, tmp_path, packed):
    import torch

    body = torch_file({"weight": torch.zeros(10**7) if packed else torch.zeros(1).expand(10**4, 10**3)})
    if packed:
        body = _packed(body)
    assert len(body) < 10**6
    (tmp_path / "small.pt").write_bytes(body)
    with pytest.raises(WeightsError, match="more than 1000000 bytes"):
        convert(tmp_path / "small.pt", tmp_path / "out", most_bytes=10**6)


def _packed(body: bytes) -> bytes:
    """The same file of PyTorch, compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as given, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in given.namelist():
            packed.writestr(name, given.read(name))
    return out.getvalue()


def test_a_worker_that_comes_second_changes_nothing(asked, begin, send, torch_file, monkeypatch):
    """Two evaluators convert the same file. The second one finds it gone."""
    import torch

    asked_for = []
    monkeypatch.setattr(evaluator, "submit", lambda key, request, done: asked_for.append((request, done)))
    body = torch_file({"weight": torch.from_numpy(WEIGHT)})
    url = begin(len(body))
    send(url, body)
    uploads.convert_waiting()
    uploads.convert_waiting()
    for request, done in asked_for:
        done(child(json.dumps(request | {"id": "1"})))
    told = asked("GET", url).json()
    assert (told["status"], told["error"], told["offset"]) == ("stored", None, len(body))


def test_a_file_waits_for_its_conversion_while_the_disk_is_full(asked, begin, send, torch_file, at_once, monkeypatch):
    import torch

    body = torch_file({"weight": torch.from_numpy(WEIGHT)})
    url = begin(len(body))
    send(url, body)
    monkeypatch.setattr(room, "free_bytes", lambda: 0)
    uploads.convert_waiting()
    uploads._converted(ModelUpload.objects.get().pk, Path("x"), Path("y"), {"ok": False, "error": "No space left."})
    assert asked("GET", url).json()["status"] == "converting"


@pytest.mark.parametrize(
    "given, why",
    [
        ([1, 2], "It is no state_dict"),
        ({"epoch": 3}, "epoch is no tensor"),
        ({"w": Path("x")}, "weights_only"),
    ],
)
def test_a_file_of_pytorch_that_cannot_be_used_says_why(asked, begin, send, torch_file, at_once, given, why):
    body = torch_file(given)
    url = begin(len(body))
    send(url, body)
    uploads.convert_waiting()
    told = asked("GET", url).json()
    assert told["status"] == "refused" and why in told["error"], told
    assert told["offset"] == 0
