"""Whole rounds in one process, against a server that is only faked at the HTTP edge."""

import json
from collections import Counter

import pytest

from clientagent import agent as agents
from clientagent.errors import Misconfigured, Refused, TokenRefused
from federation.fl import weights
from federation.fl.version import __version__
from federation.fl.workloads.synthetic import Synthetic
from tests.clientagent.fake_server import FakeServer, cut, lost, plainly, status, timed
from tests.clientagent.sites import Site

NEXT_MAJOR = f"{int(__version__.split('.')[0]) + 1}.0.0"
MODEL = {"version": 0, "digest": "0" * 64, "num_bytes": 100, "url": "/api/v1/models/0"}


def test_a_round_of_synthetic_ends_with_an_accepted_update(site: Site, server: FakeServer):
    seat = server.offer()
    said = site.run()
    assert seat.status == "reported"
    assert (
        "Enrolled as site-a" in said
        and "first, round 1: update accepted (0.00425 MB after 0 s)." in said
        and "Left." in said
    )
    assert server.left == 1


def test_a_round_of_digits_streams_every_batch_and_both_evaluations(site: Site, server: FakeServer):
    seat = server.offer("digits", config={"epochs": 2, "batch_size": 16, "learning_rate": 0.05, "seed": 3})
    site.run(samples=100, workload="digits")
    assert seat.status == "reported"
    steps = sorted(seat.values("train_loss"))
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 8
    assert seat.values("base_val_loss") and seat.values("val_accuracy")
    assert {call["phase"] for call in seat.calls} <= {"downloading", "training", "evaluating", "uploading"}
    assert seat.calls[-1]["phase"] == "uploading"
    metadata = _metadata(seat.update)
    assert int(metadata["num_examples"]) < 100
    assert json.loads(metadata["metrics"]).keys() >= {"train_loss", "val_loss", "val_accuracy", "base_val_loss"}


def test_enrolment_tells_machine_and_data(site: Site, server: FakeServer):
    server.offer()
    site.run(workload="digits", samples=50, share_histogram=True)
    (info,) = server.infos
    assert info.keys() >= {"version", "device", "platform", "python", "cores", "memory"}
    assert info["version"] == __version__ and info["device"] == "cpu"
    assert info["num_examples"] == sum(info["label_histogram"].values()) == 50


def test_the_histogram_stays_at_the_site_unless_its_owner_shares_it(site: Site, server: FakeServer):
    server.offer()
    site.run(workload="digits")
    (info,) = server.infos
    assert "label_histogram" not in info and info["num_examples"] > 1000
    assert "data_fingerprint" not in info


def test_a_site_whose_data_cannot_be_counted_joins_without_numbers(site: Site, server: FakeServer, monkeypatch):
    def no_data(self: object, name: str) -> None:
        raise OSError("no such disk")

    monkeypatch.setattr("clientagent.data.SiteData.census", no_data)
    server.offer()
    assert "The data could not be counted (no such disk)" in site.run()
    assert "num_examples" not in server.infos[0]


def test_a_folder_for_models_that_cannot_be_made_ends_the_agent_before_it_joins(site: Site, server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="The folder for models .*/file/models cannot be used: Not a directory"):
        site.run(model_cache=tmp_path / "file" / "models")
    assert server.seen == []
    seat = server.offer()
    site.run()  # its state folder is free again
    assert seat.status == "reported"


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (status(403, "This join code has expired."), "This join code has expired."),
        (status(409, "The name site-a is taken."), "The name site-a is taken."),
        (status(422, "The name cannot be."), "The name cannot be."),
    ],
)
def test_a_refused_enrolment_ends_with_the_servers_sentence(site: Site, server: FakeServer, refusal, sentence):
    server.script("POST", "/enroll", refusal)
    with pytest.raises(Refused, match=sentence) as refused:
        site.run()
    assert refused.value.status == 2
    assert server.left == 0


def test_another_web_server_is_told_from_a_refusal(site: Site, server: FakeServer):
    """It may stand in between only for now: the agent says so and asks again."""
    server.script("POST", "/enroll", lambda handler: handler.answer(404, b"<html>", Content_Type="text/html"))
    seat = server.offer()
    assert f"there is no federated learning server at {server.url}: it answers 404" in site.run()
    assert seat.status == "reported"


def test_a_lost_answer_to_the_enrolment_loses_nothing(site: Site, server: FakeServer):
    server.script("POST", "/enroll", lost, cut, plainly)
    seat = server.offer()
    site.run()
    assert list(server.tokens.values()) == ["site-a"]
    assert seat.status == "reported"


def test_a_returning_agent_needs_neither_code_nor_server(site: Site, server: FakeServer):
    server.offer()
    site.run()
    seat = server.offer()
    site.run(join_code="used up long ago", server=None, name=None)
    assert seat.status == "reported"
    assert len(server.requests("POST", "/enroll")) == 1


