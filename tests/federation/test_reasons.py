"""A reason is a code with arguments; its sentence is made in one place, and nothing reads it back."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import earlier_reasons, reasons
from federation.lifecycle import RoundReason, SeatReason
from federation.reasons import Reason, Trouble

ROOT = Path(__file__).parents[2]
GAVE_UP, REJECTED = SeatReason.CLIENT_FAILED, SeatReason.REJECTED
EVERY = [
    reasons.LEFT,
    reasons.DISABLED,
    reasons.REMOVED,
    reasons.DEADLINE,
    reasons.ROUND_CLOSED,
    reasons.ROUND_FAILED,
    reasons.SESSION_CANCELLED,
    reasons.DAMAGED,
    reasons.CANCELLED,
    reasons.client_failed("no data"),
    reasons.skipped("alice"),
    reasons.finished("alice"),
    reasons.rejected("w holds NaN."),
    reasons.left_out("w would hold a value that is not finite."),
    reasons.quorum_missed(1, 2, at_deadline=True, withdrawn=["anna"], troubles=[Trouble("ben", GAVE_UP, "no data")]),
    reasons.quorum_missed(1, 2, at_deadline=False, withdrawn=[], troubles=[]),
    reasons.not_finite("w would hold a value that is not finite.", ["anna"]),
    reasons.too_few_finite("w would hold a value that is not finite.", ["anna"], left=1, needed=2),
    reasons.misfit("anna's update has other tensors."),
    reasons.internal("The server could not aggregate round 1."),
    reasons.killed(20),
    reasons.model_lost("v3", "Its round's updates were removed."),
]


def test_every_code_has_a_sentence():
    assert {reason.code for reason in EVERY} == {*SeatReason, *RoundReason}
    assert all(reason.sentence.strip() for reason in EVERY)


@pytest.mark.parametrize("reason", EVERY, ids=lambda reason: reason.code)
def test_what_is_stored_gives_the_same_sentence_again(reason):
    stored = reason.fields
    kind = SeatReason if reason.code in list(SeatReason) else RoundReason
    assert Reason(kind(stored["reason_code"]), stored["reason_args"]).sentence == stored["reason"]


@given(st.text(), st.text(max_size=40))
def test_any_text_of_a_client_can_be_stored_and_is_bounded(said, name):
    trouble = [Trouble(name, GAVE_UP, said)] * 9
    for reason in (
        reasons.client_failed(said),
        reasons.quorum_missed(0, 9, at_deadline=False, withdrawn=[], troubles=trouble),
    ):
        stored = reason.fields
        assert "\0" not in str(stored) and stored["reason"]
        assert len(stored["reason"]) < 1000


def test_a_missed_quorum_names_what_its_clients_said():
    troubles = [Trouble("anna", GAVE_UP, "no data."), Trouble("ben", REJECTED, "w holds NaN."), *_many(3)]
    reason = reasons.quorum_missed(0, 5, at_deadline=False, withdrawn=[], troubles=troubles)
    assert reason.sentence == (
        "0 of 5 needed updates had arrived when no seat was open any more. anna gave up: no data. "
        "The update of ben was refused: w holds NaN. site0 gave up: out of memory. 2 more clients failed."
    )


def _many(number):
    return [Trouble(f"site{n}", GAVE_UP, "out of memory") for n in range(number)]


def test_a_clients_text_in_a_rounds_reason_is_one_short_line():
    said = "Traceback\n\u202eolleh\x07 " + "x" * 1000
    reason = reasons.quorum_missed(0, 1, at_deadline=False, withdrawn=[], troubles=[Trouble("anna", GAVE_UP, said)])
    (told,) = reason.args["clients"]
    assert told["reason"].startswith("Traceback ?olleh? xxx") and len(told["reason"]) == 200


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        ("dropped", "Skipped by mara.", "skipped"),
        ("dropped", "The client left.", "left"),
        ("late", "The client was disabled.", "disabled"),
        ("dropped", "The client was removed.", "removed"),
        ("late", "The round closed without it.", "round_closed"),
        ("dropped", "The round was finished by mara.", "round_closed"),
        ("dropped", "The round failed.", "round_failed"),
        ("dropped", "The session was cancelled.", "session_ended"),
        (
            "dropped",
            "Its update was damaged on the server's disk, and the client could not be asked again.",
            "damaged",
        ),
        ("failed", "Skipped by nobody: no data", "client_failed"),
        ("rejected", "w holds NaN.", "rejected"),
        ("dropped", "Something else.", None),
        ("aggregated", "", None),
    ],
)
def test_a_seat_of_version_0_1_has_the_code_of_its_sentence(status, text, code):
    assert earlier_reasons.of_seat(SimpleNamespace(status=status, reason=text, reason_code="")) == code
    ours = SimpleNamespace(status=status, reason=text, reason_code="deadline")
    assert earlier_reasons.of_seat(ours) == SeatReason.DEADLINE


@pytest.mark.parametrize("reason", [one for one in EVERY if one.code in list(RoundReason)], ids=lambda one: one.code)
def test_a_round_of_version_0_1_has_the_code_of_its_sentence(reason):
    row = SimpleNamespace(status="failed", reason=reason.sentence, reason_code="")
    unknown = reason.code in (RoundReason.MISFIT, RoundReason.CANCELLED)
    assert earlier_reasons.of_round(row) == (None if unknown else reason.code)
    row.status = "cancelled"
    assert earlier_reasons.of_round(row) == RoundReason.CANCELLED


# ---- no logic reads prose

PROSE = {"reason", "detail", "sentence", "why", "told", "failure", "title", "summary", "message", "evaluation_error"}
LOOKS = {"startswith", "endswith", "find", "index", "count", "partition", "rpartition", "split", "match", "fullmatch"}
ALLOWED = {"federation/earlier_reasons.py"}


def _name(node: ast.expr) -> str:
    """The last name of an expression: `reason` of `seat.reason`, of `payload["reason"]` and of `str(reason)`."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Subscript(value=value):
            return _name(value)
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name
        case ast.Call(func=ast.Name(id="str"), args=[value]):
            return _name(value)
        case ast.Call(func=ast.Attribute(value=value, attr="strip" | "rstrip" | "lower" | "casefold")):
            return _name(value)
    return ""


