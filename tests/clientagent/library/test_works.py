"""A script's rounds, from the model that comes to the update that goes, with a server that misbehaves on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import clientagent
from clientagent import Work
from clientagent.errors import Failed
from federation.fl import weights
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.workload import source_digest
from tests.clientagent.fake_server import CODE, FakeServer, Handler, Seat, status

MODEL = {"bias": np.zeros(2, np.float32), "weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
HERE = source_digest(__file__)
Run = Callable[..., Iterator[Work]]


@pytest.fixture
def run(server: FakeServer, tmp_path: Path) -> Run:
    """`works` with one piece of work, in the state folder of the test."""

    def works(**more: Any) -> Iterator[Work]:
        flags = ["--server", server.url, "--join", CODE, "--name", "site-a", "--state", str(tmp_path / "state")]
        return clientagent.works("toy", **{"once": True, "arguments": flags} | more)

    return works


def offer(server: FakeServer, **changes: Any) -> Seat:
    return server.offer_to_script(HERE, MODEL, **changes)


def sent(seat: Seat, folder: Path) -> tuple[weights.Weights, dict[str, str]]:
    (folder / "sent").write_bytes(seat.update)
    return weights.load(folder / "sent"), weights.read_header(folder / "sent").metadata


def test_it_trains_what_came_and_sends_the_difference(run: Run, server: FakeServer, tmp_path: Path):
    seat = offer(server)
    for work in run():
        arrays = work.weights
        for batch in work.steps([1.0, 2.0]):
            arrays["weight"] += batch
            work.log(loss=3.0 - batch)
        assert work.send(arrays, num_examples=5, metrics={"val_auc": np.float32(0.5)})
    delta, metadata = sent(seat, tmp_path)
    np.testing.assert_array_equal(delta["weight"], np.full((2, 3), 3, np.float32))
    np.testing.assert_array_equal(delta["bias"], np.zeros(2))
    assert (metadata["num_examples"], json.loads(metadata["metrics"])) == ("5", {"val_auc": 0.5})
    assert seat.values("loss") == {1: 2.0, 2: 1.0}
    assert seat.calls[-1]["phase"] == "uploading" and server.left == 1


def test_it_is_told_as_what_only_this_site_has(run: Run, server: FakeServer):
    offer(server)
    told = {"options": {"width": 4, "rate": 0.5}, "measures": ["accuracy"], "num_examples": 7, "title": "A toy"}
    for work in run(evaluate=len, initial=MODEL, **told):
        assert work.options == {"width": 4, "rate": 0.5} and work.config["epochs"] == 1
        work.send(work.weights, num_examples=1)
    joined, info = server.infos
    (entry,) = info["catalogue"]
    assert "catalogue" not in joined, "of which version the server is, is not known yet"
    assert (entry["name"], entry["digest"], entry["num_examples"]) == ("toy", HERE, 7)
    assert [option["name"] for option in entry["options"]] == ["width", "rate"]
    assert entry["kinds"] == info["kinds"] == ["train", "evaluate", "initialise"]
    assert info["examples"] == dict.fromkeys(WORKLOADS.built_in, 0) and info["num_examples"] == 7


def test_without_num_examples_no_number_is_told(run: Run, server: FakeServer):
    offer(server)
    for work in run():
        work.send(work.weights, num_examples=1)
    for info in server.infos:
        assert "num_examples" not in info and [one["num_examples"] for one in info.get("catalogue", ())] in ([], [None])


def test_an_older_server_hears_of_no_catalogue(run: Run, server: FakeServer):
    server.version = "0.1.0"
    offer(server)
    for work in run():
        work.send(work.weights, num_examples=1)
    assert all("catalogue" not in info for info in server.infos)


def test_a_safetensors_file_comes_and_goes(run: Run, server: FakeServer, tmp_path: Path):
    seat = offer(server)
    for work in run():
        arrays = weights.load(work.path)
        arrays["bias"] += 1
        weights.save(tmp_path / "mine.safetensors", arrays)
        assert work.send(tmp_path / "mine.safetensors", num_examples=1)
    np.testing.assert_array_equal(sent(seat, tmp_path)[0]["bias"], np.ones(2))


def test_a_difference_is_sent_as_it_is(run: Run, server: FakeServer, tmp_path: Path):
    seat = offer(server)
    for work in run():
        tenths = {name: np.full_like(array, 0.1) for name, array in work.weights.items()}
        assert work.send(tenths, num_examples=1, is_difference=True)
    np.testing.assert_array_equal(sent(seat, tmp_path)[0]["weight"], np.full((2, 3), 0.1, np.float32))


@pytest.mark.parametrize("encoding", ["int8", "topk", "float16"])
def test_an_encoding_is_used_and_what_it_left_out_is_kept(run: Run, server: FakeServer, tmp_path: Path, encoding: str):
    options = {"fraction": 0.2} if encoding == "topk" else {}
    seat = offer(server, encoding=encoding, encoding_options=options)
    for work in run():
        assert work.send({name: array + 0.3 for name, array in work.weights.items()}, num_examples=1)
    assert sent(seat, tmp_path)[1]["encoding"] == encoding
    assert len(list((tmp_path / "state" / "residuals").iterdir())) == (encoding != "float16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, "The tensor bias of the session's model is missing."),
        ({"more": np.zeros(1, np.float32)}, "The session's model has no tensor more. only= says what is shared."),
        ({"bias": np.zeros(3, np.float32)}, r"bias has shape \[3\], but the session's model has \[2\]."),
        ({"bias": np.zeros(2, np.int64)}, "bias has dtype I64, but the session's model has F32."),
        ({"bias": [0, 0]}, "bias is no tensor but list."),
    ],
)
def test_an_update_has_exactly_the_tensors_that_came(
    run: Run, server: FakeServer, change: dict[str, Any], message: str
):
    seat = offer(server)
    for work in run():
        model = {name: value for name, value in {**work.weights, **change}.items() if value is not None}
        with pytest.raises(clientagent.ModelError, match=message):
            work.send(model, num_examples=1)
        assert work.send(work.weights, num_examples=1)
    assert seat.status == "reported"


def test_a_number_that_cannot_be_is_named(run: Run, server: FakeServer):
    offer(server)
    for work in run():
        with pytest.raises(ValueError, match="num_examples must be a whole number from 1 to 10"):
            work.send(work.weights, num_examples=0)
        with pytest.raises(ValueError, match="metrics: 'auc' must be a number, not 'high'."):
            work.send(work.weights, num_examples=1, metrics={"auc": "high"})
        with pytest.raises(ValueError, match="metrics: 'auc' must be a number, not 1000"):
            work.send(work.weights, num_examples=1, metrics={"auc": 10**400})
        for name in ("", " ", "a" * 101, "a\nb"):
            with pytest.raises(ValueError, match="must have 1 to 100 printable characters"):
                work.send(work.weights, num_examples=1, metrics={name: 1})


def test_training_that_diverged_gives_the_seat_up(run: Run, server: FakeServer):
    seat = offer(server)
    for work in run():
        assert not work.send({**work.weights, "bias": np.array([1, np.nan], np.float32)}, num_examples=1)
    assert (seat.status, seat.reason) == ("failed", "Training diverged: bias holds a value that is not finite.")


def test_a_refusal_of_the_server_gives_the_seat_up(run: Run, server: FakeServer):
    seat = offer(server)
    server.script("PUT", "/update", status(422, "bias is odd."))
    for work in run():
        assert not work.send(work.weights, num_examples=1)
    assert (seat.status, seat.reason) == ("failed", "bias is odd.")


def test_a_stream_of_batches_has_no_length(run: Run, server: FakeServer):
    class Stream:
        """As torch's DataLoader of an IterableDataset."""

        def __len__(self) -> int:
            raise TypeError("object of type 'Patients' has no len()")

        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    seat = offer(server)
    for work in run():
        assert [*work.steps(Stream())] == [0, 1, 2]
        work.send(work.weights, num_examples=1)
    assert seat.status == "reported"


