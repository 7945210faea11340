"""The form for a new session. It reads what was typed; the service decides whether it is valid."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django import forms

from dashboard.kit import formats, protection
from dashboard.kit.fields import Number, Switches, Whole
from dashboard.pages.new_session.starting_models import NOWHERE, offered, pair
from federation import session_settings, tags
from federation.errors import Invalid
from federation.fl.defences import Defence
from federation.fl.encodings import ENCODINGS
from federation.fl.options import Option
from federation.fl.strategies import STRATEGIES
from federation.fl.workloads import WORKLOADS
from federation.lifecycle import LatePolicy, RoundFailure
from federation.services import sessions
from federation.session_settings import Spec

UNITS = {"s": ("seconds", 1), "min": ("minutes", 60), "h": ("hours", 3600), "d": ("days", 86_400)}
LIMITS_OF_TIME = "1 second to 30 days"
PLACED = {  # where the template shows them; what is not here comes last
    "name", "workload", "start_from", "rounds", "round_time", "round_unit", "auto_deadline", "cohort_size",
    "client_tags", "quorum", "seed", "strategy", "compression", "max_retries", "on_round_failure", "late_policy",
    "defences",
    *(option.name for option in session_settings.TRAIN),
}  # fmt: skip
DECLARED: Mapping[str, Mapping[str, Any]] = {"workload": WORKLOADS, "strategy": STRATEGIES, "compression": ENCODINGS}
RENAMED = {"round_seconds": "round_time"} | {f"{kind}.name": kind for kind in DECLARED}


def _field(option: Option, **kwargs: Any) -> forms.Field:
    """The field in which one types an option of a workload, a strategy or the training."""
    about: dict[str, Any] = {
        "label": formats.spaced(option.name),
        "help_text": option.help,
        "initial": option.default,
        "required": False,
        **kwargs,
    }
    if option.choices:
        pairs = [(choice, str(choice)) for choice in option.choices]
        return forms.TypedChoiceField(choices=pairs, coerce=_as(option), widget=forms.Select, **about)
    if option.kind is bool:
        return forms.BooleanField(**about)
    if option.kind is int:
        return Whole(**about)
    return Number(**about) if option.kind is float else forms.CharField(**about)


def _as(option: Option) -> Callable[[str], Any]:
    kind = option.kind
    assert isinstance(kind, type), option.name
    return lambda text: kind(text)


class NewSessionForm(forms.Form):
    """Everything that a session is made from, each with a line that explains it."""

    name = forms.CharField(label="Name", help_text="How you will find it again.", required=False)
    workload = forms.CharField(label="Workload", help_text="Network, data and loss, known to both sides.")
    start_from = forms.CharField(
        label="Starting weights", help_text="The model that the first round trains from.", required=False
    )
    rounds = Whole(label="Rounds", help_text="Can be extended later.")
    round_time = Number(label="Time for a round", help_text="At this deadline it closes with whoever has reported.")
    round_unit = forms.ChoiceField(label="Unit", choices=[(key, name) for key, (name, _) in UNITS.items()])
    auto_deadline = forms.BooleanField(
        label="Learn the time for a round",
        help_text="From how long the clients took, once they have reported three times.",
        required=False,
    )
    cohort_size = Whole(
        label="Clients asked", help_text="Drawn anew for every round. Empty: everyone who is online.", required=False
    )
    client_tags = forms.CharField(
        label="Only clients tagged", help_text="One of these tags is enough. Empty: every client.", required=False
    )
    quorum = Whole(label="Quorum", help_text="How many must report. Half of those asked is a good start.")
    seed = Whole(label="Seed", help_text="The same seed and the same updates give the same model.")
    strategy = forms.CharField(label="Aggregation", help_text="How the updates of a round become the next model.")
    compression = forms.CharField(
        label="Compression of updates",
        help_text="Fewer bytes from each client, for slightly coarser updates.",
        required=False,
    )
    max_retries = Whole(label="Retries", help_text="How often a failed round opens again.")
    on_round_failure = forms.ChoiceField(
        label="If a round fails",
        choices=[(policy.value, formats.capital(policy.label)) for policy in RoundFailure],
        initial=RoundFailure.RETRY,
        required=False,
        help_text="After its retries the session fails, or goes on from the last model.",
    )
    late_policy = forms.ChoiceField(
        label="If an update is late",
        choices=[(policy.value, formats.capital(policy.label)) for policy in LatePolicy],
        initial=LatePolicy.DROP,
        required=False,
        help_text="In the next round it counts the less, the older the model that it was trained from.",
    )

    defences = forms.MultipleChoiceField(
        label="Protection against a bad update",
        choices=[(defence.value, protection.SWITCHES[defence][0]) for defence in Defence],
        initial=" ".join(Defence),
        widget=Switches,
        required=False,
        help_text="One bad update does not spoil the others' work. The page shows each case beside its client.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for option in session_settings.TRAIN:
            self.fields[option.name] = _field(option)
        for kind, declared in DECLARED.items():
            for name, one in declared.items():
                for option in one.options:
                    self.fields[f"{kind}.{name}.{option.name}"] = _field(option)
            self.fields[kind].widget = forms.Select(choices=[(one.name, one.title) for one in declared.values()])
        self.fields["cohort_size"].widget.attrs["placeholder"] = "everyone online"
        self.fields["client_tags"].widget.attrs["placeholder"] = "every client"
        self._offer_models()
        self._dress()

    def _offer_models(self) -> None:
        chosen = str(self["start_from"].value() or "")
        self.fields["start_from"].widget = forms.Select(choices=[("", "Fresh, from the seed"), *offered(chosen)])

    def _dress(self) -> None:
        """Classes and the ids of hint and sentence, which the template gives."""
        for name, field in self.fields.items():
            select = isinstance(field.widget, forms.Select)
            kind = "select" if select else "" if isinstance(field, forms.BooleanField) else "input"
            tag = self[name].auto_id
            field.error_messages["required"] = "This cannot be left empty."
            field.widget.attrs |= {"class": kind, "aria-describedby": f"{tag}-e {tag}-h"}
        self.fields["round_unit"].widget.attrs["aria-label"] = "Unit of the time"

    # ---- what the template asks for

    @property
    def other_fields(self) -> list[forms.BoundField]:
        """Settings that have no place of their own in the template."""
        return [self[name] for name in self.fields if "." not in name and name not in PLACED]

    @property
    def switches(self) -> list[dict[str, Any]]:
        """The defences, each with what it does and whether it is on."""
        given = self["defences"].value() or ""
        on = given.split() if isinstance(given, str) else given
        return [
            {"value": one.value, "title": title, "help": help_, "is_on": one.value in on}
            for one, (title, help_) in protection.SWITCHES.items()
        ]

    @property
    def train_fields(self) -> list[forms.BoundField]:
        return [self[option.name] for option in session_settings.TRAIN]

    @property
    def workload_groups(self) -> Iterator[dict[str, Any]]:
        return self._groups("workload", WORKLOADS)

    @property
    def strategy_groups(self) -> Iterator[dict[str, Any]]:
        return self._groups("strategy", STRATEGIES)

    @property
    def compression_groups(self) -> Iterator[dict[str, Any]]:
        return self._groups("compression", ENCODINGS)

    def _groups(self, kind: str, declared: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        chosen = self[kind].value()
        for name, one in declared.items():
            fields = [self[f"{kind}.{name}.{option.name}"] for option in one.options]
            yield {"of": name, "summary": one.summary, "fields": fields, "is_chosen": name == chosen}

    @property
    def train_defaults(self) -> dict[str, dict[str, float]]:
        """What each workload trains well with; filled in when it is chosen."""
        return {name: dict(workload.train_defaults) for name, workload in WORKLOADS.items()}

    @property
    def bad_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name in self.errors]

    # ---- from what was typed to a specification

    def clean(self) -> dict[str, Any]:
        """Ask the service, also where some fields could not be read: one learns of everything at once."""
        try:
            self.spec = sessions.check(self._typed())
        except Invalid as refusal:
            for field, sentence in refusal.errors:
                self._refuse(field, sentence)
        return self.cleaned_data

    def _refuse(self, field: str, sentence: str) -> None:
        name = self._name_of(field)
        if name is None or name not in self.errors:  # what could not be read is said already
            self.add_error(name, self._worded(field, name, sentence))

    def _worded(self, field: str, name: str | None, sentence: str) -> str:
        """A refusal in the words of the form: 'Learning rate must be', not 'learning_rate of train must be'."""
        if name is None:
            return sentence
        label = str(self.fields[name].label)
        if name == "round_time":
            unit = UNITS[self.cleaned_data.get("round_unit") or "s"][0]
            return f"{label} is {self.cleaned_data[name]:g} {unit}: choose {LIMITS_OF_TIME}."
        return re.sub(rf"^{re.escape(field.rpartition('.')[2])}( of [\w.]+)?(?= (is|must) )", label, sentence)

    def _name_of(self, field: str) -> str | None:
        """The form's field for a field of the specification; None: it is said above the form."""
        name = RENAMED.get(field, field).removeprefix("train.")
        for kind in DECLARED:
            name = name.replace(f"{kind}.options.", f"{kind}.{self.cleaned_data.get(kind, '')}.", 1)
        return name if name in self.fields else None

    def typed_or_initial(self) -> Spec:
        """What stands in the form now, whether it can be or not: for an estimate."""
        if self.is_bound:
            self.is_valid()
            return self._typed()
        plain = {name: "" if (value := self[name].value()) is None else value for name in self.fields}
        filled = NewSessionForm(plain)
        filled.is_valid()
        return filled._typed()

    def _typed(self) -> Spec:
        typed, plain = self.cleaned_data, Spec(name="", workload="")

        def number(name: str, default: Any) -> Any:
            value = typed.get(name)
            return default if value is None else value

        seconds = number("round_time", plain.round_seconds) * UNITS[typed.get("round_unit", "s")][1]
        return Spec(
            name=typed.get("name", ""),
            workload=typed.get("workload", ""),
            workload_options=self._options("workload", WORKLOADS),
            rounds=number("rounds", plain.rounds),
            strategy=typed.get("strategy", ""),
            strategy_options=self._options("strategy", STRATEGIES),
            compression=typed.get("compression") or plain.compression,
            compression_options=self._options("compression", ENCODINGS),
            cohort_size=typed.get("cohort_size"),
            client_tags=tags.split(typed.get("client_tags", "")),
            quorum=number("quorum", plain.quorum),
            round_seconds=round(min(max(seconds, -1.0), 1e9)),
            auto_deadline=bool(typed.get("auto_deadline")),
            max_retries=number("max_retries", plain.max_retries),
            on_round_failure=typed.get("on_round_failure") or plain.on_round_failure,
            late_policy=typed.get("late_policy") or plain.late_policy,
            defences=tuple(typed.get("defences", ())) if "defences" in self.data else plain.defences,
            train={o.name: value for o in session_settings.TRAIN if (value := typed.get(o.name)) is not None},
            seed=number("seed", plain.seed),
            start_from=(pair(typed["start_from"]) or NOWHERE) if typed.get("start_from") else None,
        )

    def _options(self, kind: str, declared: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the chosen one; what was left empty gets its default."""
        name = self.cleaned_data.get(kind, "")
        known = declared[name].options if name in declared else ()
        values = {option.name: self.cleaned_data.get(f"{kind}.{name}.{option.name}") for option in known}
        return {key: value for key, value in values.items() if value not in (None, "")}
