"""What sites tell of a workload that only they have, as tests need it."""

from __future__ import annotations

from typing import Any

NAME, DIGEST = "chest-xray", "d" * 64
KINDS = ["train", "evaluate", "initialise"]
WIDTH = {"name": "width", "kind": "int", "default": 64, "minimum": 1, "maximum": 512, "help": "Channels."}
AUC = {"name": "auc", "title": "AUC", "direction": "max", "unit": "share", "combine": "mean"}
DEFAULTS = {"epochs": 3, "batch_size": 8, "learning_rate": 0.05}


def entry(**change: Any) -> dict[str, Any]:
    """An entry of a catalogue."""
    told: dict[str, Any] = {
        "name": NAME,
        "version": "1.2",
        "digest": DIGEST,
        "title": "Chest X-ray",
        "summary": "Finds pneumonia.",
        "options": [WIDTH],
        "measures": [AUC],
        "train_defaults": DEFAULTS,
        "num_examples": 1200,
        "kinds": KINDS,
    }
    return told | change


def telling(*entries: dict[str, Any], **info: Any) -> dict[str, Any]:
    """The info of an agent with this catalogue."""
    return {"kinds": KINDS, "catalogue": list(entries) or [entry()]} | info