def test_a_token_that_is_not_valid_any_more_ends_the_agent(site: Site, server: FakeServer):
    server.offer()
    site.run()
    server.tokens.clear()
    with pytest.raises(TokenRefused, match="no longer accepts this client's token") as refused:
        site.run()
    assert refused.value.status == 3
    assert server.left == 1  # of the first run: a goodbye without a token makes no sense


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "echo"}, "does not know work of the kind 'echo'. Update the agent."),
        ({"workload": {"name": "cats", "digest": "f" * 64, "options": {}}}, "does not have the workload 'cats'"),
        ({"workload": {"name": "synthetic", "digest": "f" * 64, "options": {}}}, "ffffffffffff… on the server. Update"),
        ({"config": {"epochs": 1}}, "The server's config cannot be used"),
        ({"base_model": {}}, "The server's work cannot be read"),
        ({"update_url": "https://elsewhere.example/steal"}, "an address that is not its own"),
    ],
)
def test_work_that_cannot_be_done_is_given_up_with_the_reason(site: Site, server: FakeServer, change, reason):
    seat = server.offer(**change)
    site.run()
    assert seat.status == "failed" and reason in seat.reason, seat.reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"base_model": MODEL | {"digest": "../../identity"}}, "'../../identity' is not a digest"),
        ({"base_model": MODEL | {"digest": None}}, "'None' is not a digest"),
        ({"base_model": MODEL | {"num_bytes": 0}}, "'0' is not a positive number"),
        ({"base_model": MODEL | {"num_bytes": "all"}}, "'all' is not a positive number"),
        ({"part_bytes": -1}, "'-1' is not a positive number"),
    ],
)
def test_work_with_a_member_that_cannot_be_is_given_up_before_anything_is_downloaded(
    site: Site, server: FakeServer, change, reason
):
    seat = server.offer(**change)
    site.run()
    assert seat.status == "failed" and reason in seat.reason, seat.reason
    assert not server.requests("GET", "/models/") and server.left == 1
    assert not list((site.folder / "models").iterdir())


@pytest.mark.parametrize("participation", [None, 7, "", "../clients/me", "x" * 101])
def test_work_without_a_participation_is_said_and_left_alone(
    site: Site, server: FakeServer, monkeypatch, participation
):
    monkeypatch.setattr(agents, "AGAIN_SECONDS", 0.0)
    seat = server.offer(participation=participation)
    said = site.run()
    assert f"The server offers work without a participation: {str(participation)[:100]!r}." in said
    assert seat.status == "open" and server.left == 1
    assert {seen.path.split("?")[0] for seen in server.seen} == {
        "/api/v1/enroll", "/api/v1/work", "/api/v1/clients/me/leave",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [("float16", {}), ("int8", {}), ("topk", {"fraction": 0.2})])
def test_an_update_is_encoded_as_the_work_asks(site: Site, server: FakeServer, name: str, options: dict[str, float]):
    seat = server.offer(encoding=name, encoding_options=options)
    site.run()
    assert seat.status == "reported" and _metadata(seat.update)["encoding"] == name


def test_an_unknown_encoding_is_answered_with_plain_float32(site: Site, server: FakeServer):
    seat = server.offer(encoding="top-k", extra_tensors=["control"])
    site.run()
    assert seat.status == "reported"


def test_the_servers_sentence_about_a_refused_update_is_the_seats_reason(site: Site, server: FakeServer):
    seat = server.offer()
    server.script("PUT", "/update", status(422, "'weight' holds a value that is not finite."))
    site.run()
    assert (seat.status, seat.reason) == ("failed", "'weight' holds a value that is not finite.")


def test_a_bug_in_a_workload_costs_the_seat_and_not_the_agent(site: Site, server: FakeServer, monkeypatch):
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("clientagent.kinds.training.Trainer.update", broken)
    seat = server.offer()
    assert "Traceback" in site.run()
    assert seat.reason == "RuntimeError: CUDA out of memory"


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_seat_that_is_gone_is_dropped_without_a_word_to_the_server(site: Site, server: FakeServer, code: int):
    server.offer()
    server.script("PUT", "/update", status(code, "The round went on without this seat."))
    assert "Dropped: The round went on without this seat." in site.run()
    assert not server.requests("POST", "/fail")


def test_continue_false_drops_the_work_before_its_update_is_sent(site: Site, server: FakeServer):
    seat = server.offer()
    seat.goes_on = False
    assert "Dropped: The server no longer needs this work." in site.run()
    assert not server.requests("PUT", "/update")


def test_another_minor_version_is_told_once_and_no_obstacle(site: Site, server: FakeServer):
    server.version = f"{__version__}.1"
    seat = server.offer()
    said = site.run()
    assert seat.status == "reported"
    assert said.count(f"The server is version {server.version}, this agent {__version__}. They work together.") == 1