@pytest.mark.parametrize("once", [False, True])
def test_a_token_that_is_refused_while_it_sends_ends_the_program_with_its_sentence(
    run: Run, server: FakeServer, capsys, once: bool
):
    offer(server)

    def refuse(handler: Handler) -> None:
        server.tokens.clear()
        handler.problem(401, "This token was replaced.")

    server.script("PUT", "/update", refuse)
    sent = []
    with pytest.raises(SystemExit) as ended:
        for work in run(once=once):
            sent.append(work.send(work.weights, num_examples=1))
    assert (ended.value.code, sent) == (3, [False])
    assert "toy: The server no longer accepts this client's token: This token " in capsys.readouterr().err


@pytest.mark.parametrize(("measures", "is_said"), [([], True), (["accuracy"], False)])
def test_who_evaluates_without_measures_is_told_that_nobody_asks(
    run: Run, server: FakeServer, capsys, measures: list[str], is_said: bool
):
    offer(server)
    for work in run(evaluate=lambda model: {}, measures=measures):
        work.send(work.weights, num_examples=1)
    assert ("Without measures=, no session asks for evaluate=" in capsys.readouterr().err) == is_said


def test_dropped_work_ends_the_steps_and_is_not_sent(run: Run, server: FakeServer, until):
    seat = offer(server)
    seat.goes_on = False
    for work in run():
        for _ in work.steps(range(10**9)):
            work.log(loss=1.0)
        assert work.dropped
        assert not work.send(work.weights, num_examples=1)
    assert seat.update == b"" and seat.status == "open"


