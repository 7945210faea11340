"""The terminal shows totals, and what happens to clients once; the file has every word."""

import io
from pathlib import Path

from clientagent.crowd.board import LOG, Board, PlainTotals, totals


def test_totals_are_one_line():
    line = totals(100, {"waiting": 63, "training": 4, "joining": 0, "in line": 33}, 812, 3)
    assert line == "100 clients: 33 in line, 4 training, 63 waiting. 812 results sent, 3 given up."


def test_each_client_is_counted_where_it_is(tmp_path: Path):
    out = io.StringIO()
    board = Board(PlainTotals(out), 3, tmp_path)
    first, second = board.of("sim-1"), board.of("sim-2")
    first.waiting()
    second.waiting()
    second.begin("first, round 1")
    second.at("training", 0.5, 1.0)
    board.count(sent=1)
    board.show()
    assert "3 clients: 1 joining, 1 training, 1 waiting. 1 result sent." in out.getvalue()
    first.close()
    board.close()


def test_what_happens_to_many_clients_is_said_once_and_logged_for_each(tmp_path: Path):
    out = io.StringIO()
    board = Board(PlainTotals(out), 3, tmp_path)
    for name in ("sim-1", "sim-2", "sim-3"):
        board.notice(name, "The token is no longer valid: 100 %.")
    board.of("sim-1").say("Enrolled\x1b[2J.")
    board.close()
    assert out.getvalue().count("no longer valid") == 1 and "sim-1: The token" in out.getvalue()
    logged = (tmp_path / LOG).read_text()
    assert [line.split(" ", 2)[2] for line in logged.splitlines()] == [
        *(f"sim-{number}: The token is no longer valid: 100 %." for number in (1, 2, 3)),
        "sim-1: Enrolled?[2J.",
    ]
