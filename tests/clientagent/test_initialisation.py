"""A site makes the weights that a session starts from, and they arrive as any file of tensors does."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from clientagent.kinds import initialisation
from federation.fl import weights, workloads
from tests.clientagent.fake_server import CONFIG, FakeServer, cut, status
from tests.clientagent.sites import Site
from tests.fl.networks import Small, batch_norm, every_type

OPTIONS = {"num_parameters": 1000}


def loaded(sent: bytes, folder: Path) -> tuple[weights.Weights, dict[str, str]]:
    path = folder / "sent"
    path.write_bytes(sent)
    return weights.load(path), weights.read_header(path).metadata


@pytest.mark.parametrize(("name", "options"), [("synthetic", OPTIONS), ("digits", {})])
def test_the_model_is_the_workload_s_with_the_seed_of_the_work(
    site: Site, server: FakeServer, tmp_path: Path, name: str, options: dict[str, int]
):
    seat = server.offer(name, options, kind="initialise")
    said = site.run()
    sent, metadata = loaded(seat.update, tmp_path)
    expected = workloads.get(name).initial_weights(options, CONFIG["seed"])
    assert seat.status == "reported" and sent.keys() == expected.keys()
    for tensor in expected:
        np.testing.assert_array_equal(sent[tensor], expected[tensor])
    assert metadata == {"buffers": "[]"}
    assert "Initialising first: model accepted" in said


def test_every_type_of_tensor_arrives_as_it_is(tmp_path: Path):
    workload = Small(every_type)
    initialisation.write(workload, {}, 3, tmp_path / "out")
    sent, expected = weights.load(tmp_path / "out"), workload.initial_weights({}, 3)
    assert {name: array.dtype for name, array in sent.items()} == {name: a.dtype for name, a in expected.items()}
    assert all(sent[name].tobytes() == expected[name].tobytes() for name in expected)


def test_the_statistics_of_a_model_are_named(tmp_path: Path):
    workload = Small(batch_norm)
    out = tmp_path / "out"
    digest = initialisation.write(workload, {}, 3, out)
    buffers = json.loads(weights.read_header(out).metadata["buffers"])
    assert buffers == list(workload.buffers({})) and any(name.endswith("running_var") for name in buffers)
    assert digest == sha256(out.read_bytes()).hexdigest()
    assert list(tmp_path.iterdir()) == [out]


def test_it_goes_in_parts_and_continues_where_it_was_cut(site: Site, server: FakeServer, tmp_path: Path):
    server.part_bytes, server.max_put_bytes = 1 << 20, 0
    seat = server.offer("synthetic", {"num_parameters": 600_000}, kind="initialise")
    server.script("PATCH", "/update", cut)
    site.run()
    assert seat.status == "reported" and len(loaded(seat.update, tmp_path)[0]["weight"]) == 600_000
    assert len(server.requests("PATCH", "/update")) > 3


def test_a_kept_model_is_sent_after_a_kill_and_not_made_again(site: Site, server: FakeServer, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    seat = server.offer("synthetic", kind="initialise")
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("clientagent.upload.send", die)
        site.run()
    monkeypatch.setattr(initialisation, "write", None)
    assert "made before; sending the model that was kept" in site.run()
    assert seat.status == "reported"


def test_a_model_that_the_server_refuses_fails_with_its_sentence(site: Site, server: FakeServer):
    seat = server.offer("synthetic", kind="initialise")
    server.script("PUT", "/update", status(422, "'weight' holds a value that is not finite."))
    site.run()
    assert (seat.status, seat.reason) == ("failed", "'weight' holds a value that is not finite.")


def test_a_workload_s_own_error_is_the_seat_s_reason(site: Site, server: FakeServer):
    seat = server.offer("synthetic", {"num_parameters": 1000}, kind="initialise")
    seat.work["workload"] |= {"options": {"num_parameters": 0}}
    site.run()
    assert seat.status == "failed" and "num_parameters" in seat.reason
