"""Sessions of before a change are made again with the same bytes: digests that earlier versions computed."""

import platform

import pytest

from federation.fl.strategies import STRATEGIES, build
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

# The same of every strategy of 0.2.0, of seven updates that tell what clients tell, as the commits that added the
# strategies computed them: 4c23516, 56a5277, 002190e, d030eda.
MADE_BY_0_2_0 = [
    ("fedavg", {}, "906e42787164b6455c85ec48f2214ac5dceb24d3a4917d30a91af20a82eb5a09", None),
    ("bulyan", {}, "46dac0bdbcd1f86bb015cd22d900957e901fcdeb5d6d5f5672db106b49d5251f", None),
    (
        "centered_clipping",
        {},
        "7da415a094e4c084ecb503f7886542885e8a8ece7888d00a575e83a4c415312e",
        "aa5567ab0e4f1bba681570dae7dc09da1ca951f1fdfe6f273edc363808c05b07",
    ),
    ("ditto", {}, "906e42787164b6455c85ec48f2214ac5dceb24d3a4917d30a91af20a82eb5a09", None),
    (
        "fedadagrad",
        {},
        "2a9845baefc93949f7eedd2664d1b80a2924d5f2b4490c1c0c87e21d4cef9264",
        "2c51c778105f3ac3f0bb0aeb804750ae0b5fd3d9bc9a31f2815bbb4077dbcaa2",
    ),
    (
        "fedadam",
        {},
        "528d0017df81ef4ccec96edee8f8b4bcc9c9c7ac0bc96e28e03b5afd2b6396a4",
        "a28837f5f2ba6a2addf289063a0edfad47610c3351b3e51ebcae79f90da0f4c8",
    ),
    (
        "fedavgm",
        {},
        "37084f02785eaee64c522f291536eaf6c678211e5d114af3edb16b518b29fd32",
        "41fa63600ac6fbbb8932aeb11c70352c527a0ca781f87444860763e373670421",
    ),
    (
        "feddyn",
        {},
        "e358783749559057c3dcf5a6d00adf0767676d3c15dd1f3e77059e5118a29d20",
        "0d31277929ee0e6646698111022ebf4e5d71b0b878bbceec523ea50e7e4aa3eb",
    ),
    ("fedexp", {}, "853b79313968dbee9fee363e7f44f9acfffbc02ae13012621f7b519454948b41", None),
    ("fedmedian", {}, "b66ca003bd06a015135ded5ad744e61bda0ce6847a9e100a904c86320a44429d", None),
    ("fednova", {}, "95fb71eca71fff7fb211648026a3fa341d0dfacb81a588d2f140a7eb19726185", None),
    ("fedprox", {}, "906e42787164b6455c85ec48f2214ac5dceb24d3a4917d30a91af20a82eb5a09", None),
    (
        "fedyogi",
        {},
        "f6b3ff8a46d72d833ac210db7a5611e9b6cc2e0846766035435062de2db41608",
        "7488da5e0a76cfbd9d98818190dcc61362d17f6701f9abad2301845db60572fd",
    ),
    ("geometric_median", {}, "44c3dc9fb10eb2805838deb23531d70029601877173eb0f1189da34866f903b5", None),
    ("krum", {}, "06501437badb2ad897e784f1c8589eb6b50e4bfa6a00c13920200db1ebeb8942", None),
    ("multi_krum", {}, "c0462f8e7ade2dacca8b95232412288e75b9312cfed29deb75c6fb14c2eb2ca7", None),
    ("norm_clipping", {}, "789f9c51eaa590737f8cdc0031873dfaa0e47893eac80361885c477331b5707b", None),
    ("qfedavg", {}, "2c1d1a9be6359af1f9f244015eb9dff62a75f61ebf36f358ecd789ee14f98ca4", None),
    (
        "scaffold",
        {},
        "84289f03ad3f2ffce7806214ba392de2b1855fc43e854515c3bca27bcc96e5af",
        "e4ffaf93fca038c5a78128317055b9a6a73584cbed53c2710f3c1e905277ec27",
    ),
    ("trimmed_mean", {}, "48dd7a24bfcf39d9bb13cd44f6d4addd818d8f1c13e32a154e0dbaf3693821c7", None),
    ("fedavg", {"weighting": "equal"}, "585929d42f342f4efcf6295e03221632a05567e55c7debd2ac3ad468a43f5023", None),
    (
        "fedavg",
        {"weighting": "capped", "most_share": 0.4},
        "2500af323e11dcecd0f0596e2ea2514a9ea11e0cbed51d4f60d3fff50b0148bc",
        None,
    ),
    (
        "fedadam",
        {"bias_correction": True},
        "a50e5aed3059cf69a3ab1a6e54e6e8fada9e31dcbd158b336c8415b74b668ec2",
        "1934cd63687c52ebae73ecf60cdb37e30657c6b5ca448b6ab66796e43196b1b1",
    ),
    ("fedmedian", {"before": "mixing"}, "accb86176dfc20f954e0358d52d28cc7208ca991e732d37bdd73f8196b838abd", None),
    ("trimmed_mean", {"before": "mixing"}, "079d7b51fb9c74321639c603b5e99bad3d3d1571ff4fe18d2f02d621ea5f4cfc", None),
    ("multi_krum", {"before": "mixing"}, "0eeafce337d2e502bbce6ab4a42a3ef65f5472a75dfa3827522cbd968df7d233", None),
    (
        "centered_clipping",
        {"before": "bucketing"},
        "9e28a86013e8a3ebd6771a279c80e700c6fda5104c59dda0e179097679b2174e",
        "568bf5ec6f6293fbb5a4feb0790e11085a9951468b9b78925144bdc0925ecafa",
    ),
]

on_this_machine = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="others may round sums elsewhere"
)


@on_this_machine
@pytest.mark.parametrize("strategy, options, model, slots", MADE_BY_0_1_0)
def test_a_session_of_an_earlier_version_is_made_again(tmp_path, strategy, options, model, slots):
    game = Rounds(tmp_path, strategy, options).begin({"w": noise(1, 70_001), "b": noise(2, 3).astype("f8")})
    for number in range(3):
        updates = [{"w": noise(10 * number + k, 70_001, 0.1), "b": noise(k, 3).astype("f8")} for k in range(4)]
        made = game.play(updates, [3, 700, 20, 9], staleness=[0, 0, 2, 0])
    assert (made.digest, made.slots_digest) == (model, slots)


@on_this_machine
@pytest.mark.parametrize("strategy, options, model, slots", MADE_BY_0_2_0)
def test_a_session_of_each_strategy_is_made_again(tmp_path, strategy, options, model, slots):
    game = Rounds(tmp_path, strategy, options).begin({"w": noise(1, 70_001), "b": noise(2, 3).astype("f8")})
    told = [{"local_steps": str(5 + 3 * k), "base_train_loss": str(0.5 + k)} for k in range(7)]
    staleness = [0] * 7 if build(strategy, options).keeps_at_clients else [0, 0, 2, 0, 0, 1, 0]
    for number in range(3):
        updates = [{"w": noise(10 * number + k, 70_001, 0.1), "b": noise(k, 3).astype("f8")} for k in range(7)]
        made = game.play(updates, [3, 700, 20, 9, 40, 1, 5], told, staleness=staleness)
    assert (made.digest, made.slots_digest) == (model, slots)


def test_every_strategy_is_among_what_is_made_again():
    assert {name for name, *_ in MADE_BY_0_2_0} == set(STRATEGIES)
