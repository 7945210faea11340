"""What sites tell of a workload that only they have, as tests need it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from federation.fl.measures import Combine, Direction
from tests.properties import odd_texts

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


# ---- what the server takes, however odd it is


def _words(longest: int) -> st.SearchStrategy[str]:
    """Printable texts that would do harm where a page does not escape them."""
    odd = odd_texts | st.sampled_from(
        ["<script>alert(1)</script>", "'\"&{{ 1 }}{% now %}", "..", "a@b%2F", "=1+1", "/"]
    )
    any_ = st.text(st.characters(exclude_categories=("C", "Z")), max_size=min(longest, 30))
    return odd.filter(lambda text: text.isprintable() and len(text) <= longest) | any_


_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**53), 2**53),
    "float": st.floats(-1e30, 1e30) | st.integers(-5, 5),
    "str": _words(500),
    "bool": st.booleans(),
}


@st.composite
def odd_options(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(sorted(_VALUES)))
    default = draw(_VALUES[kind])
    option: dict[str, Any] = {"name": name, "kind": kind, "default": default}
    if draw(st.booleans()):
        option["choices"] = [default, *draw(st.lists(_VALUES[kind], max_size=3))]
    elif kind in ("int", "float") and draw(st.booleans()):
        option |= {"minimum": default, "maximum": default}
    return option | {"help": draw(_words(500)), "label": draw(_words(100))}


@st.composite
def odd_entries(draw: st.DrawFn, names: st.SearchStrategy[str]) -> dict[str, Any]:
    """An entry that the server has to take."""
    options = draw(st.lists(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,9}", fullmatch=True), max_size=3, unique=True))
    measures = draw(st.lists(_words(64).filter(bool), max_size=3, unique=True))
    about = {"direction": st.sampled_from(list(Direction)), "combine": st.sampled_from(list(Combine))}
    return {
        "name": draw(names),
        "version": draw(_words(64)),
        "digest": draw(st.sampled_from([DIGEST, "e" * 64])),
        "title": draw(_words(100)),
        "summary": draw(_words(500)),
        "options": [draw(odd_options(name)) for name in options],
        "measures": [
            {"name": name, "title": draw(_words(100)), "unit": draw(_words(16))} | draw(st.fixed_dictionaries(about))
            for name in measures
        ],
        "train_defaults": draw(st.sampled_from([{}, DEFAULTS, {"learning_rate": 1000, "epochs": 1000}])),
        "num_examples": draw(st.none() | st.integers(0, 10**12)),
        "kinds": draw(st.lists(st.sampled_from([*KINDS, "dance"]), max_size=4)),
    }
