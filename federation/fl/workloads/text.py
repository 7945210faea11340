"""Texts and their classes: a bag of words, or a small transformer, whole or by adapters beside a frozen one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.fl import sampling
from federation.fl.measures import Measure, scores
from federation.fl.measures.classification import ACCURACY
from federation.fl.measures.loss import LOSS
from federation.fl.options import Option
from federation.fl.weights import Array
from federation.fl.workloads import copies, lora, marked, own, site_files, text_files, training
from federation.fl.workloads.own import OwnWorkload
from federation.fl.workloads.site_files import folder_of, misfit_of_classes, names_of
from federation.fl.workloads.text_files import PADDING, Tokens
from federation.fl.workloads.workload import Data, source_digest

if TYPE_CHECKING:
    import torch

SOURCE = source_digest(
    *(__file__, *training.SOURCES, own.__file__, text_files.__file__),
    *(site_files.__file__, marked.__file__, copies.__file__, lora.__file__, sampling.__file__),
)
HEADS, LAYERS = 4, 2
ADAPTED: Mapping[str, str] = {  # the matrices of a layer
    "attention_in": "self_attn.in_proj_weight",
    "attention_out": "self_attn.out_proj.weight",
    "inner_in": "linear1.weight",
    "inner_out": "linear2.weight",
}
OPTIONS = (
    Option("classes", str, "no,yes", label="Classes", help="As folders or labels are called, with commas between."),
    Option("network", str, "bag", choices=("bag", "transformer"), help="A bag ignores the order, and is much faster."),
    Option("tokens", str, "words", choices=("words", "bytes"), help="Words are hashed; bytes need no vocabulary."),
    Option("vocabulary", int, 8192, minimum=16, maximum=1_000_000, help="Into so many numbers words are hashed."),
    Option("length", int, 256, minimum=1, maximum=4096, label="Longest text", help="Tokens; the rest is cut off."),
    Option("width", int, 64, minimum=HEADS, maximum=1024, help=f"Of each token's vector; a multiple of {HEADS}."),
    Option(
        "trained", str, "whole", choices=("whole", "lora"), label="What is trained",
        help="LoRA: small adapters beside a frozen transformer that all sites have. Only they are sent.",
    ),
    Option("rank", int, 4, minimum=1, maximum=256, label="Rank of adapters", help="Of LoRA: how much they can learn."),
)  # fmt: skip


class Text(OwnWorkload):
    """Folders of .txt files that are called like the classes, or CSV files with the columns text and label."""

    name = "text"
    title = "Texts"
    summary = "Your own texts, in a folder for each class or in a CSV file, and what class they are of."
    options: tuple[Option, ...] = OPTIONS
    measures: tuple[Measure, ...] = (ACCURACY, LOSS)
    is_read_by_options = True
    train_defaults: Mapping[str, float] = {"epochs": 2, "batch_size": 32, "learning_rate": 0.5}

    def digest(self) -> str:
        return SOURCE

    def problem(self, options: Mapping[str, Any]) -> tuple[str, str] | None:
        if wrong := misfit_of_classes(names_of(options["classes"])):
            return wrong
        if options["network"] == "transformer" and options["width"] % HEADS:
            return "width", f"width must be a multiple of {HEADS} for a transformer."
        if options["network"] == "bag" and options["trained"] == "lora":
            return "trained", "trained must be whole for a bag: LoRA adapts a transformer."
        return None

    def model(self, options: Mapping[str, Any]) -> torch.nn.Module:
        count, classes = tokens_of(options).count, len(names_of(options["classes"]))
        if options["network"] == "bag":
            return _bag(count, options["width"], classes)
        if options["trained"] == "lora":
            return _adapted(count, options["width"], options["length"], classes, options["rank"])
        return _transformer(count, options["width"], options["length"], classes)

    def data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        return text_files.read(folder_of(folder, "are the texts"), names_of(options["classes"]), tokens_of(options))

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels, reduction="none")

    def odds(self, outputs: Array) -> Array:
        return scores.of_softmax(outputs)


def tokens_of(options: Mapping[str, Any]) -> Tokens:
    return Tokens(options["tokens"], options["vocabulary"], options["length"])


def _bag(tokens: int, width: int, classes: int) -> torch.nn.Module:
    """(n, length) token numbers -> (n, classes) logits: of the mean vector of a text's tokens."""
    from torch import nn

    return nn.Sequential(nn.EmbeddingBag(tokens, width, padding_idx=PADDING), nn.Linear(width, classes))


def _transformer(tokens: int, width: int, length: int, classes: int) -> torch.nn.Module:
    """(n, length) token numbers -> (n, classes) logits: two layers with four heads (Vaswani et al. 2017), averaged."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(tokens, width, padding_idx=PADDING)
            self.places = nn.Parameter(torch.randn(length, width) * 0.02)
            layer = nn.TransformerEncoderLayer(
                width, HEADS, 4 * width, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"
            )
            self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
            self.last = nn.Linear(width, classes)

        def forward(self, text: torch.Tensor) -> torch.Tensor:
            there = text != PADDING
            there[:, 0] = True  # an empty text has one token, the padding
            found = self.layers(self.tokens(text) + self.places, src_key_padding_mask=~there)
            weight = there.unsqueeze(-1).to(found.dtype)
            logits: torch.Tensor = self.last((found * weight).sum(dim=1) / weight.sum(dim=1))
            return logits

    return Network()


def adapters(width: int, rank: int) -> dict[str, tuple[int, ...]]:
    """The shapes of all adapters, by their names in the state_dict."""
    matrices = dict(
        zip(ADAPTED, ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width)), strict=True)
    )
    every = (lora.tensors(f"{n}_{name}", shape, rank) for n in range(LAYERS) for name, shape in matrices.items())
    return {name: shape for one in every for name, shape in one.items()}


def _adapted(tokens: int, width: int, length: int, classes: int, rank: int) -> torch.nn.Module:
    """The transformer with frozen weights, the same everywhere, adapters for its layers' matrices and a last layer."""
    import torch
    from torch import nn

    with torch.device("meta"):
        network = _transformer(tokens, width, length, classes)
    shapes = {name: tuple(one.shape) for name, one in network.named_parameters() if not name.startswith("last.")}
    frozen = lora.frozen(shapes, embeddings=("tokens.weight",))
    adapt = {f"{n}_{name}": f"layers.layers.{n}.{one}" for n in range(LAYERS) for name, one in ADAPTED.items()}
    return lora.beside(network, frozen, adapt=adapt, last=nn.Linear(width, classes), rank=rank)
