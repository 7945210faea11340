"""A session's settings as the API takes and shows them, derived from their declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import (
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticCustomError

from federation import setting_kinds
from federation.api.schemas.common import Globs, Id, Storable, Strict, Tags, Whole, Word, one_of, within
from federation.fl.options import Option
from federation.models import TrainingSession
from federation.session_settings import SETTINGS, Spec, kind_of
from federation.setting_kinds import limits

AUTO = "auto"
Options = dict[str, Any]


class Choice(Strict):
    """A workload, a strategy or a compression with its options."""

    name: Annotated[str, StringConstraints(max_length=64)]
    options: Options = {}


class WorkloadChoice(Choice):
    """A workload with its options. version: of one that only sites have; without it the one that most sites have."""

    version: Annotated[str, StringConstraints(max_length=64), Storable] | None = None


class StartFrom(Strict):
    session: Id
    version: Annotated[Whole, Field(ge=0, lt=2**31)]


def _number_or_auto(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValidationError:
        raise PydanticCustomError("seconds", 'Write a whole number of seconds, or "auto" to have it learnt') from None


# ---- what is taken


def taken() -> Any:
    """The model of a request's settings."""
    shown = {name: option for name, option in SETTINGS.items() if not _is_part(option)}
    members: dict[str, Any] = {name: (_type_taken(option), _default(option)) for name, option in shown.items()}
    return create_model("Settings", __base__=Strict, **members)


def spec_of(body: Any) -> Spec:
    """The specification that a request describes. body: an object of the model that `taken` makes."""
    given: dict[str, Any] = {}
    for name, option in SETTINGS.items():
        if not _is_part(option):
            given |= _READ.get(type(option.kind), _read_plain)(option, getattr(body, name))
    return Spec(**given)


def _is_part(option: Option) -> bool:
    """Whether another setting's member says it."""
    return isinstance(option.kind, setting_kinds.Switch) and bool(option.kind.part_of)


def _type_taken(option: Option) -> Any:
    found = _TAKEN[type(option.kind)](option, option.kind)
    return found | None if option.empty and option.default is None else found


def _default(option: Option) -> Any:
    if isinstance(option.kind, setting_kinds.Text) or (
        isinstance(option.kind, setting_kinds.Named) and option.default is None
    ):
        return ...
    if isinstance(option.kind, setting_kinds.Named):
        return Choice(name=option.default)
    return list(option.default) if isinstance(option.default, tuple) else option.default


def _some_of(option: Option, kind: Any) -> Any:
    return Annotated[list[kind.values], Field(max_length=len(kind.values))]


def _seconds(option: Option, kind: Any) -> Any:
    return Annotated[Annotated[Whole, within(limits(option))] | Literal["auto"], WrapValidator(_number_or_auto)]


_TAKEN: Mapping[type, Callable[[Option, Any], Any]] = {
    setting_kinds.Text: lambda option, kind: Annotated[str, StringConstraints(max_length=kind.longest), Storable],
    setting_kinds.Whole: lambda option, kind: Annotated[Whole, within(limits(option))],
    setting_kinds.Seconds: _seconds,
    setting_kinds.Switch: lambda option, kind: StrictBool,
    setting_kinds.OneOf: lambda option, kind: Annotated[Word, one_of(kind.values)],
    setting_kinds.SomeOf: _some_of,
    setting_kinds.Tags: lambda option, kind: Tags,
    setting_kinds.Globs: lambda option, kind: Globs,
    setting_kinds.Named: lambda option, kind: Choice,
    setting_kinds.NamedWorkload: lambda option, kind: WorkloadChoice,
    setting_kinds.MeasureName: lambda option, kind: Annotated[str, StringConstraints(max_length=64), Storable],
    setting_kinds.Together: lambda option, kind: Options,
    setting_kinds.StoredModel: lambda option, kind: StartFrom,
}


def _read_plain(option: Option, value: Any) -> dict[str, Any]:
    return {option.name: value}


def _read_named(option: Option, value: Any) -> dict[str, Any]:
    name, options = kind_of(option).columns(option.name)
    return {name: value.name, options: value.options}


def _read_workload(option: Option, value: Any) -> dict[str, Any]:
    return {option.name: value.name, f"{option.name}_options": value.options, f"{option.name}_version": value.version}


def _read_seconds(option: Option, value: Any) -> dict[str, Any]:
    assert isinstance(option.kind, setting_kinds.Seconds)
    return {option.name: option.default if value == AUTO else value, option.kind.auto: value == AUTO}


def _read_model(option: Option, value: Any) -> dict[str, Any]:
    return {option.name: (int(value.session), value.version) if value else None}


_READ: Mapping[type, Callable[[Option, Any], dict[str, Any]]] = {
    setting_kinds.Named: _read_named,
    setting_kinds.NamedWorkload: _read_workload,
    setting_kinds.Seconds: _read_seconds,
    setting_kinds.StoredModel: _read_model,
}


# ---- what is shown


def shown() -> Any:
    """The model of the settings in an answer."""
    members: dict[str, Any] = {
        name: (_type_shown(option), ...) for name, option in SETTINGS.items() if type(option.kind) in _SHOWN
    }
    return create_model("ShownSettings", __base__=Schema, **members)


def _type_shown(option: Option) -> Any:
    found = _SHOWN[type(option.kind)]
    return found | None if option.empty and option.default is None else found


_SHOWN: Mapping[type, Any] = {  # the model to start from is not shown
    setting_kinds.Text: str,
    setting_kinds.Whole: int,
    setting_kinds.Seconds: int,
    setting_kinds.Switch: bool,
    setting_kinds.OneOf: str,
    setting_kinds.SomeOf: list[str],
    setting_kinds.Tags: list[str],
    setting_kinds.Globs: list[str],
    setting_kinds.Named: dict[str, Any],
    setting_kinds.NamedWorkload: dict[str, Any],
    setting_kinds.MeasureName: str,
    setting_kinds.Together: dict[str, Any],
}


def values(row: TrainingSession) -> dict[str, Any]:
    """The settings of a session as an answer shows them."""
    return {name: _value(row, option) for name, option in SETTINGS.items() if type(option.kind) in _SHOWN}


def _value(row: TrainingSession, option: Option) -> Any:
    if isinstance(option.kind, setting_kinds.Named):
        name, options = option.kind.columns(option.name)[:2]
        return {"name": getattr(row, name), "options": getattr(row, options)} | _of_sites(row, option)
    return getattr(row, option.name)


def _of_sites(row: TrainingSession, option: Option) -> dict[str, Any]:
    """What more is said of a workload that only sites have."""
    is_told = isinstance(option.kind, setting_kinds.NamedWorkload) and row.is_of_sites
    return {"version": row.workload_version, "digest": row.workload_digest, "origin": "sites"} if is_told else {}
