"""The library for scripts: a user's own training program takes part in federated learning through it.

Here is what such a program calls. A file of this folder is about the script itself, its work, its models, what it
keeps, how it leaves, the processes that train together, or how all of that runs.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clientagent import flags
from clientagent.errors import Ends
from clientagent.library import following, models, ranks, threads
from clientagent.library.models import Model, ModelError, Only
from clientagent.library.ranks import Ranks
from clientagent.library.running import Running
from clientagent.library.script import Evaluate, Script, ScriptError, declare
from clientagent.library.work import Work
from clientagent.settings import Settings
from federation.fl.measures import Combine, Direction, Measure
from federation.fl.options import Option

__all__ = ["Combine", "Direction", "Measure", "ModelError", "Option", "ScriptError", "Work", "works"]


def works(
    name: str,
    *,
    version: str = "",
    title: str = "",
    summary: str = "",
    options: Mapping[str, Any] | Sequence[Option] = (),
    measures: Sequence[str | Measure] = (),
    train_defaults: Mapping[str, float] | None = None,
    num_examples: int | None = None,
    initial: Model | Callable[[Mapping[str, Any]], Model] | None = None,
    evaluate: Evaluate | None = None,
    only: Only = None,
    sources: Sequence[str | os.PathLike[str]] = (),
    seeded: bool = True,
    once: bool = False,
    arguments: Sequence[str] | None = None,
) -> Iterator[Work]:
    """Join the server, or come back to it, and get one piece of training after another, until Ctrl-C.

    name: of the workload, a-z, 0-9 and -; sites with the same name and version train together. title, summary,
    measures, train_defaults: what the server's pages and forms show. options: defaults by name, or `Option`s.
    num_examples: how many this site has, if that may be told.
    initial: the model that a session starts from, or a function of the options that makes it. evaluate: called with
    the model to measure; it returns numbers by name, among them `num_examples`. Without them other sites do that work.
    only: which tensors are shared: names with `*`, a function of a name, or "trainable".
    sources: further files that decide what is trained. seeded: random numbers begin at each work's own seed.
    once: end after one piece of work. arguments: what to read the agent's flags from instead of the command line; its
    environment variables count, too.

    Raises ScriptError for what cannot be declared. Where the agent would end with a sentence, so does the program.
    """
    if evaluate is not None and not callable(evaluate):
        raise ScriptError(f"evaluate= must be a function of a model, not {type(evaluate).__name__}.")
    if initial is not None and (models.is_module(initial) or not callable(initial)):
        _require_usable(initial, only)
    if (together := ranks.found()) is None:
        raise ScriptError(
            "This process has another rank than 0. Call torch.distributed.init_process_group() before works(), so that "
            "it gets its work from the process with rank 0."
        )
    caller = sys._getframe(1).f_code.co_filename
    declaration = declare(
        name,
        [Path(path) for path in (caller, *sources)],
        given_options=options,
        given_measures=measures,
        train_defaults=train_defaults or {},
        kinds=["train", *(["evaluate"] if evaluate else []), *(["initialise"] if initial is not None else [])],
        about={"version": version, "title": title, "summary": summary, "num_examples": num_examples},
    )
    script = Script(declaration, initial, evaluate, only)
    given = sys.argv[1:] if arguments is None else arguments
    if together.rank:
        with contextlib.suppress(Ends):  # the process with rank 0 says it
            _settings(given, once)
        return following.works(together, only, caller, seeded=seeded)
    return _handed_out(script, given, caller, together, seeded=seeded, once=once)


def _require_usable(initial: Model, only: Only) -> None:
    try:
        models.require_usable(initial, only)
    except ModelError as error:
        raise ScriptError(f"initial=: {error}") from error


def _handed_out(
    script: Script, given: Sequence[str], caller: str, together: Ranks, *, seeded: bool, once: bool
) -> Iterator[Work]:
    try:
        settings = _settings(given, once)
        yield from Running(script, settings, caller, seeded=seeded, ranks=together).works()
        together.end()
    except Ends as error:
        together.end(error.status)
        print(f"{script.declaration.name}: {error}", file=sys.stderr)
        raise SystemExit(error.status) from None


def _settings(given: Sequence[str], once: bool) -> Settings:
    """What the flags say. From now on as many threads compute as they ask for. Raises Ends."""
    settings = flags.read_among(given, os.environ)
    if settings.threads is not None:
        threads.use(settings.threads)
    return replace(settings, once=settings.once or once)
