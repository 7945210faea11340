"""The engine that makes the next global model of a round's update files.

It streams all files side by side, block by block: memory depends neither on the number of clients
nor on the size of the model. Several blocks are read and computed at once; they are written, hashed
and compared in their order, so that the number of threads changes nothing. A strategy computes in
float64 and the result is rounded once, when it is written: rounding the step before adding it was
off by 209,715 float32 ulp where terms cancel.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from federation.fl import blame, comparing, norms, parallel, weights
from federation.fl.defences import Clipping, Defence, clipping
from federation.fl.files import slots, streams
from federation.fl.files.deltas import DeltaReader
from federation.fl.files.statistics import Statistics
from federation.fl.files.streams import Reader, Span, Writer
from federation.fl.files.updates import number
from federation.fl.privacy import mechanism
from federation.fl.privacy.mechanism import NoisedMean, Private, Released
from federation.fl.strategies.strategy import Block, Plan, Strategy, Unsuitable, Updates, weighted_sum
from federation.fl.weights import FLOATS, Array, Layout, WeightsError, shown

Result = TypeVar("Result")

SHORTEST = 1e-30  # of an update that has a direction
LOOKED_AT = 4  # the angles to the others are of every fourth stretch of a large tensor, each round of another one


class AggregationError(ValueError):
    """The updates cannot be aggregated. str(error) is a sentence for a person, and names the tensor."""


class SpoiltModel(AggregationError):
    """The model would hold a value that cannot be stored. rows: the updates to blame."""

    def __init__(self, sentence: str, rows: Sequence[int] = ()) -> None:
        super().__init__(sentence)
        self.rows = tuple(rows)


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """One accepted update. num_examples: 1 or more; staleness: versions behind.

    norm: measured when the update was accepted; the defence against large updates uses it. base: the model that it
    was trained from, if that is another one than the round's.
    """

    path: Path
    num_examples: int
    staleness: int = 0
    norm: float | None = None
    base: Path | None = None


@dataclass(frozen=True, slots=True)
class Aggregated:
    """What was written, and how the updates compare, in seat order.

    norms: each update's L2 norm, before clipping. cosines: of the angle between it
    and the step that the model took; 0.0 where undefined. alignments: of the angle between it and the mean direction of
    the others, each of which counts the same however large it is or many examples it claims; None where undefined. They
    look at a quarter of a large tensor, each round at another one. All are over all float tensors that
    are no buffers, for people to look at, and computed in the tensors' own precision.
    released: what differential privacy did.
    """

    digest: str
    num_bytes: int
    slots_digest: str | None
    norms: list[float]
    cosines: list[float]
    clipped: Clipping | None = None
    released: Released | None = None
    alignments: list[float | None] = field(default_factory=list)


def aggregate(
    strategy: Strategy,
    *,
    base: Path,
    base_slots: Path | None,
    updates: Sequence[UpdateFile],
    out: Path,
    out_slots: Path,
    buffers: Collection[str] | None = None,
    stays: Collection[str] = (),
    defences: Collection[str] = (),
    seed: tuple[int, ...] = (),
    population: int = 0,
    learning_rate: float = 1.0,
    private: Private | None = None,
    on_block: Callable[[], None],
) -> Aggregated:
    """Write the next model to ``out`` and, if the strategy has slots or scalars, these to ``out_slots``.

    updates: in seat order, which is the order of summation: the same files give the same bytes.
    base_slots: what the same strategy wrote with ``base``; None starts from zeros. Slots are float64,
    so that what is stored is what was computed, in one tensor "<slot>/<tensor>" for each float tensor; a scalar is the
    0-d tensor "scalar/<name>".
    buffers: the tensors that are statistics (see `fl.roles`). Each client's values of them are its own base's and its
    delta's sum; the strategy combines these, and the result stays within them. They see no optimizer and no clipping.
    None, for models of before there were roles, makes parameters of all float tensors.
    stays: the tensors that stay at the sites (see `fl.staying`). No update has them, there are no slots for them, and
    the next model has them as the base has.
    defences: names of `Defence`s. With `norms`, updates whose norm exceeds 100 times the median are scaled down to
    that, integer tensors as well. With `finite`, an update is to blame if it alone would give a model that cannot be
    stored; without, only if the model of all updates cannot be stored.
    seed: what the strategy's random choices are drawn from. population, learning_rate: see `Updates`; those of this
    round have taken part in any case.
    private: the strategy sees one update, the noised mean of clipped ones (see `fl.privacy.mechanism`). Buffers and
    integer tensors stay as they are, and no other defence scales an update or leaves one out.
    on_block: called between blocks; what it raises aborts.

    Integer tensors that are no buffers move by the mean of their deltas, weighted by the plan's shares in float64
    and rounded half to even. Raises AggregationError for a file that does not fit the base, for updates that the
    strategy cannot use, or a result that is not finite or does not fit its integer type (SpoiltModel, with the updates
    to blame).
    After any error nothing is left at ``out`` and ``out_slots``.
    """
    if not updates or any(update.num_examples < 1 for update in updates):
        raise AggregationError("There must be an update, and each must count at least one example.")
    with _all_or_nothing(out, out_slots), ExitStack() as stack:
        tensors = streams.layout(weights.read_header(base))
        travelling = {name: spec for name, spec in tensors.items() if name not in stays}
        statistics = {name: travelling[name] for name in travelling if name in (buffers or ())}
        trained = {name: spec for name, spec in travelling.items() if name not in statistics}
        held = () if private else defences
        clipped = clipping([update.norm for update in updates]) if Defence.NORMS in held else None
        inputs = _Inputs(
            tensors,
            stack.enter_context(Reader([(base, "")], tensors)),
            stack.enter_context(DeltaReader([update.path for update in updates], travelling)),
            stack.enter_context(Statistics(base, [update.base for update in updates], statistics)),
            slots.reader(stack, strategy.slots, base_slots, trained),
            strategy.slots,
            frozenset(stays),
            len(updates),
            clipped,
            Defence.FINITE in held,
            on_block,
            _inverse_norms(updates, clipped),
            sum(seed),
        )
        scalars = slots.scalars([*strategy.scalars, *(private.scalars if private else ())], base_slots)
        if private is not None:
            inputs = inputs.noised(private, scalars.get(mechanism.SCALAR, 0.0))
        summary = replace(
            _summary(updates, inputs, scalars, seed),
            population=max(population, len(updates)),
            learning_rate=learning_rate,
        )
        plan = strategy.prepare(summary)
        model = stack.enter_context(Writer(out, tensors))
        kept = {**{name: plan.scalars[name] for name in strategy.scalars}, **inputs.kept}
        kept_slots = slots.writer(stack, strategy.slots, kept, out_slots, trained)
        compared = np.zeros((comparing.COMPARED, len(updates)))
        for made in inputs.map(partial(_make, strategy, plan, inputs), inputs.spans()):
            model.write(made.span.name, made.span.start, made.values)
            if kept_slots is not None:
                for slot, values in made.slots.items():
                    kept_slots.write(f"{slot}/{made.span.name}", made.span.start, values)
            compared += made.compared
        return Aggregated(
            model.digest(on_block),
            model.num_bytes,
            kept_slots.digest(on_block) if kept_slots is not None else None,
            _norms(compared, updates, clipped),
            comparing.cosines(compared),
            clipped,
            inputs.mean.released if inputs.mean else None,
            comparing.alignments(compared, inputs.inverse_norms),
        )


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The model, its slots and the updates, to be read as blocks. slots: None at the start of a session.

    kept: scalars beside the strategy's. mean: all that the strategy sees of the updates; None without privacy.
    """

    tensors: Layout
    base: Reader
    updates: DeltaReader
    statistics: "Statistics"
    slots: Reader | None
    slot_names: tuple[str, ...]
    stays: frozenset[str]
    num_updates: int
    clipped: Clipping | None
    each_alone: bool  # each update alone must leave the model finite
    on_block: Callable[[], None]
    inverse_norms: Array  # by which an update is multiplied to be its direction
    turn: int  # which stretches the angles to the others are of
    mean: NoisedMean | None = None
    kept: Mapping[str, float] = field(default_factory=dict)

    def noised(self, private: Private, kept_clip: float) -> "_Inputs":
        mean = mechanism.noised_mean(private, self.reduce(_squares), kept_clip)
        return replace(self, mean=mean, kept=dict.fromkeys(private.scalars, mean.released.next_clip))

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
        if self.clipped is not None:
            for row in self.clipped.rows:  # in float64, rounded once
                np.multiply(
                    deltas[row], self.clipped.scale[row], out=deltas[row], dtype=np.float64, casting="same_kind"
                )
        slots = self.slots.read(span) if self.slots else np.zeros((len(self.slot_names), len(base)))
        return Block(span.name, base, deltas, dict(zip(self.slot_names, slots, strict=True)))

    def seen(self, block: Block, span: Span) -> Block:
        """A block as the strategy sees it."""
        return block if self.mean is None else self.mean.block(block, span.start)

    def looked_at(self, span: Span) -> int:
        """How much a block counts in the angles to the others: 0 for those that nobody looks at."""
        if math.prod(self.tensors[span.name][1]) <= LOOKED_AT * streams.BLOCK:
            return 1
        return 0 if (span.start // streams.BLOCK + self.turn) % LOOKED_AT else LOOKED_AT

    def reduce(self, function: Callable[[Block], Array]) -> Array:
        trained = (span for span in self.spans() if span.dtype in FLOATS and self._is_trained(span.name))
        return np.asarray(sum(self.map(lambda span: function(self.seen(self.block(span), span)), trained)))

    def is_still(self, span: Span) -> bool:
        """Whether the model keeps these values: they stay at the sites, or noise cannot be added to them."""
        is_noised = span.dtype in FLOATS and span.name not in self.statistics
        return span.name in self.stays or (self.mean is not None and not is_noised)

    def _is_trained(self, name: str) -> bool:
        return name not in self.statistics and name not in self.stays


def _quiet(function: Callable[[Span], Result], span: Span) -> Result:
    """What overflows is noticed where it is stored. numpy keeps such settings for each thread."""
    with np.errstate(all="ignore"):
        return function(span)


@dataclass(frozen=True, slots=True)
class _Made:
    """A block of the next model and of its slots, as they are stored. compared: see `comparing.compare`."""

    span: Span
    values: Array
    slots: Mapping[str, Array]
    compared: Array


def _make(strategy: Strategy, plan: Plan, inputs: _Inputs, span: Span) -> _Made:
    nothing = np.zeros((comparing.COMPARED, inputs.num_updates))
    if inputs.is_still(span):
        return _Made(span, inputs.base.read(span)[0].copy(), {}, nothing)
    if span.name in inputs.statistics:
        return _Made(
            span, _combined(strategy, plan, inputs, span), {}, np.zeros((comparing.COMPARED, inputs.num_updates))
        )
    if span.dtype not in FLOATS:
        return _Made(span, _integers(inputs, span, plan.share), {}, nothing)
    block = inputs.block(span)
    new, new_slots = strategy.step(plan, inputs.seen(block, span))
    stored = weights.narrow(new, span.dtype)
    compared = comparing.compare(block.deltas, new - block.base, inputs.inverse_norms, inputs.looked_at(span))
    if inputs.each_alone and (rows := blame.alone(block, span.dtype, compared[0])):
        raise SpoiltModel(_not_finite(span.name), rows)
    for values, dtype in ((stored, span.dtype), *((new_slots[slot], "F64") for slot in strategy.slots)):
        if not weights.all_finite(values, dtype):
            raise SpoiltModel(_not_finite(span.name), _together(plan, inputs, block, values, dtype))
    return _Made(span, stored, {slot: new_slots[slot] for slot in strategy.slots}, compared)


def _together(plan: Plan, inputs: _Inputs, block: Block, values: Array, dtype: str) -> Sequence[int]:
    """The updates to blame. Nobody, where the strategy saw only their noised mean."""
    return () if inputs.mean else blame.together(block.deltas, plan.weights, values, dtype)


def _squares(block: Block) -> Array:
    """Of each update's norm within a block, (n,) float64."""
    return np.asarray(np.einsum("kd,kd->k", block.deltas, block.deltas, dtype=np.float64, casting="same_kind"))


def _not_finite(tensor: str) -> str:
    return f"{shown(tensor)} would hold a value that is not finite."


def _inverse_norms(updates: Sequence[UpdateFile], clipped: Clipping | None) -> Array:
    """1 / |delta_k| of each update as it counts; 0.0 where it is unknown, or so short that float32 cannot hold it."""
    lengths = np.array([update.norm or np.inf for update in updates]) * (1.0 if clipped is None else clipped.scale)
    return np.where(lengths > SHORTEST, 1 / np.maximum(lengths, SHORTEST), 0.0)


def _norms(compared: Array, updates: Sequence[UpdateFile], clipped: Clipping | None) -> list[float]:
    found = [norms.norm(square) for square in compared[0].tolist()]
    for row in clipped.rows if clipped else ():
        found[row] = updates[row].norm or 0.0
    return found


@contextmanager
def _all_or_nothing(*outputs: Path) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        for path in outputs:
            path.unlink(missing_ok=True)
        if isinstance(error, WeightsError | Unsuitable):
            raise AggregationError(str(error)) from error
        raise


def _summary(
    updates: Sequence[UpdateFile], inputs: _Inputs, scalars: Mapping[str, float], seed: tuple[int, ...]
) -> Updates:
    if inputs.mean is not None:  # one update, of which nothing else is known
        return Updates(np.ones(1, np.int64), np.zeros(1, np.int64), inputs.reduce, scalars, seed=seed)
    return Updates(
        num_examples=np.array([update.num_examples for update in updates], np.int64),
        staleness=np.array([update.staleness for update in updates], np.int64),
        reduce=inputs.reduce,
        scalars=scalars,
        told=partial(_told, updates),
        seed=seed,
    )


def _told(updates: Sequence[UpdateFile], name: str) -> Array:
    """A number of each update's metadata; NaN where there is none."""
    return np.array([number(weights.read_header(update.path).metadata.get(name)) for update in updates], np.float64)


def _combined(strategy: Strategy, plan: Plan, inputs: _Inputs, span: Span) -> Array:
    """The new values of a block of a buffer: what the strategy makes of the clients' own, and never beyond these."""
    values = inputs.statistics.values(span, inputs.updates.read(span))
    lowest, highest = values.min(axis=0), values.max(axis=0)
    combined = strategy.combine(plan, values.astype(np.float64, copy=False))
    if span.dtype not in FLOATS:
        whole = np.clip(np.rint(combined), -(2.0**63), np.nextafter(2.0**63, 0)).astype(np.int64)
        return np.clip(whole, lowest, highest).astype(values.dtype)
    stored = weights.narrow(np.clip(combined, lowest, highest), span.dtype)
    spoilt = not weights.all_finite(stored, span.dtype)
    if inputs.each_alone or spoilt:
        rows = blame.not_finite(values, span.dtype)
        if rows or spoilt:
            raise SpoiltModel(_not_finite(span.name), rows)
    return stored


def _integers(inputs: _Inputs, span: Span, share: Array) -> Array:
    """The new values of an integer block, in its own type."""
    base, deltas = inputs.base.read(span)[0], inputs.updates.read(span)
    share = share if inputs.clipped is None else share * inputs.clipped.scale
    step = np.rint(weighted_sum(deltas, share))
    limits = np.iinfo(base.dtype)
    # 2.0**63 and 2.0**31 are floats exactly, the largest int64 is not: hence "<" above and ">=" below.
    if not ((step >= float(limits.min)) & (step < -float(limits.min))).all():
        sentence = f"{shown(span.name)} would move further than {base.dtype} can hold."
        raise SpoiltModel(sentence, blame.integers(base, deltas, share))
    new: Array = base + step.astype(base.dtype)
    if ((new < base) != (step < 0)).any():
        sentence = f"{shown(span.name)} would become larger than {base.dtype} can hold."
        raise SpoiltModel(sentence, blame.integers(base, deltas, share))
    return new
