"""An NVFlare script's life at its server: it is run, and run again where it ends before there is no more work."""

from __future__ import annotations

import os
import re
import runpy
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clientagent.errors import HeldElsewhere, Misconfigured, TokenRefused
from clientagent.hosts import objects
from clientagent.hosts.nvflare import door, source
from clientagent.hosts.nvflare.slot import Slot
from clientagent.library import models
from clientagent.library.leaving import Left
from clientagent.library.running import Running
from clientagent.library.script import Script, ScriptError, declare
from clientagent.library.seeds import seed
from clientagent.link import duration
from clientagent.settings import Settings
from clientagent.supervising import FIRST_SECONDS, MOST_SECONDS

INITIAL = "--nvflare-initial"
FIRST_SEED = 0  # of what a script draws before it has work


def run(settings: Settings, words: Sequence[str]) -> int:
    """Host the script until Ctrl-C or SIGTERM. words: the script's own arguments. Returns the status; raises Ends."""
    if os.environ.get("RANK", "0") != "0":
        raise Misconfigured("Of the processes that torchrun starts, only the one with rank 0 may be an agent.")
    return Host(settings, words).run()


class Host:
    """One script. Raises Misconfigured if it cannot be hosted."""

    def __init__(self, settings: Settings, words: Sequence[str]) -> None:
        assert settings.nvflare_script is not None
        self._settings = settings
        self._words = list(words)
        self._source = source.read(settings.nvflare_script)
        self._nvflare = door.enter()
        objects.look_in(self._source.path.parent)
        self._running = Running(self._declared(), settings, str(self._source.path), seeded=True)

    def _declared(self) -> Script:
        """What the server and its operators get to know."""
        initial, mine = self._initial(), self._source
        names = self._settings.nvflare_measures or mine.measures
        try:
            declaration = declare(
                self._settings.nvflare_name or _name_of(mine.path),
                mine.files,
                given_options=(),
                given_measures=[source.measure(name) for name in names],
                train_defaults={},
                kinds=_kinds(evaluates=mine.evaluates, initialises=initial is not None),
                about={"summary": mine.summary},
            )
        except ScriptError as error:
            raise Misconfigured(f"{mine.path}: {error}") from error
        return Script(declaration, initial, None, measures_itself=mine.evaluates)

    def _initial(self) -> Any:
        """The model that sessions begin with: what makes it, or a file."""
        given = self._settings.nvflare_initial
        if given is None or ":" not in given:
            return given and objects.model_file(given, INITIAL)
        found = objects.load(given, self._source.path.parent, INITIAL)
        is_maker = callable(found) and (isinstance(found, type) or not models.is_module(found))
        return (lambda options: found()) if is_maker else found

    def run(self) -> int:
        """Run the script until it is time to leave."""
        try:
            self._running.begin()
            self._run_again_and_again()
        except Left:  # in the midst of the script
            pass
        except (TokenRefused, HeldElsewhere):
            self._running.close(says_goodbye=False)
            raise
        finally:
            self._running.close()
        return 0

    def _run_again_and_again(self) -> None:
        slot = Slot(
            self._running.tasks(),
            self._running.name,
            self._nvflare.fl_model,
            models.tensors if self._source.takes_tensors else models.readable,
            self._running.say,
            anew=self._settings.nvflare_anew,
        )
        self._nvflare.fill_slot(slot)
        pause = FIRST_SECONDS
        while not (slot.is_done or (self._settings.once and slot.has_worked)):
            slot.begin()
            if not self._went_wrong(slot, self._run_once()):
                pause = FIRST_SECONDS
                continue
            self._running.say(f"{self._source.path.name} is run again in {duration(pause)}.")
            time.sleep(pause)
            pause = min(2 * pause, MOST_SECONDS)

    def _run_once(self) -> str:
        """Run the script as `python FILE ARGUMENTS` does. Returns what ended it, empty where it came to its end."""
        self._nvflare.forget()
        path = str(self._source.path)
        sys.argv = [path, *self._words]
        seed(FIRST_SEED)
        try:
            runpy.run_path(path, run_name="__main__")
        except Left:
            raise
        except SystemExit as error:
            return "" if error.code in (None, 0) else f"The script ended with the exit status {error.code}."
        except Exception as error:
            self._running.say("".join(traceback.format_exception(error)))
            return objects.sentence(error, self._source.path.parent)
        return ""

    def _went_wrong(self, slot: Slot, failure: str) -> bool:
        """Look at what a run left behind, and give an open seat up. Raises Ends where another run would be in vain."""
        if slot.ends:
            raise slot.ends
        if failure and not slot.has_worked:
            raise Misconfigured(f"{self._source.path.name}: {failure}")
        if not slot.has_asked:
            raise Misconfigured(
                f"{self._source.path.name} came to its end and asked for no model: it calls neither flare.is_running() "
                "nor flare.receive()."
            )
        task = slot.task
        if task is not None and not task.dropped:
            task.give_up(failure or "The script came to its end without flare.send().")
            return True
        return bool(failure) and not slot.is_told_to_end


def _kinds(*, evaluates: bool, initialises: bool) -> list[str]:
    return ["train", *(["evaluate"] if evaluates else []), *(["initialise"] if initialises else [])]


def _name_of(path: Path) -> str:
    """As workloads are named: a-z, 0-9 and -."""
    found = re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    return found if found[:1].isalpha() else f"script-{found}".rstrip("-")
