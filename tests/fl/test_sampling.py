import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

from federation.fl import sampling

NAMES = ["ada", "bob", "cleo", "dan", "eve"]
ROOT = Path(__file__).parents[2]


def test_the_draw_is_sorted_and_without_replacement():
    drawn = sampling.draw(NAMES, 3, seed=1, round_number=1)
    assert len(drawn) == 3 and drawn == sorted(set(drawn)) and set(drawn) <= set(NAMES)


def test_the_order_of_names_does_not_matter():
    assert len({tuple(sampling.draw(names, 2, seed=4, round_number=2)) for names in permutations(NAMES)}) == 1


@pytest.mark.parametrize("count, expected", [(0, []), (-1, []), (5, NAMES), (9, NAMES)])
def test_no_more_are_drawn_than_there_are(count, expected):
    assert sampling.draw(NAMES, count, seed=1, round_number=1) == expected


def test_rounds_and_seeds_ask_different_clients_and_everybody_in_time():
    draws = [tuple(sampling.draw(NAMES, 2, seed=seed, round_number=n)) for seed in (1, 2) for n in range(1, 30)]
    assert len(set(draws)) > 5
    assert {name for drawn in draws for name in drawn} == set(NAMES)


def test_draw_and_seed_are_the_same_in_every_process():
    what = f"sampling.draw({NAMES}, 2, seed=1, round_number=1), sampling.client_seed(1, 2, 'é')"
    code = f"from federation.fl import sampling; print({what})"
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (
        printed.split()
        == f"{sampling.draw(NAMES, 2, seed=1, round_number=1)} {sampling.client_seed(1, 2, 'é')}".split()
    )


def test_a_client_seed_depends_on_session_round_and_name():
    cases = [(s, r, n) for s in (0, 1, -1, 2**70) for r in (1, 2) for n in ("", "a", "b", "1", "a/1")]
    seeds = {sampling.client_seed(*case) for case in cases}
    assert len(seeds) == len(cases) and all(0 <= seed < 2**31 for seed in seeds)


def test_neighbouring_parts_do_not_run_together():
    assert sampling.client_seed(1, 12, "x") != sampling.client_seed(11, 2, "x")
