"""How a form takes each kind of setting: its fields, what was typed, its first values, where a refusal goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django import forms

from dashboard.kit import formats
from dashboard.kit.fields import Number, Switches, Whole
from dashboard.pages.new_session import starting_models
from dashboard.pages.new_session.site_workloads import Offers, key, pair
from dashboard.pages.new_session.starting_models import FILE, NOWHERE
from federation import setting_kinds, tags
from federation.fl.options import Option
from federation.fl.workloads import WORKLOADS
from federation.session_settings import SETTINGS, Spec, kind_of
from federation.setting_kinds import Declared, Problem

UNITS = {"s": ("seconds", 1), "min": ("minutes", 60), "h": ("hours", 3600), "d": ("days", 86_400)}
LIMITS_OF_TIME = "1 second to 30 days"
NONE_OFFERED = Offers({})
BARE = ("train",)  # settings of several options whose fields have the options' plain names
Typed = Mapping[str, Any]  # a form's cleaned data: what could not be read is not in it


def about(option: Option, **more: Any) -> dict[str, Any]:
    """What every field says of its option."""
    return {"label": option.title, "help_text": option.help, "initial": option.default, "required": False, **more}


def field_of(option: Option) -> forms.Field:
    """The field of an option of one of the simple types."""
    if option.choices:
        pairs = [(choice, str(choice)) for choice in option.choices]
        return forms.TypedChoiceField(choices=pairs, coerce=_as(option), widget=forms.Select, **about(option))
    if option.kind is bool:
        return forms.BooleanField(**about(option))
    if option.kind is int:
        return Whole(**about(option))
    return Number(**about(option)) if option.kind is float else forms.CharField(**about(option))


def _as(option: Option) -> Callable[[str], Any]:
    """The choice that is meant by its text."""
    return {str(choice): choice for choice in option.choices}.__getitem__


class Input:
    """A setting of one field with the setting's name."""

    shape = "field"  # how the template lays it out

    def __init__(self, option: Option) -> None:
        self.option = option
        self.kind: Any = kind_of(option)

    @property
    def name(self) -> str:
        return self.option.name

    def fields(self) -> dict[str, forms.Field]:
        return {self.name: forms.CharField(**about(self.option))}

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        """The members of a specification. data: what the form was posted with."""
        value = typed.get(self.name)
        return {self.name: self.option.default if value in (None, "") else value}

    def initial(self, spec: Spec) -> dict[str, Any]:
        value = getattr(spec, self.name)
        return {self.name: "" if value is None else value}

    def field_at(self, problem: Problem, typed: Typed) -> str:
        """The field beside which a refusal stands."""
        return self.name

    def worded(self, problem: Problem, label: str, typed: Typed) -> str:
        return problem.worded(label)


class TextInput(Input):
    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        return {self.name: typed.get(self.name, "")}


class WholeInput(Input):
    def fields(self) -> dict[str, forms.Field]:
        field = Whole(**about(self.option, required=not self.option.empty))
        field.widget.attrs["placeholder"] = self.option.empty
        return {self.name: field}