def _reads_prose(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re")), args=args):
            return any(_name(arg) in PROSE for arg in args)
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in LOOKS:
            return _name(value) in PROSE
        case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]):
            return _name(right) in PROSE and isinstance(left, ast.Constant)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
            texts = [one for one in (left, right) if isinstance(one, ast.Constant) and " " in str(one.value)]
            return bool(texts) and {_name(left), _name(right)} & PROSE != set()
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute() | ast.Name(), attr="filter" | "exclude"), keywords=words
        ):
            return any(_is_lookup_of_prose(word.arg or "") for word in words)
    return False


def _is_lookup_of_prose(argument: str) -> bool:
    *names, lookup = argument.split("__")
    return bool(names) and names[-1] in PROSE and lookup not in ("exact", "isnull")


def _violations(source: str) -> list[int]:
    return [node.lineno for node in ast.walk(ast.parse(source)) if _reads_prose(node)]


def test_no_code_reads_a_reasons_text():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for folder in ("federation", "dashboard", "clientagent", "flsite")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in ALLOWED
        for line in _violations(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'seat.reason.startswith("Skipped")',
        'seat.reason.rstrip(".").startswith(("The round closed", "The round failed"))',
        '"quorum" in payload["reason"]',
        '"quorum" not in str(payload.get("reason"))',
        'detail.partition(". ")',
        're.sub("^a", "b", sentence)',
        'session.reason == "The client left."',
        'seats.filter(reason__startswith="Skipped")',
    ],
)
def test_that_test_finds(source):
    assert _violations(source)


@pytest.mark.parametrize("source", ["seat.reason_code in CODES", 'seat.reason == ""', "bool(seat.reason)"])
def test_that_test_leaves_alone(source):
    assert not _violations(source)
