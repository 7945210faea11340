"""What a session can be asked to be: every setting, declared once.

A declaration is a field of `Spec`: its name, type, default, limits, label, help and group. The check, the API and its
document, the form, the card of settings, comparisons and "run again" are derived from it. A setting's column in
`models.TrainingSession` has its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from federation.fl import early_stop, encodings, local_options, optimizers, workloads
from federation.fl.defences import MOST_MEDIANS, Defence
from federation.fl.encodings import ENCODINGS
from federation.fl.measures import Measure
from federation.fl.optimizers import OPTIMIZERS
from federation.fl.options import Kind, Option
from federation.fl.privacy import clippings
from federation.fl.privacy.clippings import CLIPPINGS
from federation.fl.rates import RATES
from federation.fl.selections import SELECTIONS
from federation.fl.strategies import STRATEGIES
from federation.fl.workloads import WORKLOADS, declaration
from federation.fl.workloads.declaration import Declaration
from federation.fl.workloads.measured import measures_of
from federation.lifecycle import LatePolicy, RoundFailure, Schedule, WorkKind
from federation.schedules import SCHEDULES
from federation.setting_kinds import (
    Choice,
    Globs,
    MeasureName,
    Named,
    NamedWorkload,
    OneOf,
    Seconds,
    SettingKind,
    SomeOf,
    StoredModel,
    Switch,
    Tags,
    Text,
    Together,
    Whole,
)


class Group(StrEnum):
    """The headings of the form, in order."""

    WHAT = "What to train"
    ROUNDS = "Rounds"
    TRAINING = "Training at each client"
    OPTIMIZER = "Optimizer"
    STEPS = "More about each client's training"
    STRATEGY = "Strategy and compression"
    PERSONAL = "What is each site's own"
    PRIVACY = "Privacy"
    QUALITY = "What a good model is"
    FAILURES = "When something goes wrong"
    PROTECTION = "Protection against a bad update"


TRAIN = (
    Option("epochs", int, 1, minimum=1, maximum=1000, help="Passes over a client's own data in each round."),
    Option("batch_size", int, 32, minimum=1, maximum=1_000_000, help="Examples a step. Smaller needs less memory."),
    Option(
        "learning_rate", float, 0.1, minimum=0.0, exclusive_minimum=True, maximum=1000.0,
        help="How far a client moves at each step.",
    ),
)  # fmt: skip
ROUND_SECONDS = 600  # where nothing else is said or learnt
DEFENCES: Mapping[Defence, Choice] = {
    Defence.EXAMPLES: Choice(
        "Cap the number of examples",
        "An update that claims more than twice the number that its client reported counts for that number.",
        "examples capped",
    ),
    Defence.NORMS: Choice(
        "Clip very large updates",
        f"An update larger than {MOST_MEDIANS} times the median is scaled down to that size. This needs three updates.",
        "norms clipped",
    ),
    Defence.FINITE: Choice(
        "Leave out what spoils the model",
        "An update that would make the model infinite is not counted. The round continues if the quorum holds.",
        "model kept finite",
    ),
}


def setting(kind: Kind, *, default: Any = MISSING, make: Callable[[], Any] | None = None, **about: Any) -> Any:
    """A field of `Spec` and its declaration. about: what an `Option` says beside name, kind and default."""
    declared = Option("", kind, make() if make else None if default is MISSING else default, **about)
    if make:
        return field(default_factory=make, metadata={"declared": declared})
    return field(default=default, metadata={"declared": declared})


def trained_well(spec: Any) -> Mapping[str, Any]:
    """What the session's workload trains well with."""
    if spec.told:
        return dict(spec.told.train_defaults)
    return WORKLOADS[spec.workload].train_defaults if spec.workload in WORKLOADS else {}


def measured_by(spec: Any) -> Sequence[Measure]:
    """What the session's workload measures."""
    return measures_of(spec.told or WORKLOADS.get(spec.workload))


