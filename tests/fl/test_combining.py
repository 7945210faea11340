"""The results of several sites become one, each measure as it declares."""

from hypothesis import given
from hypothesis import strategies as st

from federation.fl.measures import Combine, Measure
from federation.fl.measures.combining import Result, together

OF = {
    "accuracy": Measure("accuracy"),
    "hits": Measure("hits", combine=Combine.SUM),
    "least": Measure("least", combine=Combine.MIN),
    "most": Measure("most", combine=Combine.MAX),
    "own": Measure("own", combine=Combine.NONE),
}


def both(**numbers):
    """Two sites, with 30 and 10 examples."""
    first, second = ({name: pair[n] for name, pair in numbers.items()} for n in (0, 1))
    return [Result("anna", 30, first), Result("ben", 10, second)]


def test_a_mean_is_weighted_by_examples_and_others_as_they_declare():
    pair = (1.0, 2.0)
    found = together(both(accuracy=pair, hits=pair, least=pair, most=pair, own=pair), OF)
    assert found.metrics == {"accuracy": 1.25, "hits": 3.0, "least": 1.0, "most": 2.0}
    assert found.errors == {}


def test_a_measure_that_nobody_declares_is_averaged():
    assert together(both(new=(1.0, 2.0)), {}).metrics == {"new": 1.25}


def test_a_site_without_a_number_is_left_out_and_named():
    found = together(both(accuracy=(None, 0.5)), OF)
    assert found.metrics == {"accuracy": 0.5}
    assert found.errors == {"accuracy": {"code": "unusable", "clients": ["anna"]}}


def test_a_site_that_did_not_measure_something_is_no_error():
    found = together([Result("anna", 1, {"a": 1.0}), Result("ben", 1, {"b": 2.0})], {})
    assert (found.metrics, found.errors) == ({"a": 1.0, "b": 2.0}, {})


def test_counts_of_one_shape_are_added():
    one, two = ([[1, 2], [3, 4]], [[10, 20], [30, 40]])
    results = [Result("anna", 1, {}, {"c": one, "n": 1}), Result("ben", 1, {}, {"c": two, "n": 2})]
    assert together(results, {}).metrics == {"c": [[11, 22], [33, 44]], "n": 3}


def test_counts_of_another_shape_are_not_added_and_named():
    results = [Result("anna", 1, {}, {"c": [1, 2]}), Result("ben", 1, {}, {"c": [1]}), Result("carl", 1, {}, {"c": 3})]
    found = together(results, {})
    assert found.metrics == {}
    assert found.errors == {"c": {"code": "shapes", "clients": ["ben", "carl"]}}


def test_a_number_and_counts_of_one_name_do_not_overwrite_each_other():
    found = together([Result("anna", 1, {"c": 0.5}, {"c": [1]})], {})
    assert found.metrics == {"c": 0.5}
    assert found.errors == {"c": {"code": "namesake", "clients": ["anna"]}}


def test_no_result_is_nothing():
    found = together([], OF)
    assert (found.metrics, found.errors) == ({}, {})


NUMBERS = st.none() | st.floats(-1e30, 1e30)
RESULTS = st.lists(
    st.builds(
        Result,
        st.sampled_from(["anna", "ben", "carl"]),
        st.integers(1, 10**12),
        st.dictionaries(st.sampled_from([*OF, "new"]), NUMBERS),
        st.dictionaries(st.text(max_size=3), st.integers(0, 10**12) | st.lists(st.integers(0, 10**12), max_size=3)),
    ),
    max_size=6,
)


@given(RESULTS)
def test_what_sites_say_in_range_is_combined_without_a_fault(results):
    found = together(results, OF)
    for name, value in found.metrics.items():
        if isinstance(value, float):
            assert abs(value) <= 1e30, name
    assert "own" not in found.metrics or any("own" in one.counts for one in results)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 1000)), min_size=1, max_size=6))
def test_a_combined_number_lies_between_the_sites(pairs):
    results = [Result(str(n), weight, {"accuracy": value}) for n, (value, weight) in enumerate(pairs)]
    value = together(results, OF).metrics["accuracy"]
    values = [value for value, _ in pairs]
    assert min(values) - 1e-6 <= value <= max(values) + 1e-6
