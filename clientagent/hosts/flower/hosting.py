"""A Flower app's life at its server: what it tells of itself, and the messages that it gets for each piece of work."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clientagent.errors import Failed, Misconfigured
from clientagent.hosts.flower import calling, project, records
from clientagent.hosts.flower.beginning import Beginning
from clientagent.hosts.flower.calling import Caller
from clientagent.hosts.flower.dialects import EVALUATE, TRAIN, Reply
from clientagent.library import models
from clientagent.library.running import Running
from clientagent.library.script import Measuring, Script, ScriptError, declare
from clientagent.library.work import Work
from clientagent.settings import Settings
from federation.fl.weights import Array
from federation.fl.workloads.declaration import LONGEST_TEXT

INITIALISE = "initialise"


def run(settings: Settings) -> int:
    """Host the app until Ctrl-C or SIGTERM. Returns the exit status. Raises Ends."""
    assert settings.flower_app is not None
    found = project.find(settings.flower_app, Path.cwd())
    host = Host(Caller(settings, found))
    for work in Running(host.script, settings, str(found.folder), seeded=True).works():
        with work:
            host.train(work)
    return 0


class Host:
    """One app and its work. script: what it is to the server. Raises Misconfigured if it cannot be hosted."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._beginning = Beginning(caller)
        self._said: set[str] = set()
        self.script = self._declared()

    def _declared(self) -> Script:
        mine, kinds = self._caller.project, self._caller.dialect.kinds()
        if TRAIN not in kinds:
            raise Misconfigured(
                f"{calling.FLAG} {mine.app}: the ClientApp has no function for training (@app.train())."
            )
        if self._beginning.is_known:
            kinds.append(INITIALISE)
        try:
            declaration = declare(
                mine.name,
                mine.sources(mine.app),
                given_options=self._caller.config.options,
                given_measures=self._caller.settings.flower_measures if EVALUATE in kinds else (),
                train_defaults=self._caller.config.train_defaults,
                kinds=kinds,
                about={"version": mine.version, "title": mine.name, "summary": mine.summary[:LONGEST_TEXT]},
            )
        except ScriptError as error:
            raise Misconfigured(f"{calling.FLAG} {mine.app}: {error}") from error
        return Script(declaration, self._beginning.model, None, None, self.measure)

    def train(self, work: Work) -> None:
        """Train and send what came of it, or give the seat up with the reason."""
        try:
            self._train(work)
        except (Failed, ValueError) as error:
            work.give_up(str(error))

    def _train(self, work: Work) -> None:
        base = work.weights
        context = self._caller.context(work.session, work.options, work.config, work.state)
        reply = self._ask(TRAIN, work.round, base, work.options, work.config, context)
        tensors = records.tensors(reply.arrays)
        records.require_same(tensors, base)
        metrics = {records.trained(name): value for name, value in self._numbers(reply).items()}
        work.log(metrics, step=work.round)
        work.next_state = records.plain(context.state, self._caller.flwr)
        work.send(tensors, num_examples=reply.num_examples, metrics=metrics)

    def measure(self, asked: Measuring) -> dict[str, Any]:
        """What the app finds of a model. What it keeps then is not kept. Raises Failed."""
        context = self._caller.context(asked.session, asked.options, asked.config, asked.state)
        model = models.readable(asked.path)
        reply = self._ask(EVALUATE, asked.version, model, asked.options, asked.config, context)
        numbers = {records.measured(name): value for name, value in self._numbers(reply).items()}
        return {**numbers, "num_examples": reply.num_examples}

    def _ask(
        self,
        kind: str,
        round_: int,
        model: Mapping[str, Array],
        options: Mapping[str, Any],
        config: Mapping[str, Any],
        context: Any,
    ) -> Reply:
        arrays = records.array_record(self._caller.flwr, model, self._beginning.order)
        return self._caller.ask(kind, round_, arrays, self._caller.config.sent(options, config, round_), context)

    def _numbers(self, reply: Reply) -> dict[str, float]:
        found, others = records.numbers(reply.metrics)
        for name, why in others.items():
            self._say_once(f"The app's metric {name!r} {why}. It stays here.")
        return found

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            print(f"run.py: {sentence}", file=sys.stderr, flush=True)
        self._said.add(sentence)
