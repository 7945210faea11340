"""Tables: classes or numbers from the columns of CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.fl.measures import Measure, counted, scores
from federation.fl.measures.classification import ACCURACY
from federation.fl.measures.loss import LOSS
from federation.fl.measures.regression import MAE, MSE
from federation.fl.options import Option
from federation.fl.weights import Array
from federation.fl.workloads import marked, own, site_files, table_files, training
from federation.fl.workloads.own import OwnWorkload
from federation.fl.workloads.site_files import folder_of, misfit_of_classes, names_of
from federation.fl.workloads.table_files import Columns
from federation.fl.workloads.workload import Data, digest_of_one, source_digest

if TYPE_CHECKING:
    import torch

SOURCE = source_digest(
    __file__, *training.SOURCES, own.__file__, table_files.__file__, site_files.__file__, marked.__file__
)
MOMENTUM = 0.05  # of the running statistics by which columns are scaled
TARGET = Option("target", str, "target", label="Target column", help="What is to be predicted.")
NUMBERS = Option("numbers", str, "x1,x2", label="Columns with numbers", help="Their names with commas between.")
CATEGORIES = Option("categories", str, "", label="Columns with words", help="Names with commas between, or none.")
CLASSES = Option("classes", str, "no,yes", label="Classes", help="The values of the target, with commas between.")
NETWORK = (
    Option("network", str, "mlp", choices=("linear", "mlp"), help="linear is linear or logistic regression."),
    Option("hidden", int, 64, minimum=1, maximum=4096, label="Hidden units", help="In each of two layers of an mlp."),
    Option("buckets", int, 16, minimum=2, maximum=4096, help="Into so many numbers the words of a column are hashed."),
    Option("group", str, "", label="Group column", help="Rows of one patient, say, are held out together. Or none."),
)
SCALE = Option(
    "target_scale", float, 1.0, minimum=0.0, exclusive_minimum=True, maximum=1e12,
    help="About how far the target's values lie apart. Predictions are multiplied by it.",
)  # fmt: skip


class Table(OwnWorkload):
    """Classes. Columns are found by name, in whatever order files have them; others are not read."""

    name = "table"
    title = "Table: classes"
    summary = "Your own CSV or Parquet files: a class from columns of numbers and words. Missing values are allowed."
    options: tuple[Option, ...] = (TARGET, CLASSES, NUMBERS, CATEGORIES, *NETWORK)
    measures: tuple[Measure, ...] = (ACCURACY, LOSS)
    is_read_by_options = True
    train_defaults: Mapping[str, float] = {"epochs": 5, "batch_size": 32, "learning_rate": 0.05}

    def digest(self) -> str:
        return digest_of_one(SOURCE, self.name)

    def problem(self, options: Mapping[str, Any]) -> tuple[str, str] | None:
        columns = self.columns(options)
        used = [*columns.numbers, *columns.categories]
        if not used:
            return "numbers", "numbers must name a column, or categories must."
        if repeated := [name for name in used if used.count(name) > 1 or name == columns.target]:
            return "numbers", f"numbers, categories and target name the column {repeated[0]!r} twice."
        if not columns.target:
            return "target", "target must name a column."
        return misfit_of_classes(columns.classes) if "classes" in options else None

    def columns(self, options: Mapping[str, Any]) -> Columns:
        return Columns(
            target=options["target"].strip(),
            numbers=names_of(options["numbers"]),
            categories=names_of(options["categories"]),
            classes=names_of(options.get("classes", "")),
            buckets=options["buckets"],
            group=options["group"].strip(),
        )

    def model(self, options: Mapping[str, Any]) -> torch.nn.Module:
        columns = self.columns(options)
        return _network(columns, max(len(columns.classes), 1), options)

    def data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        return table_files.read(folder_of(folder, "is the table"), self.columns(options))

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels, reduction="none")

    def odds(self, outputs: Array) -> Array | None:
        return scores.of_softmax(outputs)


class TableRegression(Table):
    """Numbers."""

    name = "table_regression"
    title = "Table: numbers"
    summary = "Your own CSV or Parquet files: a number from columns of numbers and words. Missing values are allowed."
    options: tuple[Option, ...] = (TARGET, SCALE, NUMBERS, CATEGORIES, *NETWORK)
    measures: tuple[Measure, ...] = (MAE, MSE, LOSS)

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The squared error, in units of the target's scale."""
        scale: float = self._chosen["target_scale"]
        return (outputs[:, 0] - labels / scale) ** 2

    def predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        scale: float = self._chosen["target_scale"]
        return outputs[:, 0] * scale

    def measure(self, outputs: torch.Tensor, labels: torch.Tensor) -> Mapping[str, float]:
        """In the target's own unit, and its square."""
        off = self.predictions(outputs).double() - labels
        return {"mae": off.abs().mean().item(), "mse": off.square().mean().item()}

    def odds(self, outputs: Array) -> None:
        return None

    def counts(self, outputs: torch.Tensor, data: Data) -> dict[str, Any]:
        return counted.of_numbers(data.labels, self.predictions(outputs).numpy(), self._chosen["target_scale"])


def _network(columns: Columns, outputs: int, options: Mapping[str, Any]) -> torch.nn.Module:
    """(n, numbers + categories) as `table_files.read` gives them -> (n, outputs)."""
    from torch import nn

    width = 2 * len(columns.numbers) + (columns.buckets + 1) * len(columns.categories)
    hidden = options["hidden"]
    prepared = _prepared(len(columns.numbers), columns.buckets)
    if options["network"] == "linear":
        return nn.Sequential(prepared, nn.Linear(width, outputs))
    inner: Sequence[nn.Module] = (nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
    return nn.Sequential(prepared, *inner, nn.Linear(hidden, outputs))


def _prepared(numbers: int, buckets: int) -> torch.nn.Module:
    """A layer without parameters: scales numbers, marks missing ones, spreads categories over their buckets."""
    import torch
    from torch import nn
    from torch.nn.functional import one_hot

    class Prepared(nn.Module):
        """Numbers are scaled by running statistics, in training, too: sites learn them together, as buffers."""

        running_mean: torch.Tensor
        running_var: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("running_mean", torch.zeros(numbers))
            self.register_buffer("running_var", torch.ones(numbers))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            found, words = rows[:, :numbers], rows[:, numbers:].long() + 1  # 0: missing
            is_missing = found.isnan()
            if self.training:
                self._learn(found, is_missing)
            scaled = (found - self.running_mean) / (self.running_var + 1e-5).sqrt()
            parts = [scaled.masked_fill(is_missing, 0.0), is_missing.to(rows.dtype)]
            return torch.cat([*parts, one_hot(words, buckets + 1).flatten(1).to(rows.dtype)], dim=1)

        @torch.no_grad()
        def _learn(self, found: torch.Tensor, is_missing: torch.Tensor) -> None:
            """Move the statistics towards the batch's. Columns of which it has nothing stay as they are."""
            there = (~is_missing).sum(dim=0)
            known, count = there > 0, there.clamp(min=1)
            values = found.masked_fill(is_missing, 0.0)
            old = self.running_mean.clone()
            mean = old + MOMENTUM * (values.sum(dim=0) / count - old)
            spread = ((values - old) * (values - mean)).masked_fill(is_missing, 0.0).sum(dim=0) / count
            self.running_mean.copy_(torch.where(known, mean, old))
            moved = self.running_var + MOMENTUM * (spread - self.running_var)
            self.running_var.copy_(torch.where(known, moved, self.running_var).clamp(min=0.0))

    return Prepared()
