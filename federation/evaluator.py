"""The child process that does what needs torch, kept warm from its first use: initial models, central evaluation.

It speaks JSON lines (`federation.fl.evaluation`) and ends when this process does, because its input ends.
Nothing waits for it: answers come back on a thread of their own. What is lost when it dies is asked for
again by the next tick, because the database still lacks it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connections

log = logging.getLogger(__name__)

Answer = dict[str, Any]  # {"ok": true, ...} or {"ok": false, "error": sentence}
MAX_PENDING = 16  # more would fill the pipe; the next tick asks for the rest
MAX_TRIES = 3  # how often one job may kill the child before it is given up


@dataclass(frozen=True, slots=True)
class Job:
    request: dict[str, Any]
    done: Callable[[Answer], None]


class Evaluator:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._pending: dict[str, Job] = {}
        self._deaths: Counter[str] = Counter()

    def submit(self, key: str, request: dict[str, Any], done: Callable[[Answer], None]) -> None:
        """Ask for a job; `done` gets the answer on another thread. Asked twice under one key, it is done once."""
        with self._lock:
            if key in self._pending or len(self._pending) >= MAX_PENDING:
                return
            self._pending[key] = Job(request, done)
            try:
                self._write(key, request)
            except BaseException:
                del self._pending[key]  # nothing works on it, so it may be submitted again
                raise

    def stop(self) -> None:
        """End the child process, if one runs."""
        with self._lock:
            if self._child is not None:
                self._child.terminate()

    def _write(self, key: str, request: dict[str, Any]) -> None:
        if self._child is None:
            self._child = self._start()
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request | {"id": key}) + "\n")
            self._child.stdin.flush()
        except OSError:
            log.warning("the evaluator is gone; %s is asked for again later", key)

    def _start(self) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "federation.fl.evaluation"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=settings.BASE_DIR,
        )
        threading.Thread(target=self._read, args=(child,), name="evaluator", daemon=True).start()
        return child

    def _read(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            try:
                answer: Answer = json.loads(line)
            except ValueError:  # it was killed in the middle of a line
                continue
            self._finish(answer["id"], answer)
        self._bury(child)

    def _finish(self, key: str, answer: Answer) -> None:
        close_old_connections()
        with self._lock:
            job = self._pending.get(key)
        try:
            if job:
                job.done(answer)
        except Exception:  # what `done` could not do now is asked for again; this thread must live on
            log.exception("the answer to %s could not be used", key)
        finally:
            connections.close_all()
            with self._lock:
                self._pending.pop(key, None)

    def _bury(self, child: subprocess.Popen[str]) -> None:
        """Forget what a dead child was doing, and give up what killed it too often."""
        log.warning("the evaluator ended with status %s", child.wait())
        with self._lock:
            self._child = None
            keys = list(self._pending)
        with suppress(OSError), child:  # closes its pipes
            pass
        if not keys:
            return
        first = keys[0]  # it works in order, so this is what it was doing
        self._deaths[first] += 1
        if self._deaths[first] >= MAX_TRIES:
            self._finish(first, {"ok": False, "error": f"The evaluator ended {MAX_TRIES} times while doing it."})
        with self._lock:
            self._pending.clear()


evaluator = Evaluator()
