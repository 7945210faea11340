"""Whether a session can be as somebody asks: every setting, every refusal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

from federation import catalogue, phrases, schedules, storage
from federation.errors import Invalid
from federation.fl import early_stop, selections, staying, strategies, weights
from federation.fl.local_options import LocalOptions
from federation.fl.privacy import fitting, spending
from federation.fl.privacy.fitting import Beside
from federation.fl.selections import Occasion
from federation.fl.strategies import Launch
from federation.fl.weights import WeightsError
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.layouts import layout
from federation.fl.workloads.measured import measures_of
from federation.lifecycle import FileStatus, Schedule
from federation.models import GlobalModel
from federation.services import privacy
from federation.session_settings import SETTINGS, Spec, holds, kind_of
from federation.setting_kinds import Problem

WHAT = "workload"


def check(spec: Spec) -> Spec:
    """The specification with every option filled in. Raises Invalid naming every field that is not allowed."""
    spec = with_declaration(spec)
    if found := _problems(spec):
        raise Invalid(*((one.field, one.sentence) for one in found))
    return filled(spec)


def problems(spec: Spec) -> list[Problem]:
    """Everything that is wrong with it, in the order of the settings. Empty: it can be created."""
    return _problems(with_declaration(spec))


def _problems(spec: Spec) -> list[Problem]:
    found = list(_unknown(spec))
    settings = [option for option in SETTINGS.values() if holds(option, spec) and not (found and option.name == WHAT)]
    found += [problem for option in settings for problem in kind_of(option).check(option, spec)]
    found += _unreachable(spec)
    return found or [problem for check in _CHECKS for problem in check(filled(spec))]


def with_declaration(spec: Spec) -> Spec:
    """The same with what the sites declare of its workload now, if only sites have it.

    If no site has it any more, what they declared to the session before stays. Without a version it is the one that
    most sites have.
    """
    if spec.workload in WORKLOADS:
        return replace(spec, declaration=None)
    told = catalogue.find(spec.workload, spec.workload_version)
    if told is None:
        known = spec.told
        fits = known is not None and spec.workload_version in (None, known.version)
        return spec if fits else replace(spec, declaration=None)
    declared = told.declared.to_json() | {"num_examples": None}  # it is one site's own number
    return replace(spec, workload_version=told.version, declaration=declared)


def _unknown(spec: Spec) -> Iterator[Problem]:
    """That neither the server nor a site has the workload, or its version."""
    name, version = spec.workload, spec.workload_version
    own = WORKLOADS.get(name)
    if own is not None:
        if version not in (None, own.version):
            yield Problem("workload.version", f"This server has {name} in another version. Leave the version out.")
    elif spec.told is None and (known := catalogue.versions(name)):
        versions = phrases.listed([one.version or "(none)" for one in known])
        yield Problem("workload.version", f"No site has {name} in version {version!r}. The sites have: {versions}.")
    elif spec.told is None:
        allowed = ", ".join(sorted({*WORKLOADS, *(one.name for one in catalogue.of_sites())}))
        yield Problem("workload.name", f"There is no workload {name!r}. Choose one of: {allowed}.")


def filled(spec: Spec) -> Spec:
    """The same with every default, in the form in which it is stored. Only where nothing is wrong.

    A setting that has no effect beside the others gets its default.
    """
    unused = [option for option in SETTINGS.values() if not holds(option, spec)]
    spec = replace(spec, **{name: value for o in unused for name, value in kind_of(o).unset(o).items()})
    return replace(
        spec, **{name: value for o in SETTINGS.values() for name, value in kind_of(o).filled(o, spec).items()}
    )


def _unreachable(spec: Spec) -> Iterator[Problem]:
    if not holds(SETTINGS["cohort_size"], spec):
        return
    if spec.cohort_size is not None and spec.quorum > spec.cohort_size:
        yield Problem("quorum", f"{spec.quorum} can never be reached: {spec.cohort_size} clients are asked.")


def _without_measure(spec: Spec) -> Iterator[Problem]:
    if spec.early_stop and not spec.main_measure:
        yield Problem("main_measure", "Choose a main measure: the session is to stop by it.")


def _unmeasured(spec: Spec) -> Iterator[Problem]:
    """The server can only stop by what it measures itself."""
    workload = WORKLOADS.get(spec.workload)
    if not early_stop.by_server(spec.early_stop):
        return
    if spec.stays:
        sentence = f"The server has no model of which tensors stay at the sites. Choose {early_stop.By.CLIENTS}."
        yield Problem("early_stop.measured_by", sentence)
    elif workload is None or not workload.needs_torch:
        sentence = f"The server has no test set for {spec.workload}. Choose {early_stop.By.CLIENTS}."
        yield Problem("early_stop.measured_by", sentence)
    elif spec.main_measure not in (names := [one.name for one in measures_of(workload)]):
        sentence = f"The server measures {phrases.listed(names)} of {spec.workload}. Choose one of them, or let the "
        yield Problem("main_measure", sentence + "clients measure for the early stop.")


def _unfit_strategy(spec: Spec) -> Iterator[Problem]:
    """What the strategy needs and the other settings do not give."""
    local, schedule = LocalOptions.read(spec.local_options or {}), schedules.of(spec)
    launch = Launch(
        spec.quorum,
        spec.follows_settings,
        spec.optimizer,
        spec.optimizer_options,
        local.proximal_mu,
        min(spec.quorum, schedule.least),
        clips=local.clip_norm is not None,
        compression=spec.compression,
        counts_late=schedule.goes_on(),
        stays=bool(spec.stays),
    )
    if found := strategies.build(spec.strategy, spec.strategy_options).misfit(launch):
        yield Problem(found.field, found.sentence)


def _unfit_tensors(spec: Spec) -> Iterator[Problem]:
    """Patterns that do not fit the model's tensors, as far as these are known before there is a model."""
    if spec.frozen and not spec.follows_settings and not spec.is_of_sites:
        yield Problem("frozen", "Frozen tensors need a workload whose training follows a session's settings.")
    names = _tensors(spec) if spec.stays or spec.frozen else None
    if names is None:
        return
    if sentence := staying.problem(names, spec.stays):
        yield Problem("stays", sentence)
    elif sentence := staying.problem(names, spec.frozen, staying.matched(names, spec.stays)):
        yield Problem("frozen", sentence)


