"""Adapters beside a frozen transformer: what travels, what is the same everywhere, and what they compute."""

import hashlib

import numpy as np
import pytest
import torch

from federation.fl import workloads
from federation.fl.workloads import TrainConfig, lora, text
from federation.fl.workloads.workload import Data

TEXT = workloads.get("text")
OPTIONS = {"network": "transformer", "trained": "lora", "classes": "ham,spam", "length": 12, "width": 16, "rank": 3}
CONFIG = TrainConfig(epochs=2, batch_size=8, learning_rate=0.3, seed=1)
TOKENS = torch.arange(24).reshape(2, 12)


def data():
    """Texts of small and of large numbers."""
    labels = np.arange(32) % 2
    features = np.random.default_rng(1).integers(1, 50, (32, 12)) + 60 * labels[:, np.newaxis]
    return Data(features, labels, ("ham", "spam"))


def network(**options):
    return TEXT._with(OPTIONS | options).network().eval()


def by_hand(adapted):
    """The whole transformer with the frozen weights and what the adapters add to them."""
    whole = text._transformer(8193, 16, 12, 2).eval()
    shapes = {name: tuple(one.shape) for name, one in whole.named_parameters() if not name.startswith("last.")}
    tensors = {name: torch.from_numpy(one) for name, one in lora.frozen(shapes, ("tokens.weight",)).items()}
    state = adapted.state_dict()
    for n in range(text.LAYERS):
        for name, one in text.ADAPTED.items():
            down, up = (state[f"adapters.{n}_{name}.{part}"] for part in (lora.DOWN, lora.UP))
            tensors[f"layers.layers.{n}.{one}"] += lora.SCALE * up.T @ down.T
    whole.load_state_dict(tensors | {name: state[name] for name in ("last.weight", "last.bias")})
    return whole


def test_adapters_and_the_last_layer_are_all_that_travels():
    model = TEXT.initial_weights(OPTIONS, 1)
    ends = {name.rsplit(".", 1)[1] for name in model}
    assert ends == {"lora_a", "lora_b", "weight", "bias"} and len(model) == 2 * 4 * text.LAYERS + 2
    whole = TEXT.initial_weights(OPTIONS | {"trained": "whole"}, 1)
    sizes = [sum(one.size for one in found.values()) for found in (model, whole)]
    # Two layers of four matrices, (inputs + outputs) * rank each, and the last layer of 16 * 2 + 2.
    assert sizes[0] == 2 * 3 * (64 + 32 + 80 + 80) + 34 == 1570 and sizes[1] > 80 * sizes[0]
    assert TEXT.buffers(OPTIONS) == ()


def test_all_that_travels_is_trained_and_nothing_else():
    model = TEXT.initial_weights(OPTIONS, 1)
    update = TEXT.local_update(model, data(), OPTIONS, CONFIG, lambda *_: True)
    assert update.delta.keys() == model.keys()
    assert all(np.abs(one).max() > 0 for one in update.delta.values())


def test_a_new_model_computes_what_the_frozen_network_does():
    adapted = network()
    assert all(not one.any() for name, one in adapted.state_dict().items() if name.endswith(lora.UP))
    torch.testing.assert_close(adapted(TOKENS), by_hand(adapted)(TOKENS))


def test_a_trained_model_computes_what_the_sum_of_both_does():
    adapted = network()
    with torch.no_grad():
        for one in adapted.parameters():
            one.copy_(torch.randn(one.shape, generator=torch.Generator().manual_seed(3)))
    before, after = network()(TOKENS), adapted(TOKENS)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, by_hand(adapted)(TOKENS), rtol=1e-4, atol=1e-4)


def test_the_frozen_network_is_the_same_for_every_seed_and_machine():
    torch.manual_seed(1)
    first = dict(network().named_buffers())
    torch.manual_seed(2)
    again = dict(network().named_buffers())
    assert all(torch.equal(one, again[name]) for name, one in first.items())
    frozen = lora.frozen({"tokens.weight": (5, 4), "inner.weight": (4, 4), "norm.weight": (4,)}, ("tokens.weight",))
    sha = hashlib.sha256(b"".join(one.tobytes() for one in frozen.values())).hexdigest()
    assert sha == "3da99459548aa7fb3d2e396e7cd8dd0dc15c818bd691512a1afe89220ac0de81"


def test_frozen_weights_have_the_spread_that_is_promised():
    found = lora.frozen({"e.weight": (100, 50), "m.weight": (100, 50), "n.weight": (9,), "n.bias": (9,)}, ("e.weight",))
    assert found["e.weight"].std() == pytest.approx(1.0, abs=0.05)
    assert np.abs(found["m.weight"]).max() == pytest.approx(1 / 50**0.5, rel=0.01)
    assert found["n.weight"].tolist() == [1.0] * 9 and found["n.bias"].tolist() == [0.0] * 9


def test_frozen_weights_move_with_the_network():
    moved = network().to("meta")
    assert {one.device.type for one in (*moved.parameters(), *moved.buffers())} == {"meta"}
