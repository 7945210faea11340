"""What stands in the terminal."""

import io

import pytest

from clientagent import display
from clientagent.display import Lines, Phase


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(display, "monotonic", lambda: now[0])
    return now


def test_lines_have_the_time_and_no_colours():
    out = io.StringIO()
    Lines(out).say("Waiting.")
    text = out.getvalue()
    assert text.endswith(" Waiting.\n") and text[:2] == "20" and "\x1b" not in text


def test_a_phase_is_told_when_it_lasts_and_then_now_and_then(clock: list[float]):
    out = io.StringIO()
    lines = Lines(out)
    lines.begin("first, round 3")
    lines.at("downloading", 0.5, None)
    for second in range(25):
        clock[0] = 1000.0 + second
        lines.at("training", second / 100, 0.5)
    lines.at("uploading", 0.0, None)
    assert [line[20:] for line in out.getvalue().splitlines()] == [
        "first, round 3: training, 1%, loss 0.5, 1 min 39 s left",
        "first, round 3: training, 11%, loss 0.5, 1 min 29 s left",
        "first, round 3: training, 21%, loss 0.5, 1 min 19 s left",
    ]


def test_waiting_is_told_at_the_start():
    out = io.StringIO()
    lines = Lines(out)
    lines.waiting()
    lines.at("uploading", 1.0, None)
    lines.waiting()
    assert out.getvalue().count("Waiting for work.") == 1


def test_the_time_that_is_left_follows_from_the_time_it_took(clock: list[float]):
    phase = Phase()
    phase.enter("training")
    clock[0] += 30
    assert phase.describe(0.25, 0.12345678) == "training, 25%, loss 0.1235, 1 min 30 s left"
    assert phase.describe(1.0, None) == "training, 100%"


def test_names_from_the_server_cannot_control_the_terminal():
    out = io.StringIO()
    Lines(out).say("evil\x1b[2Jsession\r\x07")
    assert out.getvalue()[20:] == "evil?[2Jsession??\n"


def test_a_reader_that_went_away_is_no_reason_to_stop():
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Lines(Closed()).say("Nobody reads this.")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_without_a_sign_for_a_letter_shows_its_number_and_loses_no_line(encoding: str):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    display.for_terminal(out).say("Enrolled as कि: ffff… is there.")
    out.flush()
    said = raw.getvalue().decode(encoding)
    assert "Enrolled as " in said and said.endswith(" is there.\n")
    assert ("कि" in said) == (encoding == "utf-8") and ("\\u0915" in said) == (encoding != "utf-8")
