"""Forms: they read what was typed; whether it can be is for the services to say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from dashboard import overview
from dashboard.kit import formats, protection
from federation import parsing, session_settings, tags
from federation.errors import Invalid
from federation.fl.defences import Defence
from federation.fl.encodings import ENCODINGS
from federation.fl.options import Option
from federation.fl.strategies import STRATEGIES
from federation.fl.workloads import WORKLOADS
from federation.lifecycle import LatePolicy, RoundFailure
from federation.models import GlobalModel, TrainingSession
from federation.services import sessions
from federation.services.models import choosing
from federation.session_settings import Spec

UNITS = {"s": ("seconds", 1), "min": ("minutes", 60), "h": ("hours", 3600), "d": ("days", 86_400)}
LIMITS_OF_TIME = "1 second to 30 days"
NOWHERE = (0, 0)  # no session has this number
PAST = 20  # sessions whose models are offered to start from
PLACED = {  # where the template shows them; what is not here comes last
    "name", "workload", "start_from", "rounds", "round_time", "round_unit", "auto_deadline", "cohort_size",
    "client_tags", "quorum", "seed", "strategy", "compression", "max_retries", "on_round_failure", "late_policy",
    "defences",
    *(option.name for option in session_settings.TRAIN),
}  # fmt: skip
DECLARED: Mapping[str, Mapping[str, Any]] = {"workload": WORKLOADS, "strategy": STRATEGIES, "compression": ENCODINGS}
RENAMED = {"round_seconds": "round_time"} | {f"{kind}.name": kind for kind in DECLARED}


class Whole(forms.CharField):
    """A whole number, empty where it is not required."""

    def to_python(self, value: Any) -> Any:
        text = "".join(str(value if value is not None else "").split())
        if not text:
            return None
        try:
            return int(text[:40])
        except ValueError:
            raise ValidationError(f"{text[:40]!r} is not a whole number.") from None

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {"inputmode": "numeric", "autocomplete": "off"}


class Number(forms.CharField):
    """A finite number."""

    def to_python(self, value: Any) -> Any:
        text = str(value if value is not None else "").strip()
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            raise ValidationError(f"{text[:40]!r} is not a number.") from None
        if not math.isfinite(number):
            raise ValidationError(f"{text[:40]!r} is not a finite number.")
        return number

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        return {"inputmode": "decimal", "autocomplete": "off"}


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


class Switches(forms.CheckboxSelectMultiple):
    """Check boxes with an empty value beside them, which shows that the form had them although none is on.

    One value may contain several, separated by spaces.
    """

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        given = super().value_from_datadict(data, files, name) or ()
        return (given if isinstance(given, str) else " ".join(given)).split()


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
        self.fields["start_from"].widget = forms.Select(
            choices=[("", "Fresh, from the seed"), *_starting_models(chosen)]
        )

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


def pair(text: str) -> tuple[int, int] | None:
    """'7:3' as (session 7, version 3); None for other text."""
    session, version = map(parsing.whole, text.partition(":")[::2])
    return None if session is None or version is None else (session, version)


def _starting_models(chosen: str) -> list[tuple[str, str]]:
    """The last and the best model of recent sessions, and the one that is chosen already."""
    recent = TrainingSession.objects.filter(models__version__gt=0).distinct().order_by("-pk")[:PAST]
    pairs: dict[str, str] = {}
    for result in overview.results(list(recent)):
        for model in (result.last, result.best):
            if model is not None and model.version:
                best = model is result.best
                pairs.setdefault(_key(model), _label(model, result.session, best=best))
    if chosen and chosen not in pairs:
        start = pair(chosen) or NOWHERE
        found = GlobalModel.objects.select_related("session").filter(session=start[0], version=start[1]).first()
        pairs[chosen] = _label(found, found.session, best=False) if found else f"v{start[1]}, session {start[0]}"
    return list(pairs.items())


def _key(model: GlobalModel) -> str:
    return f"{model.session_id}:{model.version}"


def _label(model: GlobalModel, session: TrainingSession, *, best: bool) -> str:
    accuracy = choosing.value(model, "metrics", "accuracy")
    result = "" if accuracy is None else f", accuracy {formats.metric(accuracy)}"
    return f"{session.name}, v{model.version}{' (best)' if best else ''}{result}"


# ---- what a form begins with


def another(session: TrainingSession) -> Spec:
    """The specification of a session, with a name of its own."""
    return replace(sessions.spec_of(session), name=sessions.next_name(session.name))


def initial_of(spec: Spec) -> dict[str, Any]:
    """A specification as the form's initial values."""
    unit = max((key for key, (_, s) in UNITS.items() if spec.round_seconds % s == 0), key=lambda key: UNITS[key][1])
    options = {f"workload.{spec.workload}.{key}": value for key, value in spec.workload_options.items()}
    options |= {f"compression.{spec.compression}.{key}": value for key, value in spec.compression_options.items()}
    options |= {f"strategy.{spec.strategy}.{key}": value for key, value in spec.strategy_options.items()}
    return {
        "name": spec.name,
        "workload": spec.workload,
        "start_from": "{}:{}".format(*spec.start_from) if spec.start_from else "",
        "rounds": spec.rounds,
        "round_time": spec.round_seconds // UNITS[unit][1],
        "round_unit": unit,
        "auto_deadline": spec.auto_deadline,
        "cohort_size": "" if spec.cohort_size is None else spec.cohort_size,
        "client_tags": ", ".join(spec.client_tags),
        "quorum": spec.quorum,
        "seed": spec.seed,
        "strategy": spec.strategy,
        "compression": spec.compression,
        "max_retries": spec.max_retries,
        "on_round_failure": spec.on_round_failure,
        "late_policy": spec.late_policy,
        "defences": " ".join(spec.defences),
        **spec.train,
        **options,
    }


class MoreForm(forms.Form):
    """How many more rounds."""

    rounds = Whole(label="Rounds to train", help_text="One after the other, as soon as clients are free.", initial=5)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        attrs = {"class": "input", "aria-describedby": "id_rounds-e id_rounds-h", "autofocus": True}
        self.fields["rounds"].widget.attrs |= attrs


class InviteForm(forms.Form):
    """How many clients may join by a code, and until when."""

    EXPIRES = {"3600": "in an hour", "86400": "in a day", "604800": "in 7 days", "2592000": "in 30 days", "": "never"}

    uses = Whole(label="Clients", help_text="How many may join by this code.", initial=10)
    expires = forms.ChoiceField(
        label="Expires",
        choices=list(EXPIRES.items()),
        initial="604800",
        required=False,
        help_text="Codes end by themselves.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["uses"].widget.attrs |= {"class": "input", "aria-describedby": "id_uses-e id_uses-h"}
        self.fields["expires"].widget.attrs |= {"class": "select", "aria-describedby": "id_expires-e id_expires-h"}

    @property
    def expires_in_seconds(self) -> int | None:
        seconds = self.cleaned_data["expires"]
        return int(seconds) if seconds else None