def test_another_major_version_ends_the_agent_politely(site: Site, server: FakeServer):
    server.version = NEXT_MAJOR
    seat = server.offer()
    with pytest.raises(Refused, match=f"The server is version {NEXT_MAJOR}"):
        site.run()
    assert seat.status == "open" and server.left == 1


def test_every_request_names_the_agents_version(site: Site, server: FakeServer):
    server.offer()
    site.run()
    assert {seen.headers["user-agent"].split()[0] for seen in server.seen} == {f"fl-agent/{__version__}"}


def test_a_short_round_costs_one_call_each(site: Site, server: FakeServer):
    server.offer()
    site.run()
    calls = Counter((seen.method, seen.path.split("?")[0].rpartition("/")[2][:8]) for seen in server.seen)
    assert calls.pop(("GET", server.seats["1"].work["base_model"]["digest"][:8])) == 1
    expected = [("POST", "enroll"), ("GET", "work"), ("POST", "progress"), ("PUT", "update"), ("POST", "leave")]
    assert calls == Counter(expected)


def test_work_that_ended_here_is_not_taken_up_again_in_a_rush(site: Site, server: FakeServer, monkeypatch, until):
    monkeypatch.setattr(agents, "AGAIN_SECONDS", 0.6)
    seat = server.offer()
    times: list[float] = []
    server.script("GET", "/work", plainly, timed(times))
    server.script("PUT", "/update", status(409, "Other bytes were accepted."), timed(times))
    with site.running():
        until(lambda: seat.status == "reported")
    offered_again, taken_up = times
    assert taken_up - offered_again >= 0.3


def _metadata(update: bytes) -> dict[str, str]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "update")
        path.write_bytes(update)
        return weights.read_header(path).metadata


def test_a_returning_agent_tells_what_it_has_now_and_says_what_changed(site: Site, server: FakeServer):
    server.offer()
    site.run(workload="digits", samples=50, share_histogram=True)
    server.changed = [
        {"what": "num_examples", "before": 50, "after": 40},
        {"what": "data"},
        {"what": "workload", "name": "digits"},
    ]
    server.offer()
    said = site.run(workload="digits", samples=40, share_histogram=True)
    before, after = server.infos
    assert (before["num_examples"], after["num_examples"]) == (50, 40)
    assert before["data_fingerprint"] != after["data_fingerprint"]
    assert before["workloads"] == after["workloads"] and len(before["workloads"]["digits"]) == 64
    assert "This site's data changed since the last start: 40 examples instead of 50." in said
    assert "This site's data changed since the last start. The number of examples is the same." in said
    assert "The source of the workload 'digits' changed since the last start. The server's operators" in said


def test_the_same_data_have_the_same_fingerprint_which_is_not_told_against_its_owners_will(
    site: Site, server: FakeServer
):
    server.offer()
    site.run(workload="digits", share_histogram=True)
    for share in (True, False):
        server.offer()
        site.run(workload="digits", share_histogram=share)
    first, second, third = server.infos
    assert first == second
    assert "data_fingerprint" not in third


def test_a_server_that_does_not_know_the_question_is_not_told(site: Site, server: FakeServer):
    server.offer()
    site.run()
    server.script("POST", "/clients/me/info", status(404, "There is nothing here."))
    seat = server.offer()
    site.run()
    assert seat.status == "reported"


def test_it_tells_what_it_knows_of_the_contract(site: Site, server: FakeServer):
    server.offer()
    site.run()
    (info,) = server.infos
    assert (info["kinds"], info["understands"]) == (
        ["evaluate", "initialise", "train"],
        ["buffers", "state", "stays", "frozen"],
    )


def test_data_that_changed_are_read_again_and_told(site: Site, server: FakeServer, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    read, reads = Synthetic.training_data, []

    def changes(self, options, where):
        reads.append(1)
        (folder / "examples").write_text("a row that came while the first ones were read")
        return read(self, options, where)

    monkeypatch.setattr(Synthetic, "training_data", changes)
    server.offer()
    assert f"The data in {folder} changed and were read again." in site.run(data=folder)
    assert len(reads) == 3 and len(server.infos) == 2


@pytest.mark.parametrize("sign", [b"\xe9".decode(errors="surrogateescape"), "\0", "\u202e"], ids=ascii)
def test_a_reason_with_a_sign_that_the_server_refuses_reaches_it(
    site: Site, server: FakeServer, monkeypatch, sign: str
):
    """The name of a file that is not UTF-8, or bytes of one, in the words of an error."""

    def broken(*_: object) -> None:
        raise RuntimeError(f"scan-{sign}.npy")

    monkeypatch.setattr("clientagent.kinds.training.Trainer.update", broken)
    seat = server.offer()
    site.run()
    assert (seat.status, seat.reason) == ("failed", "RuntimeError: scan-?.npy")