def _tensors(spec: Spec) -> Collection[str] | None:
    known = None if spec.is_of_sites else layout(spec.workload, spec.workload_options)
    if known is not None:
        return known.tensors
    model = model_at(spec.start_from) if spec.start_from else None
    if model is None:
        return None
    try:
        with storage.local(model.digest) as file:
            return weights.read_header(file).tensors
    except (OSError, WeightsError):  # another check says what is wrong with it
        return None


def _unfit_selection(spec: Spec) -> Iterator[Problem]:
    """What the selection needs and the schedule does not give."""
    is_limited = spec.cohort_size is not None or not holds(SETTINGS["cohort_size"], spec)
    occasion = Occasion(is_limited, spec.schedule in schedules.JOINED)
    if found := selections.build(spec.selection, spec.selection_options).misfit(occasion):
        yield Problem(found.field, found.sentence)


def _unfit_privacy(spec: Spec) -> Iterator[Problem]:
    """What differential privacy needs and the other settings do not give."""
    clipping = privacy.clipping_of(spec)
    if clipping is None:
        return
    strategy = strategies.build(spec.strategy, spec.strategy_options)
    is_one = spec.schedule == Schedule.SYNCHRONOUS
    beside = Beside(strategy, spec.selection, spec.quorum, is_one, schedules.of(spec).goes_on())
    if found := fitting.misfit(beside):
        yield Problem(found.field, found.sentence)
    elif clipping.budget is not None:
        model = model_at(spec.start_from) if spec.start_from else None
        spent = privacy.of_model(model).costs if model else ()
        needed = spending.epsilon([*spent, privacy.cost_of_next(spec, clipping)], clipping.delta)
        if needed > clipping.budget:
            which = "with what was spent before" if spent else "alone"
            sentence = f"One round {which} costs {needed:.3g}. Choose a larger budget, or more noise."
            yield Problem("privacy.options.budget", sentence)


def _bad_start(spec: Spec) -> Iterator[Problem]:
    if spec.start_from is None:
        return
    session_id, version = spec.start_from
    model = model_at(spec.start_from)
    if model is None:
        yield Problem("start_from", f"Session {session_id} has no model of version {version}.")
    elif model.file_status in (FileStatus.REMOVED, FileStatus.LOST):
        sentence = f"The file of that model is {model.file_status}; choose one whose file is there."
        yield Problem("start_from", sentence)
    elif model.session.workload != spec.workload:
        sentence = f"That model belongs to the workload {model.session.workload}, not to {spec.workload}."
        yield Problem("start_from", sentence)
    elif spec.is_of_sites and model.session.workload_version != spec.workload_version:
        sentence = f"That model belongs to another version of the workload {model.session.workload}."
        yield Problem("start_from", sentence)
    elif model.session.workload_options != spec.workload_options:
        sentence = f"That model belongs to the workload {model.session.workload} with other options."
        yield Problem("start_from", sentence)


_CHECKS: tuple[Callable[[Spec], Iterator[Problem]], ...] = (
    _without_measure,
    _unmeasured,
    _unfit_strategy,
    _unfit_tensors,
    _unfit_selection,
    _unfit_privacy,
    _bad_start,
)


def model_at(start_from: tuple[int, int]) -> GlobalModel | None:
    session_id, version = start_from
    return GlobalModel.objects.select_related("session").filter(session_id=session_id, version=version).first()
