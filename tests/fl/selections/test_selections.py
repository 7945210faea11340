"""Who is chosen for a round: by hand, and properties that hold for every selection."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.fl import sampling
from federation.fl.options import OptionError
from federation.fl.selections import SELECTIONS, Candidate, Draw, Occasion, Why, build

NAMES = ["anna", "ben", "carl", "dora", "emil"]
LIMITED, EVERYBODY, JOINED = Occasion(True), Occasion(False), Occasion(False, is_joined=True)
COUNTED = [name for name in SELECTIONS if name not in ("all", "poisson")]


def of(*names, **members):
    return [Candidate(name, **members) for name in names]


def chosen(found):
    return [one.name for one in found]


@st.composite
def candidates(draw):
    names = draw(st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=1, max_size=12))
    members = st.fixed_dictionaries(
        {
            "tags": st.lists(st.sampled_from(["north", "south", "a,b", ""]), max_size=2),
            "last_asked": st.integers(0, 5),
            "times_asked": st.integers(0, 5),
            "loss": st.none() | st.floats(0, 1e9),
            "num_examples": st.none() | st.integers(0, 10**12),
            "gave_up": st.booleans(),
        }
    )
    return [Candidate(name, **draw(members)) for name in sorted(names)]


draws = st.builds(Draw, st.integers(0, 15), st.integers(0, 5), st.integers(0, 2**53 - 1), st.integers(1, 100))


# ---- every selection


@pytest.mark.parametrize("name", SELECTIONS)
@given(candidates(), draws)
def test_nobody_is_chosen_twice_and_the_same_draw_chooses_the_same(name, free, draw):
    found = build(name, {}).choose(free, draw)
    assert len(set(chosen(found))) == len(found) and set(chosen(found)) <= {one.name for one in free}
    assert build(name, {}).choose(free, draw) == found


@pytest.mark.parametrize("name", COUNTED)
@given(candidates(), draws)
def test_as_many_are_chosen_as_a_round_asks(name, free, draw):
    assert len(build(name, {}).choose(free, draw)) == min(draw.count, len(free))


@pytest.mark.parametrize("name", COUNTED)
@given(candidates(), draws)
def test_who_gave_up_is_chosen_only_after_all_others(name, free, draw):
    gave_up = {one.name for one in free if one.gave_up}
    found = set(chosen(build(name, {}).choose(free, draw)))
    assert not found & gave_up or {one.name for one in free} - gave_up <= found


@pytest.mark.parametrize("name", SELECTIONS)
def test_every_one_is_described_and_refuses_unknown_options(name):
    assert SELECTIONS[name].title and SELECTIONS[name].summary.endswith(".")
    with pytest.raises(OptionError, match="has no option 'speed'"):
        build(name, {"speed": 1})


def test_one_that_is_unknown_is_refused_with_those_that_are_known():
    with pytest.raises(OptionError, match="There is no selection 'best': choose one of random, all, by_tag"):
        build("best", {})


@pytest.mark.parametrize(
    ("name", "occasion", "words"),
    [
        ("all", LIMITED, "leave cohort_size empty"),
        ("poisson", LIMITED, "leave cohort_size empty, without over-selection"),
        ("poisson", JOINED, "here clients join one by one"),
        ("by_tag", EVERYBODY, "Say how many clients a round asks"),
        ("round_robin", EVERYBODY, "Say how many clients a round asks"),
        ("power_of_choice", EVERYBODY, "Say how many clients a round asks"),
    ],
)
def test_one_that_chooses_nothing_or_cannot_choose_is_refused(name, occasion, words):
    found = build(name, {}).misfit(occasion)
    assert found.field == "selection.name" and words in found.sentence


@pytest.mark.parametrize(
    ("name", "occasion"),
    [
        ("random", LIMITED),
        ("random", EVERYBODY),
        ("random", JOINED),
        ("all", EVERYBODY),
        ("poisson", EVERYBODY),
        ("by_tag", LIMITED),
        ("round_robin", Occasion(True, is_joined=True)),
        ("power_of_choice", LIMITED),
    ],
)
def test_one_that_fits_is_not_refused(name, occasion):
    assert build(name, {}).misfit(occasion) is None


# ---- at random and everyone


def test_a_draw_at_random_is_that_of_every_earlier_version():
    found = build("random", {}).choose(of(*NAMES), Draw(2, 1, seed=4, number=2))
    assert chosen(found) == sampling.draw(NAMES, 2, seed=4, round_number=2)
    assert {one.why for one in found} == {Why.DRAWN}


@pytest.mark.parametrize(("name", "count"), [("random", 5), ("random", 9), ("all", 5), ("all", 1)])
def test_everyone_is_asked_for_that_reason(name, count):
    found = build(name, {}).choose(of(*NAMES), Draw(count, 1, 1, 1))
    assert [(one.name, one.why) for one in found] == [(name, Why.EVERYONE) for name in NAMES]


# ---- Poisson


def poisson(names, number, *, rate=0.3, least=0):
    return build("poisson", {"rate": rate}).choose(of(*names), Draw(len(names), least, 7, number))


def test_poisson_draws_each_client_with_its_rate_independently():
    rounds = 4000
    drawn = [set(chosen(poisson(NAMES, number))) for number in range(1, rounds + 1)]
    each = Counter(name for found in drawn for name in found)
    error = 5 * math.sqrt(0.3 * 0.7 / rounds)  # five standard deviations
    assert all(abs(each[name] / rounds - 0.3) < error for name in NAMES)
    both = sum({"anna", "ben"} <= found for found in drawn) / rounds
    assert abs(both - 0.09) < 5 * math.sqrt(0.09 * 0.91 / rounds)
    assert {len(found) for found in drawn} == set(range(6))


def test_whether_poisson_draws_a_client_depends_on_no_other():
    for number in range(1, 50):
        alone = {name for name in NAMES if poisson([name], number)}
        assert set(chosen(poisson(NAMES, number))) == alone


@given(st.integers(1, 10**6), st.integers(0, 5))
def test_poisson_fills_up_to_the_quorum_and_says_whom(number, least):
    found = poisson(NAMES, number, least=least)
    drawn = {one.name for one in found if one.why == Why.DRAWN}
    assert drawn == set(chosen(poisson(NAMES, number)))
    assert len(found) == max(len(drawn), least)
    assert {one.why for one in found if one.name not in drawn} <= {Why.FILLED}


def test_poisson_with_rate_1_asks_everyone():
    assert len(poisson(NAMES, 1, rate=1.0)) == 5


# ---- by tag


def tagged(**groups):
    return [Candidate(name, tags=tags) for name, tags in sorted(groups.items())]


SITES = tagged(a1=["north"], a2=["north"], a3=["north"], b1=["south"], c1=["west", "south"], d1=[])


def test_each_group_gives_as_many():
    for number in range(1, 30):
        found = build("by_tag", {}).choose(SITES, Draw(3, 1, 1, number))
        assert len({one.args["tag"] for one in found}) == 3 and {one.why for one in found} == {Why.TAG}
        assert Counter(one.args["tag"] for one in build("by_tag", {}).choose(SITES, Draw(5, 1, 1, number))) == {
            "north": 2, "south": 2, "": 1,
        }  # fmt: skip


def test_every_group_and_every_client_comes_first_at_times():
    first = [build("by_tag", {}).choose(SITES, Draw(1, 1, 1, number))[0] for number in range(1, 200)]
    assert {one.args["tag"] for one in first} == {"north", "south", ""}
    assert {one.name for one in first} == {one.name for one in SITES}


def test_only_the_tags_that_are_named_are_groups():
    found = build("by_tag", {"tags": " west , north "}).choose(SITES, Draw(6, 1, 1, 1))
    assert {one.name: one.args["tag"] for one in found} == {
        "a1": "north", "a2": "north", "a3": "north", "b1": "", "c1": "west", "d1": "",
    }  # fmt: skip


# ---- round-robin


def go_round(names, count, rounds):
    last, times, asked = Counter(), Counter(), []
    for number in range(1, rounds + 1):
        free = [Candidate(name, last_asked=last[name], times_asked=times[name]) for name in names]
        found = build("round_robin", {}).choose(free, Draw(count, 1, 1, number))
        asked.append(sorted(chosen(found)))
        for name in asked[-1]:
            last[name], times[name] = number, times[name] + 1
    return asked, times


def test_round_robin_goes_round_by_name():
    asked, _ = go_round(NAMES, 2, 5)
    assert asked == [["anna", "ben"], ["carl", "dora"], ["anna", "emil"], ["ben", "carl"], ["dora", "emil"]]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 40))
def test_round_robin_asks_everybody_equally_often(clients, count, rounds):
    names = [f"c{number:02}" for number in range(clients)]
    asked, times = go_round(names, count, rounds)
    assert max(times[name] for name in names) - min(times[name] for name in names) <= 1
    assert {name for found in asked[: math.ceil(clients / count)] for name in found} == set(
        names
    ) or rounds < math.ceil(clients / count)


def test_round_robin_says_when_one_was_asked_last():
    free = [Candidate("anna", last_asked=3), Candidate("ben")]
    found = build("round_robin", {}).choose(free, Draw(2, 1, 1, 4))
    assert [(one.name, one.args) for one in found] == [("ben", {"last": 0}), ("anna", {"last": 3})]


# ---- power of choice


def test_the_highest_losses_are_chosen_and_an_unknown_one_is_highest():
    free = [Candidate("anna", loss=0.5), Candidate("ben", loss=2.0), Candidate("carl"), Candidate("dora", loss=1.0)]
    found = build("power_of_choice", {"candidates": 4}).choose(free, Draw(2, 1, 1, 1))
    assert [(one.name, one.why, one.args) for one in found] == [
        ("carl", Why.NO_LOSS, {}),
        ("ben", Why.LOSS, {"loss": 2.0}),
    ]


def test_candidates_are_drawn_in_proportion_to_their_examples():
    rounds = 4000
    free = [Candidate("anna", num_examples=30), Candidate("ben", num_examples=10)]
    choice = build("power_of_choice", {"candidates": 1})
    first = Counter(choice.choose(free, Draw(1, 1, 3, number))[0].name for number in range(rounds))
    assert abs(first["anna"] / rounds - 0.75) < 5 * math.sqrt(0.75 * 0.25 / rounds)


def test_fewer_candidates_than_a_round_asks_become_as_many():
    free = [Candidate(name, loss=float(place)) for place, name in enumerate(NAMES)]
    assert len(build("power_of_choice", {"candidates": 1}).choose(free, Draw(3, 1, 1, 1))) == 3


def test_the_loss_decides_among_the_candidates_alone():
    """With d candidates of n, the client with the highest loss is asked in d / n of the rounds."""
    free = [Candidate(name, loss=float(place)) for place, name in enumerate(NAMES)]
    choice, rounds = build("power_of_choice", {"candidates": 2}), 3000
    asked = sum(choice.choose(free, Draw(1, 1, 5, number))[0].name == "emil" for number in range(rounds))
    assert abs(asked / rounds - 0.4) < 5 * math.sqrt(0.4 * 0.6 / rounds)