def test_points_that_are_none_are_left_out_and_said_once(run: Run, server: FakeServer, capsys):
    seat = offer(server)
    for work in run():
        work.log(loss="high")
        work.log(loss=object())
        work.log({"a" * 65: 1})
        work.log({"val/loss": 2}, loss=float("nan"), step=7)
        work.send(work.weights, num_examples=1)
    assert seat.values("val/loss") == {7: 2.0} and seat.values("loss") == {7: None}
    assert capsys.readouterr().err.count("Points of the curves are left out") == 1


def test_a_loss_with_its_gradient_is_a_number_without_a_warning(run: Run, server: FakeServer, tmp_path: Path):
    training = offer(server)
    loss = torch.nn.Parameter(torch.tensor(0.5)) * 2  # pytest makes errors of warnings, and errors leave a point out
    for work in run():
        work.log(train_loss=loss)
        work.send(work.weights, num_examples=1, metrics={"train_loss": loss})
    measuring = offer(server, kind="evaluate")
    assert list(run(evaluate=lambda model: {"loss": loss, "num_examples": 3})) == []
    assert training.values("train_loss") == {1: 1.0}
    assert json.loads(sent(training, tmp_path)[1]["metrics"]) == {"train_loss": 1.0}
    assert measuring.result["metrics"] == {"loss": 1.0}


def test_an_exception_within_a_work_gives_the_seat_up_and_goes_on(run: Run, server: FakeServer):
    first, second = offer(server), offer(server)
    done = []
    for work in run(once=False):
        with work:
            if work.round == 1:
                raise RuntimeError("no such patient")
            work.send(work.weights, num_examples=1)
            done.append(work.round)
            break
    assert (first.status, second.status, done) == ("failed", "reported", [2])
    assert first.reason.startswith("RuntimeError: no such patient (test_works.py, line ")


def test_a_loop_that_was_left_in_the_middle_can_begin_again(run: Run, server: FakeServer):
    seat = offer(server)
    with pytest.raises(RuntimeError):
        for _ in run():
            raise RuntimeError("caught by the script itself")
    assert seat.status == "open"
    for work in run():
        assert work.send(work.weights, num_examples=1)
    assert server.left == 2


def test_going_on_without_sending_gives_the_seat_up(run: Run, server: FakeServer):
    seat = offer(server)
    for _ in run():
        pass
    assert seat.reason == "The script went on to the next work without sending an update."


def test_work_can_be_given_up(run: Run, server: FakeServer):
    seat = offer(server)
    for work in run():
        work.give_up("Only two patients today.")
        assert not work.send(work.weights, num_examples=1)
    assert (seat.status, seat.reason) == ("failed", "Only two patients today.")


def test_another_script_s_work_is_given_up(run: Run, server: FakeServer):
    other = server.offer_to_script("0" * 64, MODEL)
    assert list(run()) == []
    assert other.reason.startswith(f"The source of the script 'toy' is {HERE[:12]}… here and 000000000000… in this")
    built_in = server.offer("digits")
    assert list(run()) == []
    assert built_in.reason == "This site runs a script with the name 'toy' and has no workload 'digits'."


def test_an_option_that_is_not_declared_is_named(run: Run, server: FakeServer):
    seat = offer(server, options={"depth": 3})
    assert list(run(options={"width": 4})) == []
    assert "has no option 'depth': it has width" in seat.reason


def test_random_numbers_begin_at_the_seed_of_the_work(run: Run, server: FakeServer):
    drawn = []
    for _ in range(2):
        offer(server)
        for work in run():
            drawn.append(np.random.random())
            work.send(work.weights, num_examples=1)
    assert drawn[0] == drawn[1] == np.random.RandomState(7).random_sample()


# ---- version 0, and measuring


