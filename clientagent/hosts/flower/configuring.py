"""How an app's config becomes options of a session, and how a session's settings become the app's config again.

An app knows two configs: its own (`context.run_config`, from pyproject.toml), and the one that the server sends with
each round (`message.content["config"]`). Here both come from the session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clientagent.errors import Misconfigured
from clientagent.hosts.flower.project import Scalar
from clientagent.work import DECLARED
from federation.fl import options
from federation.fl.options import Option
from federation.fl.workloads.declaration import TRAINING

# What a session sets for every workload, and what apps call it.
TRAIN_NAMES: Mapping[str, tuple[str, ...]] = {
    "epochs": ("local-epochs", "epochs", "num-epochs"),
    "batch_size": ("batch-size",),
    "learning_rate": ("learning-rate", "lr"),
}
# What a session decides, whatever an app's config says: how many rounds there are, and who is asked.
OF_THE_SERVER = re.compile(r"(num-server-rounds|num-rounds|fraction-\w+|min-\w+-(nodes|clients))")


def plain(key: str) -> str:
    """A key as it is compared: apps write local-epochs, local_epochs or train.local-epochs."""
    return key.lower().replace("_", "-").rpartition(".")[2]


def setting_of(key: str, value: Scalar) -> str:
    """Which training setting of a session a key of an app's config is; empty if it is none, or has no such value."""
    for name, keys in TRAIN_NAMES.items():
        declared = next(option for option in TRAINING if option.name == name)
        if plain(key) in keys and not options.faults({name: value}, [declared], ""):
            return name
    return ""


@dataclass(frozen=True, slots=True)
class Configuring:
    """Of one app. values: its config. keys: which of them each option is. settings: which setting some of them are.

    train_defaults: the app's own values of those.
    """

    values: Mapping[str, Scalar]
    options: tuple[Option, ...]
    keys: Mapping[str, str]
    settings: Mapping[str, str]
    train_defaults: Mapping[str, float]

    def run_config(self, given: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Scalar]:
        """The app's config with a session's options (`given`) and training settings (of the work's `config`)."""
        chosen = {key: given[name] for name, key in self.keys.items() if name in given}
        trained = {key: config[setting] for key, setting in self.settings.items() if setting in config}
        return {**self.values, **chosen, **trained}

    def sent(self, given: Mapping[str, Any], config: Mapping[str, Any], round_: int) -> dict[str, Scalar]:
        """What Flower's server would send with a round: all of it, by the names that apps use."""
        more: dict[str, Scalar] = {"server-round": round_}
        for setting, names in TRAIN_NAMES.items():
            if setting in config:
                more |= dict.fromkeys(names, config[setting])
        of_strategy = {name: value for name, value in config.items() if name not in DECLARED}
        more |= {name.replace("_", "-"): value for name, value in of_strategy.items()}
        both = {**{name.replace("-", "_"): value for name, value in more.items()}, **more}
        return {**both, **self.run_config(given, config)}


def of(config: Mapping[str, Scalar]) -> Configuring:
    """What a session can set of an app's config. Raises Misconfigured naming a key that cannot be an option."""
    settings = {key: name for key, value in config.items() if (name := setting_of(key, value))}
    keys: dict[str, str] = {}
    found: list[Option] = []
    for key, value in config.items():
        if key in settings or OF_THE_SERVER.fullmatch(plain(key)):
            continue
        name = re.sub(r"\W", "_", key, flags=re.ASCII)
        if name in keys:
            raise Misconfigured(
                f"The app's config has {keys[name]!r} and {key!r}, which would be the same option {name!r} of a "
                "session. Rename one of them."
            )
        keys[name] = key
        found.append(Option(name, type(value), value, label=key))
    defaults = options.check({name: config[key] for key, name in settings.items()}, TRAINING, "app")
    own = {name: value for name, value in defaults.items() if name in settings.values()}
    return Configuring(config, tuple(found), keys, settings, own)
