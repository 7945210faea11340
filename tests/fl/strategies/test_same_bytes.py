"""Sessions of before a change are made again with the same bytes: digests that earlier versions computed."""

import platform

import pytest

from tests.fl.strategies.playing import Rounds, noise

# strategy, its options as they were stored then: the digests of the model and of the slots after three rounds.
MADE_BY_0_1_0 = [
    ("fedavg", {"server_lr": 1.0}, "6a063378e00288bad22c4bbce6b17f14ca9064148f6e7b6f127d355dd4c5edd3", None),
    ("fedavg", {"server_lr": 0.5}, "16628926970b20926d4b1af5cc99957ebdfb9efabd964b51f94db8864bcbe9e5", None),
    ("fedmedian", {}, "ab34c251f4f15217ccd5fea3a08f703035a2f38ee234de302599e6ab42b3da04", None),
    (
        "fedadam",
        {"server_lr": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 0.001},
        "bec82bab3a95b7eb4eaf8f3fa142793cfade34a11dcf821c152a774557a262ab",
        "22e8d7bb1e056669410d5ada1049d49fa44afae6ab92190ec16c7895c29a8b96",
    ),
]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="others may round sums elsewhere")
@pytest.mark.parametrize("strategy, options, model, slots", MADE_BY_0_1_0)
def test_a_session_of_an_earlier_version_is_made_again(tmp_path, strategy, options, model, slots):
    game = Rounds(tmp_path, strategy, options).begin({"w": noise(1, 70_001), "b": noise(2, 3).astype("f8")})
    for number in range(3):
        updates = [{"w": noise(10 * number + k, 70_001, 0.1), "b": noise(k, 3).astype("f8")} for k in range(4)]
        made = game.play(updates, [3, 700, 20, 9], staleness=[0, 0, 2, 0])
    assert (made.digest, made.slots_digest) == (model, slots)