class SecondsInput(Input):
    """A number and its unit."""

    shape = "unit"

    @property
    def name(self) -> str:
        return self.option.name.removesuffix("_seconds") + "_time"

    @property
    def unit(self) -> str:
        return self.option.name.removesuffix("_seconds") + "_unit"

    def fields(self) -> dict[str, forms.Field]:
        choices = [(key, name) for key, (name, _) in UNITS.items()]
        unit = forms.ChoiceField(label="Unit", choices=choices)
        unit.widget.attrs["aria-label"] = "Unit of the time"
        return {self.name: Number(**about(self.option, required=True)), self.unit: unit}

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        value = typed.get(self.name)
        seconds = self.option.default if value is None else value * UNITS[typed.get(self.unit, "s")][1]
        return {self.option.name: round(min(max(seconds, -1.0), 1e9))}

    def initial(self, spec: Spec) -> dict[str, Any]:
        seconds = getattr(spec, self.option.name)
        unit = max((key for key, (_, s) in UNITS.items() if seconds % s == 0), key=lambda key: UNITS[key][1])
        return {self.name: seconds // UNITS[unit][1], self.unit: unit}

    def worded(self, problem: Problem, label: str, typed: Typed) -> str:
        unit = UNITS[typed.get(self.unit) or "s"][0]
        return f"{label} is {typed[self.name]:g} {unit}: choose {LIMITS_OF_TIME}."


class SwitchInput(Input):
    shape = "check"

    def fields(self) -> dict[str, forms.Field]:
        return {self.name: forms.BooleanField(**about(self.option))}

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        return {self.name: bool(typed.get(self.name))}


class OneOfInput(Input):
    def fields(self) -> dict[str, forms.Field]:
        choices = [(one.value, formats.capital(str(one.label))) for one in self.kind.values]
        return {self.name: forms.ChoiceField(choices=choices, **about(self.option))}


class SomeOfInput(Input):
    shape = "switches"

    def fields(self) -> dict[str, forms.Field]:
        choices = [(one.value, self.kind.about[one].title) for one in self.kind.values]
        more = about(self.option, initial=" ".join(self.option.default))
        return {self.name: forms.MultipleChoiceField(choices=choices, widget=Switches, **more)}

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        return {self.name: tuple(typed.get(self.name, ())) if self.name in data else self.option.default}

    def initial(self, spec: Spec) -> dict[str, Any]:
        return {self.name: " ".join(getattr(spec, self.name))}

    def switches(self, on: Iterable[str]) -> list[dict[str, Any]]:
        """Each with what it does and whether it is on."""
        return [
            {"value": one.value, "title": said.title, "help": said.help, "is_on": one.value in on}
            for one, said in self.kind.about.items()
        ]


class ListInput(Input):
    """Words with commas between them."""

    def fields(self) -> dict[str, forms.Field]:
        field = forms.CharField(**about(self.option, initial=""))
        field.widget.attrs["placeholder"] = self.option.empty
        return {self.name: field}

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        return {self.name: tuple(tags.split(typed.get(self.name, "")))}

    def initial(self, spec: Spec) -> dict[str, Any]:
        return {self.name: ", ".join(getattr(spec, self.name))}


class NamedInput(Input):
    """A choice, and a field for each option of everything that can be chosen."""

    shape = "named"

    @property
    def known(self) -> Mapping[str, Declared]:
        """What can be chosen, by the value of the field."""
        found: Mapping[str, Declared] = self.kind.known
        return found

    @property
    def choices(self) -> list[Any]:
        return [(name, one.title) for name, one in self.known.items()]

    def fields(self) -> dict[str, forms.Field]:
        found: dict[str, forms.Field] = {
            self.name: forms.CharField(widget=forms.Select(choices=self.choices), **about(self.option))
        }
        for name, one in self.known.items():
            found |= {f"{self.name}.{name}.{option.name}": field_of(option) for option in one.options}
        return found

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        """What was left empty gets its default."""
        name = typed.get(self.name) or self.option.default or ""
        known = self.known[name].options if name in self.known else ()
        given = {option.name: typed.get(f"{self.name}.{name}.{option.name}") for option in known}
        return {self.name: name, f"{self.name}_options": {k: v for k, v in given.items() if v not in (None, "")}}

    def initial(self, spec: Spec) -> dict[str, Any]:
        name, options = (getattr(spec, column) for column in self.kind.columns(self.name)[:2])
        return {self.name: name} | {f"{self.name}.{name}.{key}": value for key, value in options.items()}

    def field_at(self, problem: Problem, typed: Typed) -> str:
        about_, _, name = problem.field.removeprefix(f"{self.name}.").rpartition(".")
        chosen = typed.get(self.name) or self.option.default
        return f"{self.name}.{chosen}.{name}" if about_ == "options" else self.name


class WorkloadInput(NamedInput):
    """The server's workloads, and those that only sites have. chosen: what the form holds already."""

    def __init__(self, option: Option, offers: Offers = NONE_OFFERED, chosen: str = "") -> None:
        super().__init__(option)
        self.offered, self.left_out = offers.by_value, offers.left_out
        self.chosen = chosen

    @property
    def known(self) -> Mapping[str, Declared]:
        found: dict[str, Declared] = dict(super().known)
        return found | {name: offer for name, offer in self.offered.items()}

    @property
    def choices(self) -> list[Any]:
        found: list[Any] = [(name, one.title) for name, one in super().known.items()]
        if self.chosen and self.chosen not in self.known:
            found.append((self.chosen, f"{' '.join(filter(None, pair(self.chosen)))}, which no site has now"))
        if self.offered:
            more = f" ({self.left_out} more on the page Workloads)" if self.left_out else ""
            found.append((f"Only at sites{more}", [(name, one.title) for name, one in self.offered.items()]))
        return found

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        found = super().read(typed, data)
        value = found[self.name]
        name, version = pair(value)
        if value in self.offered:
            version = self.offered[value].workload.version
        return found | {self.name: name, f"{self.name}_version": version}

    def initial(self, spec: Spec) -> dict[str, Any]:
        value = key(spec.workload, spec.workload_version)
        options = {f"{self.name}.{value}.{name}": given for name, given in spec.workload_options.items()}
        return {self.name: value} | options


class TogetherInput(Input):
    """A field for each of its options."""

    def path(self, name: str) -> str:
        return name if self.name in BARE else f"{self.name}.{name}"

    def fields(self) -> dict[str, forms.Field]:
        found = {self.path(option.name): field_of(option) for option in self.kind.options}
        for option in self.kind.options:
            found[self.path(option.name)].widget.attrs["placeholder"] = option.empty
        return found

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        given = {option.name: typed.get(self.path(option.name)) for option in self.kind.options}
        return {self.name: {name: value for name, value in given.items() if value not in (None, "")}}

    def initial(self, spec: Spec) -> dict[str, Any]:
        given = {**self.kind.defaults(spec), **(getattr(spec, self.name) or {})}
        return {self.path(name): "" if value is None else value for name, value in given.items()}

    def field_at(self, problem: Problem, typed: Typed) -> str:
        return self.path(problem.field.removeprefix(f"{self.name}."))


class MeasureInput(Input):
    def __init__(self, option: Option, offers: Offers = NONE_OFFERED) -> None:
        super().__init__(option)
        self.offered = offers.by_value

    def fields(self) -> dict[str, forms.Field]:
        trained = [Spec(name="", workload=workload) for workload in WORKLOADS]
        for offer in self.offered.values():
            told = offer.workload.declared
            trained.append(Spec(name="", workload=told.name, declaration=told.to_json()))
        known: dict[str, str] = {}
        for one in (measure for spec in trained for measure in self.kind.choices(spec)):
            known.setdefault(one.name, one.title or one.name)
        choices = [("", formats.capital(self.option.empty)), *known.items()]
        return {self.name: forms.CharField(widget=forms.Select(choices=choices), **about(self.option))}


class ModelInput(Input):
    """Which models are offered is for the form to say, for it knows which one is chosen."""

    def read(self, typed: Typed, data: Mapping[str, Any]) -> dict[str, Any]:
        text = typed.get(self.name)
        return {self.name: (starting_models.pair(text) or NOWHERE) if text and text != FILE else None}

    def initial(self, spec: Spec) -> dict[str, Any]:
        value = getattr(spec, self.name)
        return {self.name: "{}:{}".format(*value) if value else ""}


_INPUTS: Mapping[type, type[Input]] = {
    setting_kinds.Text: TextInput,
    setting_kinds.Whole: WholeInput,
    setting_kinds.Seconds: SecondsInput,
    setting_kinds.Switch: SwitchInput,
    setting_kinds.OneOf: OneOfInput,
    setting_kinds.SomeOf: SomeOfInput,
    setting_kinds.Tags: ListInput,
    setting_kinds.Globs: ListInput,
    setting_kinds.Named: NamedInput,
    setting_kinds.NamedWorkload: WorkloadInput,
    setting_kinds.Together: TogetherInput,
    setting_kinds.MeasureName: MeasureInput,
    setting_kinds.StoredModel: ModelInput,
}
INPUTS: Mapping[str, Input] = {name: _INPUTS[type(option.kind)](option) for name, option in SETTINGS.items()}


def inputs(offers: Offers, chosen: str) -> Mapping[str, Input]:
    """Those of a form that offers what only sites have, too. chosen: the workload that it holds already."""
    found = dict(INPUTS)
    for name, one in INPUTS.items():
        if isinstance(one, WorkloadInput):
            found[name] = WorkloadInput(one.option, offers, chosen)
        elif isinstance(one, MeasureInput):
            found[name] = MeasureInput(one.option, offers)
    return found