@dataclass(frozen=True, slots=True)
class Spec:
    """What a session is to be. `start_from` is (session id, version) of the model to begin with.

    workload_version: of a workload that only sites have; None: not said. declaration: what sites declare of it, which
    the service finds.
    """

    name: str = setting(
        Text(100, "A session needs a name of 1 to 100 characters."),
        label="Name", help="How you will find it again.", group=Group.WHAT,
    )  # fmt: skip
    workload: str = setting(
        NamedWorkload(WORKLOADS, "workload"),
        label="Workload", help="Network, data and loss, known to both sides.", group=Group.WHAT,
    )  # fmt: skip
    workload_options: Mapping[str, Any] = field(default_factory=dict)
    workload_version: str | None = None
    declaration: Mapping[str, Any] | None = None
    equal_digests: bool = setting(
        Switch(), default=False,
        label="Equal digests required",
        help="Of a workload that only sites have: asks only those with the same source as most.", group=Group.WHAT,
    )  # fmt: skip
    rounds: int = setting(
        Whole(), default=10, minimum=1, maximum=100_000,
        label="Rounds", help="Can be extended later.", group=Group.ROUNDS, later=True,
    )  # fmt: skip
    schedule: str = setting(
        Named(SCHEDULES, "schedule"), default=Schedule.SYNCHRONOUS.value,
        label="Schedule", help="Who is asked, when a round closes, and who continues afterwards.", group=Group.ROUNDS,
    )  # fmt: skip
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    strategy: str = setting(
        Named(STRATEGIES, "strategy"), default="fedavg",
        label="Strategy", help="How the updates of a round become the next model.", group=Group.STRATEGY,
    )  # fmt: skip
    strategy_options: Mapping[str, Any] = field(default_factory=dict)
    compression: str = setting(
        Named(ENCODINGS, "compression"), default=encodings.NONE.name,
        label="Compression of updates", help="Fewer bytes from each client, for slightly coarser updates.",
        group=Group.STRATEGY,
    )  # fmt: skip
    compression_options: Mapping[str, Any] = field(default_factory=dict)
    stays: Sequence[str] = setting(
        Globs(), default=(), empty="nothing",
        label="Tensors that stay at the site",
        help="Patterns such as fc2.* for each site's own last layer, or *norm*. Empty: every site has the same model.",
        group=Group.PERSONAL,
    )  # fmt: skip
    frozen: Sequence[str] = setting(
        Globs(), default=(), empty="nothing",
        label="Frozen tensors",
        help="Patterns of tensors that nobody trains, such as *.lora_a for FFA-LoRA. They stay as in version 0.",
        group=Group.PERSONAL,
    )  # fmt: skip
    fine_tune_epochs: int = setting(
        Whole(), default=0, minimum=0, maximum=1000,
        label="Fine-tuning at the end",
        help="Epochs that each site trains the last model on its own data, and measures it again. 0: none.",
        group=Group.PERSONAL,
    )  # fmt: skip
    cohort_size: int | None = setting(
        Whole(), default=None, minimum=1, maximum=100_000, empty="everyone online",
        label="Clients asked", help="Chosen anew for every round. Empty: everyone who is online.", group=Group.ROUNDS,
        shown_with=("schedule", (Schedule.SYNCHRONOUS.value, Schedule.BUFFERED.value)),
    )  # fmt: skip
    selection: str = setting(
        Named(SELECTIONS, "selection"), default=next(iter(SELECTIONS)),
        label="Selection of clients", help="Who is asked where a round asks fewer than are online.",
        group=Group.ROUNDS,
    )  # fmt: skip
    selection_options: Mapping[str, Any] = field(default_factory=dict)
    client_tags: Sequence[str] = setting(
        Tags(), default=(), empty="every client",
        label="Only clients tagged", help="One of these tags is enough. Empty: every client.", group=Group.ROUNDS,
    )  # fmt: skip
    quorum: int = setting(
        Whole(), default=1, minimum=1, maximum=100_000,
        label="Quorum", help="How many must report. Half of those asked is a good start.", group=Group.ROUNDS,
    )  # fmt: skip
    round_seconds: int = setting(
        Seconds(auto="auto_deadline"), default=ROUND_SECONDS, minimum=1, maximum=2_592_000,
        label="Time for a round", help="At this deadline it closes with whoever has reported.", group=Group.ROUNDS,
    )  # fmt: skip
    auto_deadline: bool = setting(
        Switch(part_of="round_seconds"), default=False,
        label="Learn the time for a round",
        help="From how long the clients took, once they have reported three times.", group=Group.ROUNDS,
    )  # fmt: skip
    max_retries: int = setting(
        Whole(), default=2, minimum=0, maximum=100,
        label="Retries", help="How often a failed round opens again.", group=Group.FAILURES,
    )  # fmt: skip
    on_round_failure: str = setting(
        OneOf(RoundFailure), default=RoundFailure.RETRY,
        label="If a round fails", help="After its retries the session fails, or continues from the last model.",
        group=Group.FAILURES,
    )  # fmt: skip
    late_policy: str = setting(
        OneOf(LatePolicy), default=LatePolicy.DROP,
        label="If an update is late", help="In the next round its weight falls with its staleness.",
        group=Group.FAILURES, shown_with=("schedule", (Schedule.SYNCHRONOUS.value, Schedule.OVER_SELECTED.value)),
    )  # fmt: skip
    defences: Sequence[str] = setting(
        SomeOf(Defence, "defence", DEFENCES), default=tuple(Defence),
        label="Protection against a bad update",
        help="One bad update does not spoil the others' work. The page shows each case beside its client.",
        group=Group.PROTECTION,
    )  # fmt: skip
    privacy: str = setting(
        Named(CLIPPINGS, "privacy"), default=clippings.NONE,
        label="Differential privacy", help="Noise hides from whoever has the models whether a client took part.",
        group=Group.PRIVACY,
    )  # fmt: skip
    privacy_options: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = setting(
        Together(TRAIN, trained_well), make=dict,
        label="Training at each client", help="What each client does in a round.", group=Group.TRAINING,
    )  # fmt: skip
    optimizer: str = setting(
        Named(OPTIMIZERS, "optimizer"), default=optimizers.PLAIN.name,
        label="Optimizer", help="How a client turns gradients into steps. It begins anew in each round.",
        group=Group.OPTIMIZER,
    )  # fmt: skip
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    rate_schedule: str = setting(
        Named(RATES, "learning rate schedule"), default=next(iter(RATES)),
        label="Learning rate over the rounds", help="The learning rate above is the highest.", group=Group.OPTIMIZER,
    )  # fmt: skip
    rate_schedule_options: Mapping[str, Any] = field(default_factory=dict)
    local_options: Mapping[str, Any] | None = setting(
        Together(local_options.OPTIONS, is_nothing=local_options.is_usual), default=None, empty="as usual",
        label="More about training", help="What else a client does at each step.", group=Group.STEPS,
    )  # fmt: skip
    seed: int = setting(
        Whole(), default=1, minimum=0, maximum=2**53 - 1,
        label="Seed", help="The same seed and the same updates give the same model.", group=Group.TRAINING,
    )  # fmt: skip
    main_measure: str = setting(
        MeasureName(measured_by), default="", empty="the first one that is measured",
        label="Main measure", help="It says which model is the best. Lists and curves show it first.",
        group=Group.QUALITY,
    )  # fmt: skip
    early_stop: Mapping[str, Any] | None = setting(
        Together(early_stop.OPTIONS), default=None, empty="never",
        label="Early stop",
        help="Ends the session by the main measure.",
        group=Group.QUALITY,
    )  # fmt: skip
    start_from: tuple[int, int] | None = setting(
        StoredModel(), default=None, empty="fresh weights, from the seed",
        label="Starting weights", help="The model that the first round trains from.", group=Group.WHAT,
    )  # fmt: skip

    @property
    def told(self) -> Declaration | None:
        """What sites declare of its workload. None: the server has it, or nobody does."""
        found = declaration.kept(self.declaration) if self.declaration else None
        return found if found and found.name == self.workload else None

    @property
    def is_of_sites(self) -> bool:
        return self.told is not None

    @property
    def follows_settings(self) -> bool:
        """Whether its workload trains with the optimizer and the other settings that are given here."""
        return self.told.follows_settings if self.told else workloads.follows_settings(self.workload)


def _declared() -> Mapping[str, Option]:
    found = (replace(one.metadata["declared"], name=one.name) for one in fields(Spec) if one.metadata)
    return {option.name: option for option in found}


SETTINGS: Mapping[str, Option] = _declared()


FOLLOWED = ("optimizer", "local_options")  # what has an effect only where the workload follows it
OF_SITES = ("equal_digests",)  # what has an effect only for a workload that only sites have
MEASURING = (
    "name",
    "workload",
    "equal_digests",
    "quorum",
    "round_seconds",
    "main_measure",
)  # what holds where nothing is trained


def holds(option: Option, of: Any) -> bool:
    """Whether a setting has an effect, beside the other settings. of: a specification, or a session."""
    if getattr(of, "kind", WorkKind.TRAIN) != WorkKind.TRAIN and option.name not in MEASURING:
        return False
    if (option.name in OF_SITES and not of.is_of_sites) or (option.name in FOLLOWED and not of.follows_settings):
        return False
    return option.shown_with is None or getattr(of, option.shown_with[0]) in option.shown_with[1]


def kind_of(option: Option) -> SettingKind:
    assert isinstance(option.kind, SettingKind), option.name
    return option.kind
