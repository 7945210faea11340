"""Torch modules, state_dicts, arrays and files as named tensors, and which of them leave a site."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clientagent.library import models
from clientagent.library.models import Diverged, ModelError
from federation.fl import weights
from tests.fl.networks import batch_norm, every_type, linear


def test_a_module_of_every_type_is_the_same_after_a_difference_is_added(tmp_path: Path):
    base, trained = every_type(), every_type()
    with torch.no_grad():
        for tensor in trained.state_dict().values():
            tensor.add_(1)
    models.write(tmp_path / "base", base)
    models.write_difference(tmp_path / "difference", models.shared(trained), tmp_path / "base", {})
    difference, before = weights.load(tmp_path / "difference"), weights.load(tmp_path / "base")
    assert {n: a.dtype for n, a in difference.items()} == {n: a.dtype for n, a in before.items()}
    for name, tensor in trained.state_dict().items():
        if tensor.dtype is torch.bfloat16:
            continue  # its sum rounds
        rounding = 2e-3 if before[name].dtype == np.float16 else 1e-6
        np.testing.assert_allclose(before[name] + difference[name], tensor.numpy(), rtol=rounding)


def test_loading_gives_the_very_bytes_that_were_written(tmp_path: Path):
    written, into = every_type(), every_type()
    with torch.no_grad():
        for tensor in into.state_dict().values():
            tensor.zero_()
    models.write(tmp_path / "file", written)
    models.load(tmp_path / "file", into)
    for name, tensor in written.state_dict().items():
        assert torch.equal(tensor, into.state_dict()[name]), name


def test_the_statistics_of_a_module_are_named(tmp_path: Path):
    models.write(tmp_path / "file", batch_norm())
    told = json.loads(weights.read_header(tmp_path / "file").metadata["buffers"])
    assert any(name.endswith("running_var") for name in told) and not any(name.endswith("weight") for name in told)


@pytest.mark.parametrize(
    "only", [["0.*"], lambda name: name.startswith("0."), "trainable"], ids=["globs", "function", "trainable"]
)
def test_only_what_is_chosen_leaves_the_site(only: models.Only, tmp_path: Path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    model[1].requires_grad_(False)
    models.write(tmp_path / "base", model, only)
    assert set(weights.read_header(tmp_path / "base").tensors) == {"0.weight", "0.bias"}
    own = model[1].weight.clone()
    with torch.no_grad():
        model[0].weight.zero_()
    models.load(tmp_path / "base", model, only)
    assert torch.equal(model[1].weight, own) and model[0].weight.abs().sum() > 0


def test_a_choice_of_nothing_is_refused():
    with pytest.raises(ModelError, match="leaves no tensor of the model, which has weight, bias"):
        models.shared(torch.nn.Linear(1, 1), ["head.*"])
    with pytest.raises(ModelError, match='only="lora" is not known'):
        models.shared(torch.nn.Linear(1, 1), "lora")
    with pytest.raises(ModelError, match=r"only=\[1\] is not known"):
        models.shared(torch.nn.Linear(1, 1), [1])  # type: ignore[list-item]


def test_a_name_chooses_itself_whatever_signs_it_has():
    model = {name: np.zeros(1) for name in ("['head']['w']", "['body']['w']", "[h]", "h", "a?b")}
    assert set(models.shared(model, ["['head']*", "[h]"])) == {"['head']['w']", "[h]"}
    assert set(models.shared(model, list(model))) == set(model)


def test_a_choice_by_a_function_is_asked_once_of_each_name():
    asked: list[str] = []
    models.shared({str(n): np.zeros(1) for n in range(50)}, lambda name: asked.append(name) or True)
    assert sorted(asked) == sorted(map(str, range(50)))


@pytest.mark.parametrize("number", [np.float32(1), np.zeros(2, np.float32)], ids=["a number", "read only"])
def test_a_model_that_cannot_be_written_is_named_before_any_of_it_is_changed(tmp_path: Path, number: np.ndarray):
    if isinstance(number, np.ndarray):
        number.flags.writeable = False
    model = {"a": np.zeros(2, np.float32), "b": number}
    models.write(tmp_path / "base", {"a": np.ones(2, np.float32), "b": np.ones_like(number)})
    with pytest.raises(ModelError, match="b cannot be changed where it is"):
        models.load(tmp_path / "base", model)
    assert not model["a"].any()


@pytest.mark.parametrize("order", ["<", ">"])
def test_whole_numbers_of_16_bits_are_no_floats(tmp_path: Path, order: str):
    with pytest.raises(ModelError, match="counts has the type uint16. Allowed are float64"):
        models.write(tmp_path / "base", {"counts": np.ones(2, f"{order}u2")})


def test_a_model_that_does_not_fit_is_not_changed(tmp_path: Path):
    models.write(tmp_path / "base", linear())
    model = torch.nn.Linear(7, 3)
    before = model.weight.clone()
    with pytest.raises(ModelError, match=r"has shape \[3\], but the session's model has \[2\]"):
        models.load(tmp_path / "base", model)
    assert torch.equal(model.weight, before)


def test_a_file_is_nothing_to_load_into(tmp_path: Path):
    models.write(tmp_path / "base", linear())
    with pytest.raises(ModelError, match="into a torch module, a state_dict or a dict of NumPy arrays, no file"):
        models.load(tmp_path / "base", tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == [tmp_path / "base"]


def test_what_is_no_model_is_named():
    with pytest.raises(ModelError, match="A model is a torch module, .* not float."):
        models.shared(1.0)
    with pytest.raises(ModelError, match="mask has the type bool. Allowed are float64"):
        models.dtype_of("mask", np.zeros(2, bool))


def test_a_compiled_or_distributed_module_has_the_names_of_the_bare_one():
    class DistributedDataParallel(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

    assert set(models.shared(DistributedDataParallel(torch.nn.Linear(1, 1)))) == {"weight", "bias"}


def test_floats_of_another_precision_are_rounded_to_that_of_the_session(tmp_path: Path):
    models.write(tmp_path / "base", {"w": torch.zeros(3, dtype=torch.bfloat16)})
    models.write_difference(tmp_path / "d", {"w": np.array([1.0, 2.0, 0.1], np.float32)}, tmp_path / "base", {})
    expected = torch.tensor([1.0, 2.0, 0.1]).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(weights.load(tmp_path / "d")["w"], expected)
    assert models.readable(tmp_path / "base")["w"].dtype == np.float32


def test_a_tensor_larger_than_a_block_is_whole(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(models, "BLOCK", 7)
    base = {"w": np.arange(50, dtype=np.float32).reshape(5, 10)}
    models.write(tmp_path / "base", base)
    digest = models.write_difference(tmp_path / "d", {"w": base["w"] * 3}, tmp_path / "base", {"a": "b"})
    np.testing.assert_array_equal(weights.load(tmp_path / "d")["w"], base["w"] * 2)
    assert digest == weights.save(tmp_path / "again", {"w": base["w"] * 2}, {"a": "b"})


def test_a_difference_beyond_the_type_is_named(tmp_path: Path):
    most = np.finfo(np.float32).max
    models.write(tmp_path / "base", {"w": np.array([-most], np.float32)})
    with pytest.raises(Diverged, match="the difference of w is not finite"):
        models.write_difference(tmp_path / "d", {"w": np.array([most], np.float32)}, tmp_path / "base", {})
