"""The form for a new session, derived from the settings. It reads what was typed; the service decides on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms

from dashboard.pages.new_session import inputs, site_workloads
from dashboard.pages.new_session.inputs import Input, NamedInput, SomeOfInput
from dashboard.pages.new_session.starting_models import FILE, offered
from federation.errors import Invalid
from federation.fl.workloads import WORKLOADS, follows_settings
from federation.models import ModelUpload
from federation.services import sessions
from federation.services.models import uploads
from federation.session_settings import FOLLOWED, OF_SITES, SETTINGS, Group, Spec, holds
from federation.setting_kinds import Problem, StoredModel

FOLDED = (Group.STEPS,)  # what few sessions need
ABOUT_FILES = "safetensors, or what torch.save(model.state_dict(), path) wrote. Its tensors are those of the workload."


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting as the template lays it out. shape: field, unit, check, switches or named."""

    shape: str
    fields: Sequence[forms.BoundField]
    options: Sequence[dict[str, Any]] = ()  # of everything that can be chosen: its fields and its summary
    switches: Sequence[dict[str, Any]] = ()

    @property
    def field(self) -> forms.BoundField:
        return self.fields[0]


@dataclass(frozen=True, slots=True)
class Section:
    """The settings under one heading."""

    group: Group
    cells: Sequence[Cell]

    @property
    def has_fields(self) -> bool:
        return any(cell.shape != "switches" for cell in self.cells)

    @property
    def is_folded(self) -> bool:
        """Whether it is closed at first: nothing in it is other than usual, or refused."""
        return self.group in FOLDED and not any(
            field.errors or _is_changed(field) for cell in self.cells for field in cell.fields
        )

    @property
    def can_fold(self) -> bool:
        return self.group in FOLDED

    @property
    def is_halved(self) -> bool:
        """Whether it has nothing but choices, which then stand side by side, each above its own options."""
        return len(self.cells) > 1 and all(cell.shape == "named" for cell in self.cells)


def _is_changed(field: forms.BoundField) -> bool:
    usual = field.field.initial
    return str(field.value() or "") not in ("", str(usual), "False")


