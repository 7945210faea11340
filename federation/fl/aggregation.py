"""The engine that makes the next global model of a round's update files.

It streams all files side by side, block by block: memory depends neither on the number of clients
nor on the size of the model. Several blocks are read and computed at once; they are written, hashed
and compared in their order, so that the number of threads changes nothing. A strategy computes in
float64 and the result is rounded once, when it is written: rounding the step before adding it was
off by 209,715 float32 ulp where terms cancel.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from federation.fl import parallel, streams, weights
from federation.fl.deltas import DeltaReader
from federation.fl.strategies.strategy import Block, Plan, Strategy, Updates, weighted_sum
from federation.fl.streams import Layout, Reader, Span, Writer
from federation.fl.weights import FLOATS, Array, WeightsError, shown

Result = TypeVar("Result")


class AggregationError(ValueError):
    """The updates cannot be aggregated. str(error) is a sentence for a person, and names the tensor."""


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """One accepted update. num_examples: 1 or more; staleness: versions behind; metrics: final numbers."""

    path: Path
    num_examples: int
    staleness: int = 0
    metrics: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What was written, and how the updates compare, in seat order.

    norms: each update's L2 norm. cosines: of the angle between it and the step that the model took;
    0.0 where undefined. Both are over all float tensors, for people to look at, and computed in
    the tensors' own precision.
    """

    digest: str
    num_bytes: int
    slots_digest: str | None
    norms: list[float]
    cosines: list[float]


