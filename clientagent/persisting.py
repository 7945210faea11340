"""Calls to one server that are made again until it answers. Retries live here and nowhere else.

Whoever makes a call drives its attempts: `once` makes one, `wait` reports what went wrong and pauses. So a caller can
send something else the next time, and nothing here calls back.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.client import HTTPException
from types import TracebackType
from urllib.parse import urlsplit

from clientagent import calls, messages
from clientagent.calls import Call, Recognition
from clientagent.connection import Connection
from clientagent.errors import Dropped, HeldElsewhere
from clientagent.exchange import NO_METHOD, Answer, NotTheServer, Request, Sink
from clientagent.link import Link

FIRST_DELAY, LONGEST_DELAY = 0.25, 15.0  # seconds between attempts
GROWTH = 1.2  # of the delay, each time: a server that was away for t seconds is found again within about t/5
LONGEST_RETRY_AFTER = 3600.0
LONGEST_STRANGERS = 60.0  # if a stranger on the way asks for it


class Persisting:
    """One thread's calls to one server.

    Every call without the server's answer (network, 5xx, 429, a stranger's answer) is made again, with growing
    pauses, until an answer arrives or `stop` is set, which raises Dropped.
    """

    def __init__(
        self,
        server: str,
        link: Link,
        stop: threading.Event | None = None,
        recognition: Recognition | None = None,
    ) -> None:
        self.server = server
        self.stop = stop or threading.Event()
        self.link = link
        self.recognition = recognition or Recognition()
        self.connection = Connection(server)

    @contextlib.contextmanager
    def until(self, stop: threading.Event) -> Iterator[None]:
        """While this lasts, `stop` ends waiting and retrying by Dropped."""
        before, self.stop = self.stop, stop
        try:
            yield
        finally:
            self.stop = before

    def pause(self, seconds: float) -> None:
        """Wait, shortened at random so that many agents do not come back in step."""
        if self.stop.wait(seconds * random.uniform(0.5, 1.0)):
            raise Dropped("The work was dropped while the agent waited.")

    def close(self) -> None:
        self.connection.close()

    def abort(self) -> None:
        """Stop whatever another thread does with this."""
        self.stop.set()
        self.connection.abort()

    def ask(
        self, call: Call, request: Request, *, settled: tuple[int, ...] = (), foreign: tuple[int, ...] = ()
    ) -> Answer:
        """Make the same request until there is an answer. settled, foreign: as of `Attempts`."""
        with self.attempts(call, settled=settled, foreign=foreign) as attempts:
            while (answer := attempts.once(request)) is None:
                attempts.wait()
        return answer

    def ask_once(self, call: Call, request: Request, stall_seconds: float) -> Answer | None:
        """Make one attempt over a connection of its own. None if the server did not answer."""
        connection = Connection(self.server, stall_seconds=stall_seconds)
        try:
            answer = connection.exchange(request)
            self.recognition.check(call, answer)
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        return answer

    def attempts(self, call: Call, *, settled: tuple[int, ...] = (), foreign: tuple[int, ...] = ()) -> Attempts:
        return Attempts(self, call, settled, foreign)

    def report_stranger(self, call: Call, answer: Answer) -> None:
        """Report a stranger's answer that was accepted as one, when there is no other way either."""
        self.report(call, NotTheServer(f"it answers {answer.status}", answer))

    def report(self, call: Call, error: OSError | HTTPException) -> float:
        """Report why the server's answer is missing. Returns the least time to wait."""
        answer = error.answer if isinstance(error, NotTheServer) else None
        if answer is None:
            self.link.down(messages.why_no_answer(error))
            return 0.0
        reason = str(error)
        if call is calls.ENROLL:
            reason = f"there is no federated learning server at {self.server}: {reason}"
        host = urlsplit(self.server).hostname or ""
        self.link.stranger(call.name, reason, messages.who_answered(answer, call.name, host))
        if call is calls.PATCH and answer.status in NO_METHOD:
            self.link.once("PATCH", messages.NO_PATCH)
        return min(answer.retry_after, LONGEST_STRANGERS)


class Attempts:
    """The attempts at one call, as a context manager. At its end the link learns whether the server answered.

    settled: the only statuses that are an answer; without it, all that do not mean "later".
    foreign: statuses that also count from a stranger: the caller has another way.
    """

    def __init__(self, caller: Persisting, call: Call, settled: tuple[int, ...], foreign: tuple[int, ...]) -> None:
        self._caller, self._call = caller, call
        self._settled, self._foreign = settled, foreign
        self._delay = FIRST_DELAY
        self._answered = False
        self._missing: Answer | OSError | HTTPException | None = None  # what came in place of an answer

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._caller.link.forget(self._call.name)
        elif self._answered:
            self._caller.link.up(self._call.name)

    def once(self, request: Request, sink: Sink | None = None) -> Answer | None:
        """Make one attempt. None if the server did not answer, or meant "later".

        A stranger's answer with one of the `foreign` statuses comes with `ours=False`.
        """
        self._answered = False
        try:
            answer = self._caller.connection.exchange(request, sink)
            self._caller.recognition.check(self._call, answer)
        except (OSError, HTTPException) as error:
            return self._unanswered(error)
        if answer.status == 409 and "fl-agent-held" in answer.headers:
            raise HeldElsewhere(answer.detail)
        self._answered = answer.status in self._settled or (not self._settled and not _later(answer.status))
        self._missing = None if self._answered else answer
        return answer if self._answered else None

    def _unanswered(self, error: OSError | HTTPException) -> Answer | None:
        if self._caller.stop.is_set():  # it was aborted
            raise Dropped("The work was dropped.") from error
        if isinstance(error, NotTheServer) and error.answer and error.answer.status in self._foreign:
            return replace(error.answer, ours=False)
        self._missing = error
        return None

    @property
    def was_cut(self) -> bool:
        """Whether the connection of the last attempt ended while its body was on its way."""
        return self._caller.connection.was_sending

    @property
    def ended_after(self) -> float | None:
        """Seconds after which the last attempt ended without the server's answer; None if the server meant "later"."""
        return None if isinstance(self._missing, Answer) else self._caller.connection.waited

    def wait(self) -> None:
        """Report why the last attempt has no answer, and pause, longer each time."""
        missing = self._missing
        assert missing is not None, "wait follows an attempt without an answer"
        if isinstance(missing, Answer):
            self._caller.link.down(f"it answers {missing.status}: {missing.detail}")
            asked = min(missing.retry_after, LONGEST_RETRY_AFTER)
        else:
            asked = self._caller.report(self._call, missing)
        self._pause(asked)

    def wait_quietly(self) -> None:
        """Pause as after a first attempt, and report nothing."""
        self.begin_anew()
        self._pause(0.0)

    def begin_anew(self) -> None:
        """Let the pauses grow from the first one: the last attempt got somewhere."""
        self._delay = FIRST_DELAY

    def _pause(self, asked: float) -> None:
        self._caller.pause(max(self._delay, 2 * asked))  # a pause lasts at least half of it
        self._delay = min(GROWTH * self._delay, LONGEST_DELAY)


def _later(status: int) -> bool:
    """Statuses of a server that is away or busy."""
    return status >= 500 or status in (408, 425, 429)
