"""An app's config becomes a session's options and training settings, and comes back to the app by its own names."""

from __future__ import annotations

import math

import pytest

from clientagent.errors import Misconfigured
from clientagent.hosts.flower import configuring, records
from clientagent.hosts.flower.project import Scalar

CONFIG: dict[str, Scalar] = {
    "num-server-rounds": 3,
    "fraction-evaluate": 0.5,
    "local-epochs": 2,
    "learning-rate": 0.1,
    "batch-size": 16,
    "model.width": 64,
    "use-cache": True,
    "name": "resnet",
}
WORK = {"epochs": 5, "batch_size": 8, "learning_rate": 0.01, "seed": 7, "proximal_mu": 0.3}


def test_training_settings_are_the_sessions_and_the_rest_are_options():
    found = configuring.of(CONFIG)
    assert found.train_defaults == {"epochs": 2, "learning_rate": 0.1, "batch_size": 16}
    declared = {option.name: (option.kind, option.default, option.label) for option in found.options}
    assert declared == {
        "model_width": (int, 64, "model.width"),
        "use_cache": (bool, True, "use-cache"),
        "name": (str, "resnet", "name"),
    }


def test_a_setting_that_no_session_can_have_is_an_option():
    found = configuring.of({"lr": "auto", "local-epochs": 0})
    assert [option.name for option in found.options] == ["lr", "local_epochs"] and not found.train_defaults


def test_the_app_gets_its_config_with_the_sessions_values():
    given = configuring.of(CONFIG).run_config({"model_width": 32, "use_cache": False, "name": "vit"}, WORK)
    assert given == {
        "num-server-rounds": 3,
        "fraction-evaluate": 0.5,
        "local-epochs": 5,
        "learning-rate": 0.01,
        "batch-size": 8,
        "model.width": 32,
        "use-cache": False,
        "name": "vit",
    }


def test_a_message_has_the_round_and_all_settings_by_the_names_that_apps_use():
    sent = configuring.of({"local-epochs": 2}).sent({}, WORK, 4)
    assert sent["server-round"] == sent["server_round"] == 4
    assert sent["lr"] == sent["learning-rate"] == sent["learning_rate"] == 0.01
    assert sent["local-epochs"] == sent["epochs"] == sent["local_epochs"] == 5
    assert sent["batch-size"] == 8
    assert sent["proximal-mu"] == sent["proximal_mu"] == 0.3, "what a strategy asks for"
    assert "seed" not in sent


def test_two_keys_that_would_be_the_same_option_are_named():
    with pytest.raises(Misconfigured, match="has 'a-b' and 'a.b', which would be the same option 'a_b'"):
        configuring.of({"a-b": 1, "a.b": 2})


@pytest.mark.parametrize(
    ("name", "of_training", "of_an_evaluation"),
    [
        ("train_loss", "train_loss", "train_loss"),
        ("train-acc", "train_accuracy", "train_accuracy"),
        ("eval_loss", "val_loss", "loss"),
        ("eval_acc", "val_accuracy", "accuracy"),
        ("test-f1", "val_f1", "f1"),
        ("val_auc", "val_auc", "auc"),
        ("acc", "accuracy", "accuracy"),
        ("loss", "loss", "loss"),
        ("dice", "dice", "dice"),
        ("evaluation", "evaluation", "evaluation"),
    ],
)
def test_metrics_get_the_names_that_curves_and_measures_have(name: str, of_training: str, of_an_evaluation: str):
    assert (records.trained(name), records.measured(name)) == (of_training, of_an_evaluation)


def test_metrics_that_are_no_numbers_are_named_and_lists_are_numbered():
    told = {"loss": 0.5, "ok": True, "each": [1, 2.5], "huge": 10**400, "note": "good", "raw": b"x", "m" * 60: 1, "": 2}
    found, others = records.numbers(told)
    assert found == {"loss": 0.5, "ok": 1.0, "each_0": 1.0, "each_1": 2.5, "huge": math.inf}
    unprintable = "has a name that is not 1 to 50 printable characters"
    assert others == {"note": "is no number", "raw": "is no number", "m" * 60: unprintable, "": unprintable}


def test_numbered_arrays_come_in_their_order():
    assert records.in_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert records.in_order(["b", "a"]) == ["a", "b"]
    assert records.in_order(["b", "a", "c"], ["c", "b", "a"]) == ["c", "b", "a"]
    assert records.in_order(["b", "a"], ["c"]) == ["a", "b"]