def aggregate(
    strategy: Strategy,
    *,
    base: Path,
    base_slots: Path | None,
    updates: Sequence[UpdateFile],
    out: Path,
    out_slots: Path,
    seed: int,
    population: int | None = None,
    on_block: Callable[[], None],
) -> Aggregated:
    """Write the next model to ``out`` and, if the strategy has slots, these to ``out_slots``.

    updates: in seat order, which is the order of summation: the same files give the same bytes.
    base_slots: what the same strategy wrote with ``base``; None starts from zeros. Slots are float64,
    so that what is stored is what was computed, in one tensor "<slot>/<tensor>" for each float tensor.
    seed: of the strategy's ``block.rng``. population: how many clients could have been asked.
    on_block: called between blocks; what it raises aborts.

    Integer tensors move by the mean of their deltas, weighted by the plan's shares in float64 and
    rounded half to even. Raises AggregationError for a file that does not fit the base, or a result
    that is not finite or does not fit its integer type. After any error nothing is left at ``out``
    and ``out_slots``.
    """
    if not updates or any(update.num_examples < 1 for update in updates):
        raise AggregationError("There must be an update, and each must count at least one example.")
    with _all_or_nothing(out, out_slots), ExitStack() as stack:
        tensors = streams.layout(weights.read_header(base))
        inputs = _Inputs(
            tensors,
            stack.enter_context(Reader([(base, "")], tensors)),
            stack.enter_context(DeltaReader([update.path for update in updates], tensors)),
            _slot_reader(stack, strategy.slots, base_slots, tensors),
            strategy.slots,
            len(updates),
            seed,
            on_block,
        )
        plan = strategy.prepare(_summary(updates, population, inputs))
        model = stack.enter_context(Writer(out, tensors))
        slots = _slot_writer(stack, strategy.slots, out_slots, tensors)
        compared = np.zeros((3, len(updates)))
        for made in inputs.map(partial(_make, strategy, plan, inputs), inputs.spans()):
            model.write(made.span.name, made.span.start, made.values)
            if slots is not None:
                for slot, values in made.slots.items():
                    slots.write(f"{slot}/{made.span.name}", made.span.start, values)
            compared += made.compared
        return Aggregated(
            model.digest(on_block),
            model.num_bytes,
            slots.digest(on_block) if slots is not None else None,
            _norms(compared),
            _cosines(compared),
        )


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The model, its slots and the updates, to be read as blocks. slots: None at the start of a session."""

    tensors: Layout
    base: Reader
    updates: DeltaReader
    slots: Reader | None
    slot_names: tuple[str, ...]
    num_updates: int
    seed: int
    on_block: Callable[[], None]

    def spans(self) -> Iterator[Span]:
        return streams.spans(self.tensors, self.num_updates)

    def map(self, function: Callable[[Span], Result], spans: Iterable[Span]) -> Iterator[Result]:
        """function(span) in the order of spans, several at once on threads; on_block in between, on this one."""
        for result in parallel.in_order(partial(_quiet, function), spans, parallel.threads()):
            yield result
            self.on_block()

    def block(self, span: Span) -> Block:
        base = weights.widen(self.base.read(span)[0], span.dtype).astype(np.float64)
        deltas = self.updates.read(span)
        slots = self.slots.read(span) if self.slots else np.zeros((len(self.slot_names), len(base)))
        seed = (self.seed, span.index, span.start)
        return Block(span.name, base, deltas, dict(zip(self.slot_names, slots, strict=True)), seed)

    def reduce(self, function: Callable[[Block], Array]) -> Array:
        floats = (span for span in self.spans() if span.dtype in FLOATS)
        return np.asarray(sum(self.map(lambda span: function(self.block(span)), floats)))


def _quiet(function: Callable[[Span], Result], span: Span) -> Result:
    """What overflows is noticed where it is stored. numpy keeps such settings for each thread."""
    with np.errstate(all="ignore"):
        return function(span)


@dataclass(frozen=True, slots=True)
class _Made:
    """A block of the next model and of its slots, as they are stored. compared: see _compare."""

    span: Span
    values: Array
    slots: Mapping[str, Array]
    compared: Array


def _make(strategy: Strategy, plan: Plan, inputs: _Inputs, span: Span) -> _Made:
    if span.dtype not in FLOATS:
        return _Made(span, _integers(inputs, span, plan.share), {}, np.zeros((3, inputs.num_updates)))
    block = inputs.block(span)
    new, new_slots = strategy.step(plan, block)
    return _Made(
        span,
        _finite(weights.narrow(new, span.dtype), span.dtype, span.name),
        {slot: _finite(new_slots[slot], "F64", span.name) for slot in strategy.slots},
        _compare(block.deltas, new - block.base),
    )


def _compare(deltas: Array, step: Array) -> Array:
    """Scalar products of each update with itself, with the step, and of the step with itself: (3, n).

    In the updates' precision; again in float64 where that overflows.
    """
    step, products = step.astype(deltas.dtype), np.empty((3, len(deltas)))
    products[0] = np.vecdot(deltas, deltas)
    products[1] = deltas @ step
    products[2] = step @ step
    if deltas.dtype == np.float32 and not np.isfinite(products).all():
        return np.hstack([_compare(row[np.newaxis].astype(np.float64), step) for row in deltas])
    return products


def _norms(compared: Array) -> list[float]:
    return [min(math.sqrt(square), sys.float_info.max) for square in compared[0].tolist()]


def _cosines(compared: Array) -> list[float]:
    squares, products, step_squares = compared
    with np.errstate(all="ignore"):
        cosines = products / (np.sqrt(squares) * np.sqrt(step_squares))
    return [min(1.0, max(-1.0, cosine)) if math.isfinite(cosine) else 0.0 for cosine in cosines.tolist()]


@contextmanager
def _all_or_nothing(*outputs: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        for path in outputs:
            path.unlink(missing_ok=True)
        if isinstance(error, WeightsError):
            raise AggregationError(str(error)) from error
        raise


def _slot_reader(stack: ExitStack, slots: tuple[str, ...], path: Path | None, tensors: Layout) -> Reader | None:
    if path is None or not slots:
        return None
    like = {name: ("F64", shape) for name, (_, shape) in streams.floats(tensors).items()}
    return stack.enter_context(Reader([(path, f"{slot}/") for slot in slots], like))


def _slot_writer(stack: ExitStack, slots: tuple[str, ...], path: Path, tensors: Layout) -> Writer | None:
    return stack.enter_context(Writer(path, streams.slot_layout(slots, tensors))) if slots else None


def _summary(updates: Sequence[UpdateFile], population: int | None, inputs: _Inputs) -> Updates:
    return Updates(
        num_examples=np.array([update.num_examples for update in updates], np.int64),
        staleness=np.array([update.staleness for update in updates], np.int64),
        metrics=[update.metrics for update in updates],
        population=population,
        reduce=inputs.reduce,
    )


def _finite(stored: Array, dtype: str, tensor: str) -> Array:
    if not weights.all_finite(stored, dtype):
        raise AggregationError(f"{shown(tensor)} would hold a value that is not finite.")
    return stored


def _integers(inputs: _Inputs, span: Span, share: Array) -> Array:
    """The new values of an integer block, in its own type."""
    base = inputs.base.read(span)[0]
    step = np.rint(weighted_sum(inputs.updates.read(span), share))
    limits = np.iinfo(base.dtype)
    # 2.0**63 and 2.0**31 are floats exactly, the largest int64 is not: hence "<" above and ">=" below.
    if not ((step >= float(limits.min)) & (step < -float(limits.min))).all():
        raise AggregationError(f"{shown(span.name)} would move further than {base.dtype} can hold.")
    new: Array = base + step.astype(base.dtype)
    if ((new < base) != (step < 0)).any():
        raise AggregationError(f"{shown(span.name)} would become larger than {base.dtype} can hold.")
    return new
