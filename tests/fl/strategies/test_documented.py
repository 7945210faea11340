"""docs/strategies.md says of every strategy what its file says."""

import inspect
import re
from pathlib import Path

import pytest

from federation.fl.strategies import STRATEGIES, Launch, build

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "strategies.md").read_text()


def table(after: str, columns: int) -> dict[str, list[str]]:
    """The rows of the first table after these words, by name."""
    lines = DOCUMENT.partition(after)[2].partition("\n\n|")[2].partition("\n\n")[0].splitlines()
    rows = [line.strip("|").split("|") for line in lines]
    assert {len(cells) for cells in rows} == {columns}
    return {cells[0].strip("` "): cells for cells in rows}


ROWS = table("## All of them", 6)


@pytest.mark.parametrize("name", STRATEGIES)
def test_its_row_says_when_to_choose_it_what_it_keeps_and_its_paper(name):
    _, when, _, _, keeps, paper = (cell.strip() for cell in ROWS[name])
    strategy = build(name, {})
    assert when == strategy.when
    assert re.findall(r"`(\w+)`", keeps.partition(", with")[0]) == [*strategy.slots, *strategy.scalars]
    (number,) = re.findall(r"abs/(\d{4}\.\d{4,5})", paper)
    assert f"arXiv:{number}" in inspect.getsource(inspect.getmodule(STRATEGIES[name]))


def test_there_is_a_row_for_nothing_else():
    assert ROWS.keys() - STRATEGIES.keys() == {"name", "---"}


def test_the_path_to_a_strategy_names_every_one():
    path = DOCUMENT.partition("## Which one")[2].partition("##")[0]
    named = set(re.findall(r"\*\*([\w -]+)\*\*", path))
    assert named == {strategy.title for strategy in STRATEGIES.values()}


TOGETHER = table("What goes together with each.", 5)
SCHEDULES = {
    "every": (True, True),
    "all but buffered": (True, False),
    "synchronous, over-selected; late updates dropped": (False, False),
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_second_table_says_what_goes_together_with_it(name):
    _, keeps, stays, schedules, encodings = (cell.strip() for cell in TOGETHER[name])
    strategy = build(name, {})

    def fits(**changes):
        return strategy.misfit(Launch(20, **{"least": 20} | changes)) is None

    kept = {"a state": strategy.keeps_at_clients, "a model of its own": strategy.personal}
    assert {"nothing", *kept} >= {keeps} and kept == {what: what == keeps for what in kept}
    assert fits(stays=True) == (stays == "yes") and fits(compression="int8") == (encodings == "every")
    assert (fits(counts_late=True), fits(counts_late=True, least=1)) == SCHEDULES[schedules]
