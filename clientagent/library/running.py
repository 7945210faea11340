"""A script's life at its server: it joins, gets work, hands out what has to be trained, and leaves."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, cast

from clientagent import device, display
from clientagent import work as works
from clientagent.by_update import LastUpdate, last_update
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.errors import Dropped, Ends, Failed, HeldElsewhere, TokenRefused
from clientagent.hands import OwnHands
from clientagent.identity import identify, open_state
from clientagent.kinds import evaluation, initialisation, training
from clientagent.kinds.evaluation import EvaluationWork
from clientagent.kinds.initialisation import InitialisationWork
from clientagent.kinds.kind import Desk
from clientagent.kinds.training import TrainingWork
from clientagent.library import measurement, models
from clientagent.library.handed import Place
from clientagent.library.leaving import Leaving
from clientagent.library.measurement import Measurement
from clientagent.library.memory import Memory
from clientagent.library.ranks import ALONE, Came, Ranks
from clientagent.library.script import Measuring, Script
from clientagent.library.seat import SeatWork
from clientagent.library.seeds import seed
from clientagent.library.sentences import sentence
from clientagent.library.work import Work
from clientagent.logtail import LogTail
from clientagent.membership import Membership
from clientagent.models import ModelCache
from clientagent.progress import Progress
from clientagent.settings import Settings
from clientagent.state import Finished
from clientagent.work import BaseModel
from federation import killpoints
from federation.fl.version import __version__
from federation.fl.workloads import WORKLOADS
from federation.killpoints import Point

UNDERSTANDS = ["buffers"]
Task = SeatWork | Measurement
AGAIN_SECONDS = 10.0  # before work is taken up again that had ended here
NO_MEASURES = (
    "Without measures=, no session asks for evaluate= at its end. Name what it measures: measures=['accuracy']."
)
GOODBYE_SECONDS = 10.0  # for giving a seat up while the program dies of an exception


class Running:
    """One run of a script, from its first to its last work, in the process that talks to the server.

    file: where an exception's line is looked for.
    """

    latest: ClassVar[Running | None] = None
    _is_cut: bool = False  # in the middle of work, by an exception or a `break`

    def __init__(self, script: Script, settings: Settings, file: str, *, seeded: bool, ranks: Ranks = ALONE) -> None:
        if Running.latest is not None and Running.latest._is_cut:
            Running.latest.close()  # it may hold the same state folder
        Running.latest = self
        self._script = script
        self._settings = settings
        self._file = file
        self._ranks = ranks
        self._seeded = seeded
        self._leaving = Leaving()
        self._process = os.getpid()
        self._state = open_state(settings)
        self._display = display.Lines(sys.stderr)
        terminal = LogTail(self._display) if settings.send_log else self._display
        self._terminal = terminal
        try:
            identity = identify(settings, self._state)
        except Ends:
            self._state.close()  # a notebook tries again in the same process
            raise
        self._membership = Membership(
            settings, self._state, identity, terminal, self._describe, catalogue=self._catalogue
        )
        cache = settings.model_cache
        self._desk = Desk(
            self._membership.api,
            ModelCache(cache or self._state.models, shared=cache is not None),
            self._state,
            OwnHands(SiteData(settings), Device(settings.device, settings.threads)),
            terminal,
            self._leaving.event,
        )
        self._memory = Memory(self._state.folder / "script", terminal.say)
        self._initial = self._state.folder / "script" / "initial.safetensors"
        self._initial_digest = ""
        self._ended = ""  # the participation that ended last
        self._current: Task | None = None
        self._has_begun = False
        self._says_goodbye = True
        self._is_closed = False
        self._hook = sys.excepthook

    @property
    def name(self) -> str:
        """This client's."""
        return self._membership.name

    def say(self, text: str) -> None:
        """A line at the terminal."""
        self._terminal.say(text)

    # ---- from beginning to end

    def works(self) -> Iterator[Work]:
        """Each piece of training, until it is time to leave. Raises Ends."""
        assert not self._script.measures_itself
        return cast("Iterator[Work]", self.tasks())

    def tasks(self) -> Iterator[Task]:
        """As `works`, with the models that the script's own loop measures. Raises Ends."""
        try:
            self.begin()
            yield from self._work()
        except KeyboardInterrupt:
            self._terminal.say("Leaving. Press Ctrl-C again to end at once.")
        except (TokenRefused, HeldElsewhere):  # a goodbye would not be ours to say
            self._says_goodbye = False
            raise
        except GeneratorExit:
            # Whether an exception ended the loop, only `_on_uncaught` gets to know, a moment later.
            self._is_cut = self._current is not None and not self._current.is_over
            raise
        finally:
            if not self._is_cut:
                self.close()

    def close(self, *, says_goodbye: bool = True) -> None:
        """Leave and give everything back. Doing it again changes nothing."""
        if self._is_closed or os.getpid() != self._process:
            return
        self._is_closed = True
        if self._current is not None:
            self._current.stop()
        atexit.unregister(self.close)
        if sys.excepthook == self._on_uncaught:
            sys.excepthook = self._hook
        if says_goodbye and self._says_goodbye and not self._ranks.lost_one():
            self._membership.leave()
        self._leaving.stop_listening()
        self._membership.api.close()
        self._terminal.close()
        self._state.close()

    def begin(self) -> None:
        """Join, or come back, and hear signals from now on. Doing it again changes nothing. Raises Ends."""
        if self._has_begun:
            return
        self._has_begun = True
        self._leaving.listen()
        sys.excepthook = self._on_uncaught
        atexit.register(self.close)
        mine = self._membership
        self._terminal.say(
            f"fl-agent {__version__}: {mine.name} at {mine.server}, with {self._script.declaration.name}"
        )
        if self._script.evaluate is not None and not self._script.declaration.measures:
            self._terminal.say(NO_MEASURES)
        mine.begin()
        if isinstance(self._terminal, LogTail):
            self._terminal.start(mine.api.another(threading.Event()))

    def _work(self) -> Iterator[Task]:
        while not self._leaving.event.is_set():
            self._terminal.waiting()
            body = self._membership.ask()
            if body is not None:
                yield from self._take(body)
                if self._settings.once:
                    break
        if self._leaving.event.is_set():
            self._terminal.say("Leaving.")

    def _on_uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """An exception of the script's own ends the program: its seat is given up with that sentence."""
        self._hook(kind, error, trace)
        work = self._current
        if os.getpid() == self._process and work is not None and not work.is_over and isinstance(error, Exception):
            stop = threading.Event()
            timer = threading.Timer(GOODBYE_SECONDS, stop.set)
            timer.start()
            with contextlib.suppress(Dropped, Ends), self._membership.api.until(stop):
                work.fail(error, self._file)
            timer.cancel()
        self.close()

    # ---- what is told

    def _describe(self) -> dict[str, Any]:
        """Of our own workloads it is told that there are no examples, so that nobody asks this site for them."""
        mine = self._script.declaration
        counted = {} if mine.num_examples is None else {"num_examples": mine.num_examples}
        return device.describe(self._settings.device) | {
            "kinds": list(mine.kinds),
            "understands": UNDERSTANDS,
            "examples": dict.fromkeys(WORKLOADS.built_in, 0),
            **counted,
        }

    def _catalogue(self) -> list[dict[str, Any]]:
        return [self._script.declaration.to_json()]

    # ---- a piece of work

    def _take(self, body: Mapping[str, Any]) -> Iterator[Task]:
        try:
            seat = works.participation(body)
        except Failed as error:
            self._terminal.say(str(error))
            self._membership.api.pause(AGAIN_SECONDS)
            return
        if seat == self._ended:
            self._membership.api.pause(AGAIN_SECONDS)
        self._ended = seat
        with self._membership.holding(seat):
            match body.get("kind"):
                case "train":
                    yield from self._train(training.parse(body), body)
                case "evaluate" if self._script.evaluates:
                    yield from self._evaluate(evaluation.parse(body), body)
                case "initialise" if self._script.initial is not None:
                    self._initialise(initialisation.parse(body))
                case other:
                    raise Failed(f"This site's script does no work of the kind {other!r}.")
        self._state.forget()

    def _train(self, work: TrainingWork, body: Mapping[str, Any]) -> Iterator[Task]:
        desk, title = self._desk, f"{work.session}, round {work.round}"
        options = self._script.options_of(work)
        with desk.working(work, title) as progress:
            note = f"{title}: trained before; sending the update that was kept."
            update = desk.finished(work.key, progress, note)
            if update is not None:
                desk.upload(update, work, progress)
                desk.display.say(f"{title}: update accepted.")
            else:
                yield from self._hand_out(work, options, body, progress)
        killpoints.reached(Point.REPORTED)

    def _hand_out(
        self, work: TrainingWork, options: Mapping[str, Any], body: Mapping[str, Any], progress: Progress
    ) -> Iterator[Task]:
        path, last = self._fetched(work.base, progress, "training"), last_update(body)
        came = _came(work, options, path, self._memory.before(last))
        self._current = seat = SeatWork(work, came, self._place(progress, last))
        self._ranks.hand(came)
        yield from self._handing(seat, work)

    def _handing(self, task: Task, work: TrainingWork | EvaluationWork) -> Iterator[Task]:
        self._current = task
        self._seed(work)
        yield task
        self._current = None
        task.conclude()

    def _place(self, progress: Progress, last: LastUpdate | None) -> Place:
        return Place(
            self._membership, self._desk, self._memory, self._leaving, self._script.only, self._ranks, progress, last
        )

    def _fetched(self, base: BaseModel, progress: Progress, phase: str) -> Path:
        self._keep_initial()
        path = self._desk.download(base, progress)
        self._desk.advance(progress, phase)(0.0)
        return path

    def _seed(self, work: TrainingWork | EvaluationWork | InitialisationWork) -> None:
        if self._seeded:
            seed(int(work.config.get("seed", 0)))

    def _evaluate(self, work: EvaluationWork, body: Mapping[str, Any]) -> Iterator[Task]:
        options = self._script.options_of(work)
        desk, title = self._desk, f"Evaluating version {work.base.version} of {work.session}"
        with desk.working(work, title) as progress:
            note = f"{title}: measured before; sending the result that was kept."
            result = desk.finished(work.key, progress, note)
            if result is None and self._script.measures_itself:
                path = self._fetched(work.base, progress, "evaluating")
                came = _came(work, options, path)
                yield from self._handing(Measurement(work, came, self._place(progress, None)), work)
                return
            sent = desk.report(result or self._measure(work, options, body, progress), work, progress)
        desk.display.say(f"{title}: result accepted ({evaluation.summary(sent)}).")

    def _measure(
        self, work: EvaluationWork, options: Mapping[str, Any], body: Mapping[str, Any], progress: Progress
    ) -> Finished:
        path = self._fetched(work.base, progress, "evaluating")
        self._seed(work)
        found = measurement.as_evaluation(
            self._found(work, options, path, last_update(body)), self._script.declaration.num_examples or 1
        )
        return measurement.keep(self._desk, work, found, progress, with_counts=self._settings.share_histogram)

    def _found(self, work: EvaluationWork, options: Mapping[str, Any], path: Path, last: LastUpdate | None) -> object:
        if self._script.measure is not None:
            kept = self._memory.of(last)
            return self._script.measure(
                Measuring(work.session, work.base.version, options, dict(work.config), path, kept)
            )
        assert self._script.evaluate is not None
        model = self._loaded(path, options)
        with self._calling("evaluate="):
            return self._script.evaluate(model)

    def _loaded(self, path: Path, options: Mapping[str, Any]) -> Any:
        """The model to measure, in the form in which the script gives its own."""
        model = self._made(options)
        if model is None:
            return models.readable(path)
        if isinstance(model, str | os.PathLike):
            return path
        models.load(path, model, self._script.only)
        return models.unwrapped(model) if self._ranks.size > 1 else model  # the others do not take part

    def _initialise(self, work: InitialisationWork) -> None:
        options = self._script.options_of(work)
        desk, title = self._desk, f"Initialising {work.session}"
        with desk.working(work, title) as progress:
            note = f"{title}: made before; sending the model that was kept."
            model = desk.finished(work.key, progress, note) or self._begin_model(work, options, progress)
            desk.upload(model, work, progress)
        desk.display.say(f"{title}: model accepted.")

    def _begin_model(self, work: InitialisationWork, options: Mapping[str, Any], progress: Progress) -> Finished:
        desk = self._desk
        progress.at("training", 0.0)  # the contract's nearest word
        self._seed(work)
        digest = self._initial_digest
        if digest:
            shutil.copyfile(self._initial, desk.state.unfinished())
        else:
            digest = models.write(desk.state.unfinished(), self._made(options), self._script.only)
        kept = desk.keep(work.key, digest, progress)
        killpoints.reached(Point.INITIAL_KEPT)
        return kept

    def _made(self, options: Mapping[str, Any]) -> Any:
        """The script's model: as it is, or what its function makes of the options."""
        initial = self._script.initial
        if not callable(initial) or models.is_module(initial):
            return initial
        with self._calling("initial="):
            return initial(options)

    @contextlib.contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        """Within the block a function of the script's runs: what it raises gives the seat up with its line.

        A host's function raises Failed: a sentence that needs no line.
        """
        try:
            yield
        except Failed:
            raise
        except Exception as error:
            self._terminal.say("".join(traceback.format_exception(error)))
            raise Failed(f"{what}: {sentence(error, self._file)}") from error

    def _keep_initial(self) -> None:
        """Write the initial model down before the script, or work, changes it."""
        initial = self._script.initial
        if not self._initial_digest and (isinstance(initial, Mapping) or models.is_module(initial)):
            self._initial_digest = models.write(self._initial, initial, self._script.only)


def _came(work: TrainingWork | EvaluationWork, options: Mapping[str, Any], path: Path, state: Any = None) -> Came:
    config = dict(work.config)
    return Came(work.session, work.session_id, work.round, work.base.version, options, config, path, state)