class NewSessionForm(forms.Form):
    """Everything that a session is made from, each with a line that explains it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offered_starts: list[tuple[str, str]] | None = None
        chosen = self._chosen_workload()
        offers = site_workloads.offers(chosen)
        self.offered = offers.by_value
        self.inputs = inputs.inputs(offers, chosen)
        for one in self.inputs.values():
            self.fields |= one.fields()
        for name, option in SETTINGS.items():
            if isinstance(option.kind, StoredModel):
                self.fields[name].widget = forms.Select(choices=partial(self._starts, name))  # type: ignore[arg-type]
        self.fields["initial_model"] = forms.CharField(
            label="File of weights", required=False, widget=forms.HiddenInput, help_text=ABOUT_FILES
        )
        self._dress()

    def _starts(self, name: str) -> list[tuple[str, str]]:
        """Asked for when the form is drawn, and then once: it looks through the models of many sessions."""
        if self._offered_starts is None:
            self._offered_starts = offered(str(self[name].value() or ""))
        return [("", "Fresh, from the seed"), (FILE, "A file of your own"), *self._offered_starts]

    def _chosen_workload(self) -> str:
        """What is typed or filled in, before there are fields."""
        return str((self.data if self.is_bound else self.initial).get("workload") or "")

    def _dress(self) -> None:
        """Classes and the ids of hint and sentence, which the template gives."""
        for name, field in self.fields.items():
            select = isinstance(field.widget, forms.Select)
            kind = "select" if select else "" if isinstance(field, forms.BooleanField) else "input"
            tag = self[name].auto_id
            field.error_messages["required"] = "This cannot be left empty."
            field.widget.attrs |= {"class": kind, "aria-describedby": f"{tag}-e {tag}-h"}

    # ---- what the template asks for

    @property
    def sections(self) -> Iterator[Section]:
        for group in Group:
            yield Section(
                group, [self._cell(self.inputs[n]) for n, option in SETTINGS.items() if option.group == group]
            )

    def _cell(self, one: Input) -> Cell:
        fields = [self[name] for name in one.fields()]
        if isinstance(one, NamedInput):
            return Cell(one.shape, fields[:1], options=list(self._options(one)))
        if isinstance(one, SomeOfInput):
            given = self[one.name].value() or ""
            return Cell(one.shape, fields, switches=one.switches(given.split() if isinstance(given, str) else given))
        return Cell(one.shape, fields)

    def _options(self, one: NamedInput) -> Iterator[dict[str, Any]]:
        chosen = self[one.name].value() or one.option.default
        for name, declared in one.known.items():
            fields = [self[f"{one.name}.{name}.{option.name}"] for option in declared.options]
            notes = [*getattr(declared, "notes", ()), *filter(None, [getattr(declared, "when", "")])]
            about = {"summary": declared.summary, "notes": notes}
            yield {"of": name, "fields": fields, "is_chosen": name == chosen, **about}

    @property
    def shown_with(self) -> dict[str, dict[str, Any]]:
        """Fields that fit only some values of another one."""
        found: dict[str, dict[str, Any]] = {"initial_model": {"field": "start_from", "values": [FILE]}}
        for name, option in SETTINGS.items():
            if option.shown_with:
                other, values = option.shown_with
                told = {"field": other, "values": list(values)}
                found |= dict.fromkeys(self.inputs[name].fields(), told)
        found |= dict.fromkeys(OF_SITES, {"field": "workload", "values": list(self.offered)})
        follow = {"field": "workload", "values": self._following()}
        for name in FOLLOWED:
            found |= dict.fromkeys(self.inputs[name].fields(), follow)
        return found

    def _following(self) -> list[str]:
        """The workloads that train with the optimizer and the settings of a session."""
        ours = [name for name in WORKLOADS if follows_settings(name)]
        return ours + [name for name, offer in self.offered.items() if offer.workload.declared.follows_settings]

    @property
    def train_defaults(self) -> dict[str, dict[str, float]]:
        """What each workload trains well with; filled in when it is chosen."""
        known: dict[str, Any] = {**WORKLOADS, **self.offered}
        return {name: dict(workload.train_defaults) for name, workload in known.items()}

    @property
    def begins_with_file(self) -> bool:
        return self["start_from"].value() == FILE

    @property
    def bad_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name in self.errors]

    # ---- from what was typed to a specification

    def clean(self) -> dict[str, Any]:
        """Ask the service, also where some fields could not be read: one learns of everything at once."""
        self.typed = spec = sessions.with_declaration(self._typed())  # refusals remove what was typed
        for name, option in SETTINGS.items():
            if not holds(option, spec):  # the page hides it, and what stands there is not used
                for field in self.inputs[name].fields():
                    self.errors.pop(field, None)
        found = sessions.problems(spec)
        for problem in found:
            self._refuse(problem)
        if not found:
            self.spec = sessions.check(spec)
        self._read_upload(None if found else self.spec)
        return self.cleaned_data

    def _read_upload(self, spec: Spec | None) -> None:
        """The file to begin with. spec: None where something else is wrong, so that it fits nothing yet."""
        self.upload: ModelUpload | None = None
        if not self.begins_with_file:
            self.errors.pop("initial_model", None)
            return
        try:
            self.upload = _uploaded(self.cleaned_data.get("initial_model", ""))
            if spec is not None:
                uploads.require_fit(self.upload, spec.workload, spec.workload_options)
        except Invalid as refusal:
            if "initial_model" not in self.errors:
                self.add_error("initial_model", str(refusal))

    def _refuse(self, problem: Problem) -> None:
        one = self.inputs[problem.field.partition(".")[0]]
        name = one.field_at(problem, self.cleaned_data)
        if name not in self.fields:
            self.add_error(None, problem.sentence)
        elif name not in self.errors:  # what could not be read is said already
            self.add_error(name, one.worded(problem, str(self.fields[name].label), self.cleaned_data))

    def typed_or_initial(self) -> Spec:
        """What stands in the form now, whether it can be or not: for an estimate."""
        if self.is_bound:
            self.is_valid()
            return self.typed
        plain = {name: "" if (value := self[name].value()) is None else value for name in self.fields}
        filled = NewSessionForm(plain)
        filled.is_valid()
        return filled.typed

    def _typed(self) -> Spec:
        given: dict[str, Any] = {}
        for one in self.inputs.values():
            given |= one.read(self.cleaned_data, self.data)
        return Spec(**given)


def _uploaded(digest: str) -> ModelUpload:
    """Raises Invalid."""
    if not digest:
        raise Invalid(("initial_model", "Choose a file, and wait until it is uploaded."))
    return uploads.stored(digest)