def test_version_0_is_what_the_model_was_at_the_start(run: Run, server: FakeServer, tmp_path: Path):
    model = {name: array.copy() for name, array in MODEL.items()}
    offer(server)
    seat = None
    for work in run(initial=model, once=False):
        if seat is not None:
            break
        model["bias"] += 1
        work.send(model, num_examples=1)
        seat = offer(server, kind="initialise")
        offer(server)
    assert seat and np.array_equal(sent(seat, tmp_path)[0]["bias"], MODEL["bias"])


def test_version_0_is_made_from_the_options(run: Run, server: FakeServer, tmp_path: Path):
    seat = offer(server, kind="initialise", options={"width": 5})
    made = run(initial=lambda options: {"w": np.zeros(options["width"], np.float32)}, options={"width": 1})
    assert list(made) == []
    assert sent(seat, tmp_path)[0]["w"].shape == (5,)


def test_a_model_is_measured(run: Run, server: FakeServer):
    seat = offer(server, kind="evaluate")

    def measure(model: weights.Weights) -> dict[str, Any]:
        return {"mean": np.mean(model["weight"]), "num_examples": 9, "confusion": [[1, 2], [3, 4]]}

    assert list(run(evaluate=measure)) == []
    assert seat.result == {"num_examples": 9, "metrics": {"mean": 2.5}}, "counts tell of labels, and are not sent"


def test_counts_may_be_of_any_kind_of_array(run: Run, server: FakeServer, tmp_path: Path):
    torch = pytest.importorskip("torch")
    flags = ["--server", server.url, "--join", CODE, "--state", str(tmp_path / "state"), "--share-histogram"]
    for counts in (torch.tensor([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]):
        seat = offer(server, kind="evaluate")
        assert list(run(evaluate=lambda model, counts=counts: {"confusion": counts}, arguments=flags)) == []
        assert seat.result == {"num_examples": 1, "metrics": {}, "counts": {"confusion": [[1, 2], [3, 4]]}}


def test_what_measures_wrongly_gives_the_seat_up(run: Run, server: FakeServer):
    seat = offer(server, kind="evaluate")
    assert list(run(evaluate=lambda model: 0.5)) == []
    assert seat.reason == "evaluate= must return a dict of numbers by name, not float."


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"auc": "high"}, "evaluate=: 'auc' must be a number, not 'high'."),
        ({"auc": 0.5, "num_examples": 0}, "evaluate=: num_examples must be a whole number from 1 to 10^12, not 0."),
        (
            {"auc": 0.5, "num_examples": "all"},
            "evaluate=: num_examples must be a whole number from 1 to 10^12, not 'all'.",
        ),
    ],
)
def test_a_number_that_is_none_is_named(run: Run, server: FakeServer, found, reason):
    seat = offer(server, kind="evaluate")
    assert list(run(evaluate=lambda model: found)) == []
    assert seat.reason == reason


def test_what_a_function_of_the_script_raises_is_said_with_its_line(run: Run, server: FakeServer):
    def broken(given: object) -> dict[str, Any]:
        return {}["scan"]

    measured = offer(server, kind="evaluate")
    assert list(run(evaluate=broken)) == []
    begun = offer(server, kind="initialise")
    assert list(run(initial=broken)) == []
    line = broken.__code__.co_firstlineno + 1
    assert measured.reason == f"evaluate=: KeyError: 'scan' (test_works.py, line {line})"
    assert begun.reason == f"initial=: KeyError: 'scan' (test_works.py, line {line})"


def test_what_a_host_refuses_is_told_as_it_says_it(run: Run, server: FakeServer, capsys):
    def refuse(options: object) -> None:
        raise Failed("The app makes no model. Give --flower-initial.")

    seat = offer(server, kind="initialise")
    assert list(run(initial=refuse)) == []
    assert seat.reason == "The app makes no model. Give --flower-initial."
    assert "Traceback" not in capsys.readouterr().err


def test_a_kind_that_the_script_does_not_do_is_given_up(run: Run, server: FakeServer):
    seat = offer(server, kind="evaluate")
    assert list(run()) == []
    assert seat.reason == "This site's script does no work of the kind 'evaluate'."


# ---- what is kept


def test_work_whose_last_update_cannot_be_read_is_given_up(run: Run, server: FakeServer):
    seat = offer(server, last_update={"participation": "4"})
    assert list(run()) == []
    assert seat.reason == """The server's work cannot be read (last_update: "{'participation': '4'}")."""


