"""Tensors that stay at the sites: which they are, and that a round leaves them and changes nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.fl import aggregation, staying, weights
from federation.fl.aggregation import UpdateFile
from federation.fl.strategies import STRATEGIES, build
from tests.fl.strategies.playing import USUAL, noise

NAMES = ["bn.running_mean", "bn.weight", "body.weight", "head.bias", "head.weight"]
DTYPES = [np.float32, np.float32, np.float32, np.float64, np.float16]


def test_a_pattern_fits_names_with_their_dots_and_case():
    assert staying.matched(NAMES, ["head.*", "*.weight"]) == NAMES[1:]
    assert staying.matched(NAMES, ["bn*"]) == ["bn.running_mean", "bn.weight"]
    assert staying.matched(NAMES, ["HEAD.*"]) == []


@pytest.mark.parametrize(
    ("globs", "said"),
    [
        (["head.*"], None),
        ([], None),
        (
            ["head.*", "fc*"],
            "'fc*' fits no tensor of the model, which has bn.running_mean, bn.weight, body.weight, head.bias, "
            "head.weight.",
        ),
        (
            ["b*", "head*"],
            "'b*', 'head*' fit every tensor of the model, bn.running_mean, bn.weight, body.weight, head.bias, "
            "head.weight: nothing would be left to train together.",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_the_names(globs, said):
    assert staying.problem(NAMES, globs) == said


def test_what_is_left_must_be_more_than_statistics():
    said = staying.problem(NAMES, ["*.weight", "head*"], ["bn.running_mean"])
    assert said and said.startswith("'*.weight', 'head*' fit every tensor of the model that is trained")


def test_of_many_tensors_the_first_are_named():
    said = staying.problem([f"layer{number}" for number in range(20)], ["x"])
    assert said and said.endswith("layer14, layer15 and 12 more.")


def test_what_a_site_trained_is_its_own_value_in_its_own_dtype():
    base = {"a": np.float32([1, 2]), "b": weights.float64_to_bfloat16(np.array([1.0])), "n": np.array(2**63 - 1)}
    delta = {"a": np.float32([0.5, -1]), "b": weights.float64_to_bfloat16(np.array([0.5])), "n": np.array(1)}
    found = staying.trained(base, delta, ["a", "b", "n"])
    np.testing.assert_array_equal(found["a"], np.float32([1.5, 1]))
    assert weights.bfloat16_to_float32(found["b"]) == [1.5] and found["b"].dtype == np.uint16
    assert found["n"] == -(2**63) and found["n"].shape == ()
    assert all(isinstance(array, np.ndarray) for array in found.values())


def aggregate(folder: Path, strategy: str, model, deltas, options=None, **more):
    weights.save(folder / "base", model)
    files = []
    for row, delta in enumerate(deltas):
        weights.save(folder / f"update{row}", delta, USUAL)
        files.append(UpdateFile(folder / f"update{row}", row + 1))
    return aggregation.aggregate(
        build(strategy, options or {}),
        base=folder / "base",
        base_slots=None,
        updates=files,
        out=folder / "out",
        out_slots=folder / "slots",
        buffers=["bn.running_mean"],
        population=len(deltas),
        on_block=lambda: None,
        **more,
    )


@settings(max_examples=12)
@given(st.sets(st.sampled_from(NAMES[:-1]), min_size=1), st.integers(0, 2**32))
@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_a_round_is_that_of_a_model_without_them(tmp_path_factory, strategy, stays, seed):
    """The others become, bit for bit, what they become in a model that has nothing else; slots included."""
    folder = tmp_path_factory.mktemp("round")
    model = {
        name: abs(noise(seed + row, 30)).astype(dtype)
        for row, (name, dtype) in enumerate(zip(NAMES, DTYPES, strict=True))
    }
    rest = {name: array for name, array in model.items() if name not in stays}
    deltas = [
        {
            name: noise(seed + 100 * row + place, 30, 0.01).astype(array.dtype)
            for place, (name, array) in enumerate(rest.items())
        }
        for row in range(7)
    ]
    made = aggregate(folder, strategy, model, deltas, stays=stays)
    out = weights.load(folder / "out")
    slots = (folder / "slots").read_bytes() if made.slots_digest else b""
    for name in stays:
        assert out[name].tobytes() == model[name].tobytes()
    alone = aggregate(folder, strategy, rest, deltas)
    expected = weights.load(folder / "out")
    assert {name: out[name].tobytes() for name in rest} == {name: array.tobytes() for name, array in expected.items()}
    assert slots == ((folder / "slots").read_bytes() if alone.slots_digest else b"")
    assert (made.norms, made.cosines) == (alone.norms, alone.cosines)
