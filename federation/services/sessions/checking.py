"""Whether a session can be as somebody asks: every field, every refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from federation import tags
from federation.errors import Invalid
from federation.fl import encodings, strategies, workloads
from federation.fl import options as declared
from federation.fl.defences import Defence
from federation.fl.options import Option, OptionError
from federation.lifecycle import FileStatus
from federation.models import GlobalModel
from federation.session_settings import CHOICES, LIMITS, TRAIN, Spec

if TYPE_CHECKING:
    pass


def check(spec: Spec) -> Spec:
    """The specification with every option filled in. Raises Invalid naming every field that cannot be."""
    errors: list[tuple[str, str]] = []
    name = " ".join(spec.name.split())
    if not 1 <= len(name) <= 100:
        errors.append(("name", "A session needs a name of 1 to 100 characters."))
    errors += _out_of_range(spec)
    if spec.cohort_size is not None and spec.quorum > spec.cohort_size:
        errors.append(("quorum", f"{spec.quorum} can never be reached: {spec.cohort_size} clients are asked."))
    for one, choices in CHOICES.items():
        if (chosen := getattr(spec, one)) not in choices.values:
            errors.append((one, f"{one} is {chosen!r}: choose one of {', '.join(choices.values)}."))
    client_tags = _tags(spec, errors)
    if unknown := [name for name in spec.defences if name not in set(Defence)]:
        errors.append(("defences", f"{unknown[0]!r} is no defence. Choose some of {', '.join(Defence)}, or none."))
    workload_options, train = dict(spec.workload_options), dict(spec.train)
    strategy_options = dict(spec.strategy_options)
    try:
        workload = workloads.get(spec.workload)
        workload_options = _checked(spec.workload_options, workload.options, "workload.options", errors)
        train = _checked(dict(workload.train_defaults) | train, TRAIN, "train", errors)
    except OptionError as error:
        errors.append(("workload.name", str(error)))
    if spec.strategy in strategies.STRATEGIES:
        known = strategies.STRATEGIES[spec.strategy]
        strategy_options = _checked(spec.strategy_options, known.options, "strategy.options", errors)
    else:
        errors.append(("strategy.name", _unknown_strategy(spec.strategy)))
    compression_options = _compression(spec, errors)
    if not errors:
        errors += _bad_start(spec, workload_options)
    if errors:
        raise Invalid(*errors)
    return replace(
        spec,
        name=name,
        client_tags=client_tags,
        defences=tuple(defence.value for defence in Defence if defence in spec.defences),
        train=train,
        workload_options=workload_options,
        strategy_options=strategy_options,
        compression_options=compression_options,
    )


def _tags(spec: Spec, errors: list[tuple[str, str]]) -> tuple[str, ...]:
    try:
        return tuple(tags.check(spec.client_tags, field="client_tags"))
    except Invalid as refusal:
        errors += refusal.errors
        return ()


def _out_of_range(spec: Spec) -> list[tuple[str, str]]:
    return [
        (name, f"{name} is {value}: choose {low} to {high}.")
        for name, (low, high) in LIMITS.items()
        if (value := getattr(spec, name)) is not None and not low <= value <= high
    ]


def _checked(
    given: Mapping[str, Any], known: tuple[Option, ...], what: str, errors: list[tuple[str, str]]
) -> dict[str, Any]:
    try:
        return declared.check(given, known, what)
    except OptionError as error:
        errors.append((f"{what}.{error.field}", str(error)))
        return dict(given)


def _compression(spec: Spec, errors: list[tuple[str, str]]) -> dict[str, Any]:
    if spec.compression in encodings.ENCODINGS:
        known = encodings.ENCODINGS[spec.compression]
        return _checked(spec.compression_options, known.options, "compression.options", errors)
    allowed = ", ".join(encodings.ENCODINGS)
    errors.append(("compression.name", f"There is no compression {spec.compression!r}. Choose one of: {allowed}."))
    return {}


def _unknown_strategy(name: str) -> str:
    return f"There is no strategy {name!r}. Choose one of: {', '.join(sorted(strategies.STRATEGIES))}."


def _bad_start(spec: Spec, workload_options: Mapping[str, Any]) -> list[tuple[str, str]]:
    if spec.start_from is None:
        return []
    session_id, version = spec.start_from
    model = model_at(spec.start_from)
    if model is None:
        return [("start_from", f"Session {session_id} has no model of version {version}.")]
    if model.file_status in (FileStatus.REMOVED, FileStatus.LOST):
        return [("start_from", f"The file of that model is {model.file_status}; choose one whose file is there.")]
    if (model.session.workload, model.session.workload_options) != (spec.workload, workload_options):
        return [("start_from", f"That model belongs to the workload {model.session.workload} with other options.")]
    return []


def model_at(start_from: tuple[int, int]) -> GlobalModel | None:
    session_id, version = start_from
    return GlobalModel.objects.select_related("session").filter(session_id=session_id, version=version).first()