def test_what_was_kept_comes_with_the_last_update_that_counted(run: Run, server: FakeServer):
    found, digests = [], []

    def once(last: int | None) -> None:
        told = None if last is None else {"participation": f"{last + 1}", "digest": digests[last]}
        seat = offer(server, last_update=told)
        for work in run():
            found.append(work.state)
            work.next_state = {"rounds": len(found), "momentum": np.ones(2)}
            work.send({**work.weights, "bias": np.full(2, len(found), np.float32)}, num_examples=1)
        digests.append(sha256(seat.update).hexdigest())

    for last in (None, 0, 0, 2, 1):
        once(last)
    assert [state and state["rounds"] for state in found] == [None, 1, 1, 3, None], "what came before 2 is forgotten"


# ---- what cannot be declared


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("Chest X-ray", {}, "name must be 1 to 64 characters of a-z, 0-9 and -"),
        ("digits", {}, "'digits' is the name of a built-in workload"),
        ("toy", {"options": {"layers": [1, 2]}}, "options: the default of 'layers' must be a number, a text or a bool"),
        ("toy", {"sources": ["nowhere.py"]}, "sources: there is no file nowhere.py"),
        ("toy", {"num_examples": -1}, "num_examples must be null or a whole number"),
        (["toy"], {}, "name must be 1 to 64 characters"),
        ("toy", {"options": "width"}, "options must be a list of clientagent.Option objects, or a dict of defaults"),
        ("toy", {"options": [("width", 4)]}, r"options: \('width', 4\) is no clientagent.Option."),
        ("toy", {"options": [clientagent.Option("width", list, [])]}, "options 1: kind must be one of int, float"),
        ("toy", {"measures": "auc"}, "measures must be a list of names and clientagent.Measure objects, not 'auc'."),
        ("toy", {"measures": [1]}, "measures: 1 is neither a name nor a clientagent.Measure."),
        ("toy", {"train_defaults": [3]}, r"train_defaults must be a dict, not \[3\]."),
        ("toy", {"version": 1.0}, "version must be at most 64 printable characters, not 1.0."),
        ("toy", {"evaluate": {"accuracy": 1}}, "evaluate= must be a function of a model, not dict"),
        ("toy", {"initial": "gone.safetensors"}, r"initial=: gone.safetensors cannot be read: No such file or dir"),
        ("toy", {"initial": "."}, r"initial=: . cannot be read: Is a directory."),
        ("toy", {"initial": __file__}, rf"initial=: {__file__}: Not a safetensors file"),
        ("toy", {"initial": {}}, "initial=: The model has no tensor."),
        ("toy", {"initial": {"w": [1.0]}}, "initial=: w is no tensor but list. Leave it out with only=."),
        ("toy", {"initial": {"w": np.zeros(2, bool)}}, "initial=: w has the type bool. Allowed are float64"),
        ("toy", {"initial": MODEL, "only": ["x*"]}, r"initial=: only=\['x\*'\] leaves no tensor of the model"),
        ("toy", {"initial": 3}, "initial=: A model is a torch module, a state_dict, .* not int."),
    ],
)
def test_what_cannot_be_declared_is_said_at_once(name: str, more: dict[str, Any], message: str):
    with pytest.raises(clientagent.ScriptError, match=message):
        clientagent.works(name, **more)


def test_a_refusal_to_join_ends_the_program_with_its_sentence(run: Run, server: FakeServer, tmp_path: Path, capsys):
    flags = ["--server", server.url, "--join", "wrong", "--name", "site-a", "--state", str(tmp_path / "state")]
    with pytest.raises(SystemExit) as ended:
        list(run(arguments=flags))
    assert ended.value.code == 2
    assert "toy: This join code is not known here." in capsys.readouterr().err


def test_after_a_wrong_flag_the_same_process_can_try_again(run: Run, server: FakeServer, tmp_path: Path):
    seat = offer(server)
    flags = ["--server", server.url, "--name", "site-a", "--state", str(tmp_path / "state")]
    with pytest.raises(SystemExit) as ended:  # which a notebook keeps
        list(run(arguments=flags))
    for work in run():
        work.send(work.weights, num_examples=1)
    assert ended.value.code == 2 and seat.status == "reported"


def test_flags_of_the_script_itself_are_passed_over(run: Run, server: FakeServer, tmp_path: Path):
    offer(server)
    flags = ["--epochs", "3", "--server", server.url, "--join", CODE, "--state", str(tmp_path / "s"), "--help", "x"]
    for work in run(arguments=flags):
        assert work.send(work.weights, num_examples=1)


def test_a_name_that_the_library_has_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'workz'"):
        _ = clientagent.workz
